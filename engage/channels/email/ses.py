"""Amazon SES: e-mail over its v2 API, and its events by way of an SNS topic.

Source: https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html and
https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import httpx

from engage.channels.aws.errors import error_of
from engage.channels.aws.notification import Notifications
from engage.channels.aws.sigv4 import Credentials, sign
from engage.channels.email.mime import build_email, mailbox
from engage.channels.message import Message, Outcome, Receipt
from engage.channels.provider import parse_retry_after
from engage.channels.registry import Configured
from engage.errors import ConfigurationError, ContentError
from engage.vocabulary import Channel, OutcomeStatus, PermanentReason

__all__ = ["Ses"]

_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]")
_TAG = re.compile(r"[A-Za-z0-9_.@-]{1,256}")
_LIMITED = ("TooManyRequests", "Throttling", "RequestThrottled")
_CONTENT = ("MessageRejected", "BadRequest")
_REJECTED = PermanentReason.CONTENT_REJECTED
_EVENTS = {
    "Delivery": ("Notification Delivered", "delivery"),
    "Open": ("Notification Viewed", "open"),
    "Click": ("Notification Clicked", "click"),
    "Bounce": ("Notification Failed", "bounce"),
    "Reject": ("Notification Failed", "mail"),
    "Rendering Failure": ("Notification Failed", "mail"),
    "Complaint": ("Channel Unsubscribed", "complaint"),
}


class Ses:
    """Sends one e-mail a request, whole as it was built (MIME), with our id as a tag that its events echo.

    It takes no idempotency key: where an answer is lost, the message is in doubt until its events tell.

    Args:
        configured: from, region, configuration_set (where SES is told to publish events and to track opens and
            clicks), topic (the ARN of the SNS topic of those events), base_url; access_key, secret_key, and
            session_token of temporary credentials.
        now: The clock.
    """

    name: ClassVar[str] = "ses"
    channel: ClassVar[str] = Channel.EMAIL.value
    past = False
    http2 = False
    batch_size = 1
    idempotency: timedelta | None = None

    def __init__(self, configured: Configured, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        options, secrets = configured.options, configured.secrets
        self._sender, self._region = str(options["from"]), str(options["region"])
        if not _REGION.fullmatch(self._region):
            raise ConfigurationError(
                f"region {self._region!r} is not one",
                where="[tool.engage.channels.email]",
                hint='write region = "eu-central-1"',
            )
        base = str(options["base_url"]) or f"https://email.{self._region}.amazonaws.com"
        self._url = base.rstrip("/") + "/v2/email/outbound-emails"
        self._set, self._topic = str(options["configuration_set"]), str(options["topic"])
        self._key = Credentials(secrets["access_key"], secrets["secret_key"], secrets.get("session_token", ""))
        self._notifications = Notifications(self._topic)
        self._now = now

    def request(self, batch: Sequence[Message]) -> httpx.Request:
        """One signed POST.

        Raises:
            ContentError: A header has a line break, or an address or attachment cannot be used.
        """
        [message] = batch
        mail = build_email(message, sender=self._sender).as_bytes()
        tags = {"message_id": message.message_id, "campaign_id": message.campaign_id}
        body: dict[str, Any] = {
            "Destination": {"ToAddresses": [mailbox(message.address, "address")[1]]},
            "Content": {"Raw": {"Data": base64.b64encode(mail).decode()}},
            "EmailTags": [{"Name": name, "Value": text} for name, text in tags.items() if _TAG.fullmatch(text)],
        }
        if self._set:
            body["ConfigurationSetName"] = self._set
        request = httpx.Request("POST", self._url, json=body)
        sign(request, self._key, region=self._region, service="ses", now=self._now())
        return request

    def outcomes(self, batch: Sequence[Message], response: httpx.Response) -> list[Outcome]:
        """200 with an id is sent; an error's name says more than its status."""
        [message] = batch
        status, (name, text, answer) = response.status_code, error_of(response)
        reason: PermanentReason | None = None
        if status == 200 and answer.get("MessageId"):
            return [Outcome(message.message_id, OutcomeStatus.SENT, provider_id=str(answer["MessageId"]))]
        if status == 429 or name.startswith(_LIMITED) or "sending rate exceeded" in text.lower():
            meaning = OutcomeStatus.RATE_LIMITED
        elif status == 503 or name.startswith("ServiceUnavailable"):
            meaning = OutcomeStatus.TEMPORARY
        elif status == 413:
            meaning, reason = OutcomeStatus.PERMANENT, PermanentReason.PAYLOAD_TOO_LARGE
        elif status == 400 and name.startswith(_CONTENT) and "not verified" not in text:
            meaning, reason = OutcomeStatus.PERMANENT, _REJECTED
        elif 400 <= status < 500:
            meaning = OutcomeStatus.CONFIG_ERROR  # the account, its limits, the sender or the key
        else:
            meaning = OutcomeStatus.UNKNOWN
        wait = parse_retry_after(response.headers, self._now())
        detail = f"HTTP {status} {name}".strip()
        return [Outcome(message.message_id, meaning, reason, None, wait, detail=detail)]

    def certificate(self, callback: httpx.Request) -> httpx.Request | None:
        """The request that fetches the certificate a callback is signed with; None while it is known."""
        self._require_topic()
        return self._notifications.certificate(callback, self._now())

    def certified(self, request: httpx.Request, response: httpx.Response) -> None:
        """Take a certificate."""
        self._notifications.certified(request, response, self._now())

    def confirmation(self, callback: httpx.Request) -> httpx.Request | None:
        """The request that accepts the topic's subscription, where a verified callback offers it."""
        return self._notifications.confirmation(callback, self._now())

    def receipts(self, callback: httpx.Request) -> list[Receipt]:
        """Verify the notification's signature, topic and age, then translate the event in it.

        Raises:
            ChannelError: One of them is wrong, or the certificate was not fetched.
            ConfigurationError: The topic is not set.
        """
        self._require_topic()
        envelope = self._notifications.verified(callback, self._now())
        if envelope.get("Type") != "Notification":
            return []
        try:
            event = json.loads(str(envelope.get("Message")))
        except (ValueError, RecursionError):
            return []  # Amazon greets a new topic with a line of text
        receipt = _receipt(event, str(envelope.get("MessageId"))) if isinstance(event, dict) else None
        return [receipt] if receipt else []

    def _require_topic(self) -> None:
        if not self._topic:
            raise ConfigurationError(
                "the SNS topic of its events is not set",
                where="[tool.engage.channels.email]",
                hint='write topic = "arn:aws:sns:…"',
            )


