"""SendGrid: e-mail over its v3 mail-send endpoint, and its signed event webhook.

Source: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send and
https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from engage.channels.email.mime import mailbox, parts_of, read_attachment, unsubscribe_headers
from engage.channels.message import Message, Outcome, Receipt
from engage.channels.provider import parse_retry_after
from engage.channels.registry import Configured
from engage.errors import ChannelError, ConfigurationError
from engage.vocabulary import Channel, OutcomeStatus, PermanentReason

__all__ = ["SendGrid"]

_OLDEST = timedelta(hours=24)  # SendGrid repeats a refused callback for a day
_SIGNATURE = "x-twilio-email-event-webhook-signature"
_TIMESTAMP = "x-twilio-email-event-webhook-timestamp"
_EVENTS = {
    "delivered": "Notification Delivered",
    "open": "Notification Viewed",
    "click": "Notification Clicked",
    "bounce": "Notification Failed",
    "dropped": "Notification Failed",
    "spamreport": "Channel Unsubscribed",
    "unsubscribe": "Channel Unsubscribed",
    "group_unsubscribe": "Channel Unsubscribed",
    "group_resubscribe": "Channel Subscribed",
}
_REASONS = {"spamreport": "complaint", "unsubscribe": "unsubscribed", "group_unsubscribe": "unsubscribed"}


class SendGrid:
    """Sends one e-mail a request; each is rendered for its reader, so there is nothing to share in a batch.

    It takes no idempotency key: where an answer is lost, the message is in doubt until its events tell. Our id goes
    along in `custom_args` and comes back with every event.

    Args:
        configured: from, base_url, sandbox (nothing is delivered), tracking (of opens and clicks, by SendGrid);
            api_key, and webhook_key, the public key of the signed event webhook.
        now: The clock.
    """

    name: ClassVar[str] = "sendgrid"
    channel: ClassVar[str] = Channel.EMAIL.value
    past = False
    http2 = False
    batch_size = 1
    idempotency: timedelta | None = None

    def __init__(self, configured: Configured, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        options = configured.options
        self._sender = str(options["from"])
        self._url = str(options["base_url"]).rstrip("/") + "/v3/mail/send"
        self._sandbox = bool(options["sandbox"])
        track = {"enable": bool(options["tracking"])}
        self._tracking = {  # said each time: what the account has switched on would be done as well
            "click_tracking": {**track, "enable_text": track["enable"]},
            "open_tracking": track,
            "subscription_tracking": {"enable": False},  # a footer of SendGrid's, in a mail that has our own headers
        }
        self._headers = {"authorization": f"Bearer {configured.secrets['api_key']}", "content-type": "application/json"}
        self._key = configured.secrets.get("webhook_key", "")
        self._now = now

    def request(self, batch: Sequence[Message]) -> httpx.Request:
        """One POST.

        Raises:
            ContentError: A header has a line break, or an address or attachment cannot be used.
        """
        [message] = batch
        content = message.content
        text, html = parts_of(content)
        person: dict[str, Any] = {
            "to": [_person(message.address, "address")],
            "custom_args": {"message_id": message.message_id, "campaign_id": message.campaign_id},
        }
        if headers := unsubscribe_headers(content):
            person["headers"] = headers
        body: dict[str, Any] = {
            "personalizations": [person],
            "from": _person(str(content.get("from") or self._sender), "from"),
            "subject": str(content.get("subject") or ""),
            "content": [{"type": "text/plain", "value": text}],
            "tracking_settings": self._tracking,
        }
        if html:
            body["content"].append({"type": "text/html", "value": html})
        if content.get("reply_to"):
            body["reply_to"] = _person(str(content["reply_to"]), "reply_to")
        if content.get("attachments"):
            files = map(read_attachment, content["attachments"])
            body["attachments"] = [
                {"content": base64.b64encode(data).decode(), "type": kind, "filename": name}
                for name, kind, data in files
            ]
        if self._sandbox:
            body["mail_settings"] = {"sandbox_mode": {"enable": True}}
        return httpx.Request("POST", self._url, headers=self._headers, json=body)

    def outcomes(self, batch: Sequence[Message], response: httpx.Response) -> list[Outcome]:
        """202 is sent (200 in the sandbox); 400 says which field is wrong; 401 and 403 stop the run."""
        [message] = batch
        status, wait = response.status_code, None
        reason: PermanentReason | None = None
        if status == 202 or (status == 200 and self._sandbox):
            meaning = OutcomeStatus.SENT
        elif status == 429:
            meaning, wait = OutcomeStatus.RATE_LIMITED, self._wait(response)
        elif status >= 500:
            meaning, wait = OutcomeStatus.TEMPORARY, parse_retry_after(response.headers, self._now())
        elif status == 413:
            meaning, reason = OutcomeStatus.PERMANENT, PermanentReason.PAYLOAD_TOO_LARGE
        elif status == 400:
            fields = _fields(response)
            if any(field.startswith("from") for field in fields):
                meaning = OutcomeStatus.CONFIG_ERROR  # the sender is wrong for everybody
            else:
                to = any(".to" in field for field in fields)
                meaning = OutcomeStatus.PERMANENT
                reason = PermanentReason.INVALID_ADDRESS if to else PermanentReason.CONTENT_REJECTED
        elif 400 < status < 500:
            meaning = OutcomeStatus.CONFIG_ERROR
        else:
            meaning = OutcomeStatus.UNKNOWN
        sent = meaning == OutcomeStatus.SENT
        provider_id = response.headers.get("x-message-id") if sent else None
        suppress = reason == PermanentReason.INVALID_ADDRESS
        return [
            Outcome(message.message_id, meaning, reason, provider_id, wait, suppress=suppress, detail=f"HTTP {status}")
        ]

    def receipts(self, callback: httpx.Request) -> list[Receipt]:
        """Verify the signature (ECDSA on P-256 over the timestamp and the raw body), then translate.

        Raises:
            ChannelError: It is missing, wrong or older than a day, or the body is not what is sent.
            ConfigurationError: The public key is not set or not one.
        """
        body = callback.read()
        stamp = callback.headers.get(_TIMESTAMP, "")
        self._verify(stamp, body, callback.headers.get(_SIGNATURE, ""))
        if not stamp.isdecimal() or abs(self._now().timestamp() - int(stamp[:12])) > _OLDEST.total_seconds():
            raise ChannelError("the callback is too old", where="sendgrid")
        try:
            events = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ChannelError("the callback is no JSON", where="sendgrid") from error
        if not isinstance(events, list):
            raise ChannelError("the callback is no list of events", where="sendgrid")
        return [receipt for event in events if isinstance(event, dict) and (receipt := _receipt(event))]

    def _verify(self, stamp: str, body: bytes, signature: str) -> None:
        if not self._key:
            raise ConfigurationError(
                "the public key of the event webhook is not set", where="sendgrid", hint="export SENDGRID_WEBHOOK_KEY=…"
            )
        try:
            key = load_der_public_key(base64.b64decode(self._key, validate=True))
        except ValueError as error:
            raise ConfigurationError("SENDGRID_WEBHOOK_KEY is no public key", where="sendgrid") from error
        if not isinstance(key, EllipticCurvePublicKey):
            raise ConfigurationError("SENDGRID_WEBHOOK_KEY is no elliptic-curve key", where="sendgrid")
        try:
            key.verify(base64.b64decode(signature, validate=True), stamp.encode() + body, ECDSA(SHA256()))
        except (InvalidSignature, binascii.Error, ValueError) as error:
            raise ChannelError("the callback's signature is missing or wrong", where="sendgrid") from error

    def _wait(self, response: httpx.Response) -> float:
        wait = parse_retry_after(response.headers, self._now())
        reset = response.headers.get("x-ratelimit-reset", "")
        if wait is None and reset.isdecimal():
            wait = max(0.0, int(reset[:12]) - self._now().timestamp())
        return 60.0 if wait is None else min(wait, 3600.0)


def _person(value: str, field: str) -> dict[str, str]:
    name, address = mailbox(value, field)
    return {"email": address, "name": name} if name else {"email": address}


def _fields(response: httpx.Response) -> list[str]:
    try:
        errors = response.json().get("errors", [])
        return [str(error.get("field") or "") for error in errors]
    except (ValueError, AttributeError, TypeError, RecursionError):
        return []


def _receipt(event: Mapping[str, Any]) -> Receipt | None:
    kind = str(event.get("event", ""))
    name = _EVENTS.get(kind)
    stamp = event.get("timestamp")
    if name is None or isinstance(stamp, bool) or not isinstance(stamp, (int, float)) or not 0 < stamp < 1e11:
        return None
    reason, suppress = _REASONS.get(kind), kind in _REASONS
    if kind == "bounce":
        blocked = event.get("type") == "blocked"
        reason, suppress = ("blocked" if blocked else "hard_bounce"), not blocked
    elif kind == "dropped":
        reason = "suppressed"
    properties = {key: str(event[key])[:2000] for key in ("url", "useragent") if event.get(key)}
    if event.get("sg_machine_open"):  # Apple's Mail Privacy Protection
        properties["machine"] = "apple"
    return Receipt(
        event_name=name,
        event_id=str(event.get("sg_event_id") or f"{event.get('sg_message_id')}:{kind}:{stamp}"),
        event_time=datetime.fromtimestamp(stamp, UTC),
        message_id=str(event["message_id"]) if event.get("message_id") else None,
        provider_id=str(event.get("sg_message_id", "")).partition(".")[0] or None,
        address=str(event["email"]) if event.get("email") else None,
        reason=reason,
        suppress=suppress,
        properties=properties | {"raw_event": kind},
    )
