"""Postmark: e-mail over its batch endpoint, and its webhooks.

Source: https://postmarkapp.com/developer/api/email-api and https://postmarkapp.com/developer/webhooks/webhooks-overview
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import formataddr
from typing import Any, ClassVar

import httpx

from engage.channels.email.mime import mailbox, parts_of, read_attachment, unsubscribe_headers
from engage.channels.message import Message, Outcome, Receipt
from engage.channels.provider import parse_retry_after
from engage.channels.registry import Configured
from engage.errors import ChannelError, ConfigurationError
from engage.vocabulary import Channel, OutcomeStatus, PermanentReason

__all__ = ["Postmark"]

_CONFIG = frozenset({10, 400, 401, 405, 412, 413})
_BOUNCES = {
    "HardBounce": ("hard_bounce", True),
    "BadEmailAddress": ("invalid_address", True),
    "ManuallyDeactivated": ("suppressed", True),
    "Blocked": ("blocked", False),
    "DMARCPolicy": ("blocked", False),
}


class Postmark:
    """Sends up to 500 e-mails a request; the answer has one error code for each.

    Args:
        configured: from, stream (the message stream: ``broadcast``, ``outbound`` or your own), batch_size, base_url,
            tracking (of opens and clicks, by Postmark); token, and callback_login (``user:password``), which the
            webhooks' address carries.
    """

    name: ClassVar[str] = "postmark"
    channel: ClassVar[str] = Channel.EMAIL.value
    past = False
    http2 = False
    idempotency: timedelta | None = None

    def __init__(self, configured: Configured, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        options = configured.options
        self.batch_size = int(options["batch_size"])
        if not 1 <= self.batch_size <= 500:
            raise ConfigurationError("batch_size is not between 1 and 500", where="[tool.engage.channels.email]")
        self._sender = str(options["from"])
        self._now = now
        self._tracking = bool(options["tracking"])
        self._stream = str(options["stream"])
        self._url = str(options["base_url"]).rstrip("/") + "/email/batch"
        self._headers = {
            "accept": "application/json",
            "content-type": "application/json",
            "x-postmark-server-token": configured.secrets["token"],
        }
        self._login = configured.secrets.get("callback_login", "")

    def request(self, batch: Sequence[Message]) -> httpx.Request:
        """One POST with a list of e-mails.

        Raises:
            ContentError: A header has a line break, or an address or attachment cannot be used.
        """
        mails = [self._mail(message) for message in batch]
        return httpx.Request("POST", self._url, headers=self._headers, json=mails)

    def outcomes(self, batch: Sequence[Message], response: httpx.Response) -> list[Outcome]:
        """200 has a code a message; anything else speaks for all of them."""
        status = response.status_code
        answers = _answers(response) if status == 200 else None
        if answers is not None and len(answers) == len(batch):
            return [_outcome(message.message_id, answer) for message, answer in zip(batch, answers, strict=True)]
        reason = None
        if status == 429:
            meaning = OutcomeStatus.RATE_LIMITED
        elif status >= 500:
            meaning = OutcomeStatus.TEMPORARY
        elif status == 413:
            meaning, reason = OutcomeStatus.PERMANENT, PermanentReason.PAYLOAD_TOO_LARGE
        elif status == 422:
            meaning, reason = OutcomeStatus.PERMANENT, PermanentReason.CONTENT_REJECTED
            error = _answers(response)
            if error and error[0].get("ErrorCode") in _CONFIG:
                meaning, reason = OutcomeStatus.CONFIG_ERROR, None
        elif 400 <= status < 500:
            meaning = OutcomeStatus.CONFIG_ERROR
        else:
            meaning = OutcomeStatus.UNKNOWN  # 200 without an answer for each: who knows
        wait = parse_retry_after(response.headers, self._now())
        return [Outcome(one.message_id, meaning, reason, retry_after=wait, detail=f"HTTP {status}") for one in batch]

    def receipts(self, callback: httpx.Request) -> list[Receipt]:
        """Check the login in the callback's address (Postmark signs nothing), then translate.

        Raises:
            ChannelError: The login is missing or wrong, or the body is not what is sent.
            ConfigurationError: The login is not set.
        """
        if not self._login:
            raise ConfigurationError(
                "the login of the callbacks is not set", where="postmark", hint="export POSTMARK_CALLBACK_LOGIN=user:…"
            )
        expected = "Basic " + base64.b64encode(self._login.encode()).decode()
        if not hmac.compare_digest(expected.encode(), callback.headers.get("authorization", "").encode()):
            raise ChannelError("the callback's login is missing or wrong", where="postmark")
        try:
            event = json.loads(callback.read())
        except (ValueError, RecursionError) as error:
            raise ChannelError("the callback is no JSON", where="postmark") from error
        receipt = _receipt(event) if isinstance(event, dict) else None
        return [receipt] if receipt else []

    def _mail(self, message: Message) -> dict[str, Any]:
        content = message.content
        text, html = parts_of(content)
        mail: dict[str, Any] = {
            "From": formataddr(mailbox(str(content.get("from") or self._sender), "from")),
            "To": mailbox(message.address, "address")[1],
            "Subject": str(content.get("subject") or ""),
            "TextBody": text,
            "MessageStream": "outbound" if content.get("transactional") else self._stream,
            "Metadata": {"message_id": message.message_id, "campaign_id": message.campaign_id},
            "TrackOpens": self._tracking,
            "TrackLinks": "HtmlAndText" if self._tracking else "None",
        }
        if html:
            mail["HtmlBody"] = html
        if content.get("reply_to"):
            mail["ReplyTo"] = formataddr(mailbox(str(content["reply_to"]), "reply_to"))
        if headers := unsubscribe_headers(content):
            mail["Headers"] = [{"Name": name, "Value": value} for name, value in headers.items()]
        if content.get("attachments"):
            mail["Attachments"] = [
                {"Name": name, "Content": base64.b64encode(data).decode(), "ContentType": kind}
                for name, kind, data in map(read_attachment, content["attachments"])
            ]
        return mail


def _answers(response: httpx.Response) -> list[dict[str, Any]] | None:
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        return None
    if isinstance(answer, dict):
        return [answer]
    return answer if isinstance(answer, list) and all(isinstance(item, dict) for item in answer) else None


def _outcome(message_id: str, answer: Mapping[str, Any]) -> Outcome:
    code = answer.get("ErrorCode")
    detail = f"ErrorCode {code}" if isinstance(code, int) else ""
    if code == 0:
        return Outcome(message_id, OutcomeStatus.SENT, provider_id=str(answer.get("MessageID") or "") or None)
    if code == 406:
        return Outcome(message_id, OutcomeStatus.PERMANENT, PermanentReason.SUPPRESSED, suppress=True, detail=detail)
    if code == 300:
        address = "'To'" in str(answer.get("Message"))
        reason = PermanentReason.INVALID_ADDRESS if address else PermanentReason.CONTENT_REJECTED
        return Outcome(message_id, OutcomeStatus.PERMANENT, reason, suppress=address, detail=detail)
    if code in _CONFIG:
        return Outcome(message_id, OutcomeStatus.CONFIG_ERROR, detail=detail)
    if code == 100:
        return Outcome(message_id, OutcomeStatus.TEMPORARY, detail=detail)
    if isinstance(code, int):
        return Outcome(message_id, OutcomeStatus.PERMANENT, PermanentReason.CONTENT_REJECTED, detail=detail)
    return Outcome(message_id, OutcomeStatus.UNKNOWN)


def _receipt(event: Mapping[str, Any]) -> Receipt | None:
    kind = str(event.get("RecordType", ""))
    bounce = str(event.get("Type", ""))
    reason: str | None = None
    suppress = False
    if kind == "Delivery":
        name, at = "Notification Delivered", event.get("DeliveredAt")
    elif kind == "Open":
        name, at = "Notification Viewed", event.get("ReceivedAt")
    elif kind == "Click":
        name, at = "Notification Clicked", event.get("ReceivedAt")
    elif kind == "SpamComplaint" or (kind == "Bounce" and bounce in ("SpamNotification", "SpamComplaint")):
        name, at, reason, suppress = "Channel Unsubscribed", event.get("BouncedAt"), "complaint", True
    elif kind == "Bounce" and bounce == "Unsubscribe":
        name, at, reason, suppress = "Channel Unsubscribed", event.get("BouncedAt"), "unsubscribed", True
    elif kind == "Bounce" and bounce in _BOUNCES:
        name, at = "Notification Failed", event.get("BouncedAt")
        reason, suppress = _BOUNCES[bounce]
    elif kind == "SubscriptionChange":
        away = event.get("SuppressSending") is True
        name, at = "Channel Unsubscribed" if away else "Channel Subscribed", event.get("ChangedAt")
        told = {"HardBounce": "hard_bounce", "SpamComplaint": "complaint"}
        reason, suppress = (
            (told.get(str(event.get("SuppressionReason")), "unsubscribed"), True) if away else (None, False)
        )
    else:
        return None  # soft bounces are tried again by Postmark itself
    try:
        moment = datetime.fromisoformat(str(at))
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    metadata = event.get("Metadata")
    ours = metadata.get("message_id") if isinstance(metadata, dict) else None
    provider_id = str(event.get("MessageID") or "") or None
    properties = {"url": str(event["OriginalLink"])[:2000]} if event.get("OriginalLink") else {}
    return Receipt(
        event_name=name,
        event_id=str(event.get("ID") or f"{provider_id}:{kind}:{at}"),
        event_time=moment.astimezone(UTC),
        message_id=str(ours) if ours else None,
        provider_id=provider_id,
        address=str(event.get("Recipient") or event.get("Email") or "") or None,
        reason=reason,
        suppress=suppress,
        properties=properties | {"raw_event": f"{kind} {bounce}".strip()},
    )