def _receipt(event: Mapping[str, Any], event_id: str) -> Receipt | None:
    kind = str(event.get("eventType") or event.get("notificationType") or "")
    if kind not in _EVENTS:
        return None  # Send says nothing new, and DeliveryDelay that SES tries again
    name, part = _EVENTS[kind]
    mail, detail = _table(event.get("mail")), _table(event.get(part))
    reason, suppress = None, False
    if kind == "Bounce":
        if detail.get("bounceType") == "Transient":
            return None  # the mailbox is full or the server away: it says nothing about the address
        suppress = detail.get("bounceType") == "Permanent"
        reason = "hard_bounce" if suppress else "undelivered"
    elif kind == "Complaint":
        reason, suppress = "complaint", True
    elif kind in ("Reject", "Rendering Failure"):
        reason = "rejected"
    try:
        moment = datetime.fromisoformat(str(detail.get("timestamp") or mail.get("timestamp")))
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    ours = _table(mail.get("tags")).get("message_id")
    properties = {
        name: str(detail[key])[:2000] for name, key in (("url", "link"), ("useragent", "userAgent")) if detail.get(key)
    }
    return Receipt(
        event_name=name,
        event_id=event_id,
        event_time=moment.astimezone(UTC),
        message_id=str(ours[0]) if isinstance(ours, list) and ours else None,
        provider_id=str(mail.get("messageId") or "") or None,
        address=_address(detail, mail),
        reason=reason,
        suppress=suppress,
        properties=properties | {"raw_event": " ".join(str(one) for one in (kind, detail.get("bounceSubType")) if one)},
    )


def _address(detail: Mapping[str, Any], mail: Mapping[str, Any]) -> str | None:
    """The recipient concerned; there is one, since each mail has one."""
    for people in (detail.get("bouncedRecipients"), detail.get("complainedRecipients")):
        if isinstance(people, list) and people and _table(people[0]).get("emailAddress"):
            return _bare(str(people[0]["emailAddress"]))
    destination = mail.get("destination")
    return _bare(str(destination[0])) if isinstance(destination, list) and destination else None


def _bare(value: str) -> str | None:
    try:
        return mailbox(value, "address")[1]
    except ContentError:
        return None


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
