"""Mailgun: e-mail over its messages endpoint, and its signed webhooks.

Source: https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages and
https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import httpx

from engage.channels.email.mime import build_email, mailbox
from engage.channels.message import Message, Outcome, Receipt
from engage.channels.provider import parse_retry_after
from engage.channels.registry import Configured
from engage.errors import ChannelError, ConfigurationError
from engage.vocabulary import Channel, OutcomeStatus, PermanentReason

__all__ = ["Mailgun"]

_OLDEST = timedelta(hours=24)  # Mailgun repeats a refused callback for 8 hours
_EVENTS = {
    "delivered": ("Notification Delivered", None),
    "opened": ("Notification Viewed", None),
    "clicked": ("Notification Clicked", None),
    "unsubscribed": ("Channel Unsubscribed", "unsubscribed"),
    "complained": ("Channel Unsubscribed", "complaint"),
    "rejected": ("Notification Failed", "rejected"),
}


class Mailgun:
    """Sends one e-mail a request, whole as it was built (MIME), with our id as a variable that events echo.

    Args:
        configured: from, domain, base_url (``https://api.eu.mailgun.net`` in Europe), test (nothing is delivered),
            tracking (of opens and clicks, by Mailgun); api_key, and signing_key of the webhooks.
        now: The clock.
    """

    name: ClassVar[str] = "mailgun"
    channel: ClassVar[str] = Channel.EMAIL.value
    past = False
    http2 = False
    batch_size = 1
    idempotency: timedelta | None = None

    def __init__(self, configured: Configured, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        options = configured.options
        self._sender = str(options["from"])
        self._url = f"{str(options['base_url']).rstrip('/')}/v3/{options['domain']}/messages.mime"
        self._test = bool(options["test"])
        self._tracking = "yes" if options["tracking"] else "no"
        login = base64.b64encode(f"api:{configured.secrets['api_key']}".encode()).decode()
        self._headers = {"authorization": f"Basic {login}"}
        self._key = configured.secrets.get("signing_key", "")
        self._now = now

    def request(self, batch: Sequence[Message]) -> httpx.Request:
        """One POST, multipart.

        Raises:
            ContentError: A header has a line break, or an address or attachment cannot be used.
        """
        [message] = batch
        form = {
            "to": mailbox(message.address, "address")[1],
            "v:message_id": message.message_id,
            "v:campaign_id": message.campaign_id,
            "o:tracking": self._tracking,
        }
        if self._test:
            form["o:testmode"] = "yes"
        mail = build_email(message, sender=self._sender).as_bytes()
        request = httpx.Request(
            "POST",
            self._url,
            headers=self._headers,
            data=form,
            files={"message": ("message.eml", mail, "message/rfc822")},
        )
        request.read()  # so that the body is one piece with a known length
        return request

    def outcomes(self, batch: Sequence[Message], response: httpx.Response) -> list[Outcome]:
        """200 with an id is sent: a wrong address of the API may answer 200 as well, without one."""
        [message] = batch
        status = response.status_code
        answer = _json(response)
        reason: PermanentReason | None = None
        provider_id = answer.get("id")
        if status == 200 and isinstance(provider_id, str) and provider_id:
            return [Outcome(message.message_id, OutcomeStatus.SENT, provider_id=provider_id.strip("<>"))]
        if status == 200:
            meaning = OutcomeStatus.CONFIG_ERROR
        elif status == 429:
            meaning = OutcomeStatus.RATE_LIMITED
        elif status >= 500:
            meaning = OutcomeStatus.TEMPORARY
        elif status == 413:
            meaning, reason = OutcomeStatus.PERMANENT, PermanentReason.PAYLOAD_TOO_LARGE
        elif status == 400:
            to = "'to' parameter is not a valid address" in str(answer.get("message"))
            meaning = OutcomeStatus.PERMANENT
            reason = PermanentReason.INVALID_ADDRESS if to else PermanentReason.CONTENT_REJECTED
        elif 400 < status < 500:
            meaning = OutcomeStatus.CONFIG_ERROR
        else:
            meaning = OutcomeStatus.UNKNOWN
        wait = parse_retry_after(response.headers, self._now())
        suppress = reason == PermanentReason.INVALID_ADDRESS
        detail = f"HTTP {status}"
        return [Outcome(message.message_id, meaning, reason, None, wait, suppress=suppress, detail=detail)]

    def receipts(self, callback: httpx.Request) -> list[Receipt]:
        """Verify the signature (HMAC-SHA256 over timestamp and token) and its age, then translate.

        The signature does not cover the event itself: serve callbacks over TLS alone. Its token is the id of the
        receipt, so the same callback lands once however often it is played again.

        Raises:
            ChannelError: The signature is missing, wrong or too old, or the body is not what is sent.
            ConfigurationError: The signing key is not set.
        """
        if not self._key:
            raise ConfigurationError(
                "the signing key of webhooks is not set", where="mailgun", hint="export MAILGUN_SIGNING_KEY=…"
            )
        try:
            body = json.loads(callback.read())
            signature, event = body["signature"], body["event-data"]
            stamp, token, given = (str(signature[name]) for name in ("timestamp", "token", "signature"))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ChannelError("the callback is not what Mailgun sends", where="mailgun") from error
        expected = hmac.new(self._key.encode(), (stamp + token).encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), given.encode()):
            raise ChannelError("the callback's signature is wrong", where="mailgun")
        if not stamp.isdecimal() or abs(self._now().timestamp() - int(stamp[:12])) > _OLDEST.total_seconds():
            raise ChannelError("the callback is too old", where="mailgun")
        receipt = _receipt(event, token) if isinstance(event, dict) else None
        return [receipt] if receipt else []


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _receipt(event: Mapping[str, Any], token: str) -> Receipt | None:
    kind, stamp = str(event.get("event", "")), event.get("timestamp")
    if isinstance(stamp, bool) or not isinstance(stamp, (int, float)) or not 0 < stamp < 1e11:
        return None
    reason: str | None
    if kind == "failed":
        if event.get("severity") != "permanent":
            return None  # Mailgun tries again by itself
        dead = event.get("reason") != "suppress-bounce"
        name, reason, suppress = "Notification Failed", "hard_bounce" if dead else "suppressed", True
    elif kind in _EVENTS:
        name, reason = _EVENTS[kind]
        suppress = name == "Channel Unsubscribed"
    else:
        return None
    variables = event.get("user-variables")
    ours = variables.get("message_id") if isinstance(variables, dict) else None
    message = event.get("message")
    headers = message.get("headers") if isinstance(message, dict) else None
    theirs = headers.get("message-id") if isinstance(headers, dict) else None
    properties = {"url": str(event["url"])[:2000]} if event.get("url") else {}
    return Receipt(
        event_name=name,
        event_id=token,
        event_time=datetime.fromtimestamp(stamp, UTC),
        message_id=str(ours) if ours else None,
        provider_id=str(theirs) if theirs else None,
        address=str(event["recipient"]) if event.get("recipient") else None,
        reason=reason,
        suppress=suppress,
        properties=properties | {"raw_event": kind},
    )
