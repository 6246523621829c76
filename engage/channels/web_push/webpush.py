"""Web push to any browser's push service (RFC 8030)."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import httpx

from engage.channels.message import Message, Outcome, Receipt
from engage.channels.provider import parse_retry_after
from engage.channels.registry import Configured
from engage.channels.web_push.encryption import encrypt
from engage.channels.web_push.vapid import Vapid, from_b64url
from engage.channels.webhook import forbidden_address
from engage.errors import ChannelError, InvalidAddressError, UnsupportedContentError
from engage.vocabulary import Channel, OutcomeStatus, PermanentReason

__all__ = ["WebPush"]

_URGENCIES = ("very-low", "low", "normal", "high")
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")
_SHOWN = ("title", "body", "image", "icon", "deep_link", "actions")


class WebPush:
    """Encrypts each message for its browser and posts it to the endpoint the browser named.

    Args:
        configured: subject, ttl (seconds the push service keeps a message), allow_private; private_key.
        now: The clock, for the token.
    """

    name: ClassVar[str] = "web_push"
    channel: ClassVar[str] = Channel.WEB_PUSH.value
    batch_size = 1
    past = False
    http2 = False
    idempotency: timedelta | None = None

    def __init__(self, configured: Configured, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        options = configured.options
        self._vapid = Vapid(configured.secrets["private_key"], str(options["subject"]))
        self._ttl = int(options["ttl"])
        self.allow_private = bool(options["allow_private"])
        self._now = now

    @property
    def public_key(self) -> str:
        """What browsers subscribe with (``applicationServerKey``), in base64url."""
        return self._vapid.public_key

    def request(self, batch: Sequence[Message]) -> httpx.Request:
        """One POST to one browser; its text is JSON: the ids of message, campaign and run, and the fields shown.

        Raises:
            InvalidAddressError: The address is not a subscription with a public https endpoint.
            UnsupportedContentError: It is too long, or urgency, topic or ttl is not one.
        """
        [message] = batch
        content = message.content
        endpoint, p256dh, auth = self._subscription(message.address)
        payload = {key: content[key] for key in _SHOWN if content.get(key)}
        payload |= {"message_id": message.message_id, "campaign_id": message.campaign_id, "run_id": message.run_id}
        text = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
        headers = {
            "authorization": self._vapid.authorization(endpoint, self._now()),
            "content-encoding": "aes128gcm",
            "content-type": "application/octet-stream",
            "ttl": str(_seconds(content.get("ttl"), self._ttl)),
        }
        if urgency := str(content.get("urgency") or ""):
            if urgency not in _URGENCIES:
                raise UnsupportedContentError(
                    f"urgency {urgency!r} is not known", where="web_push", hint=f"write {', '.join(_URGENCIES)}"
                )
            headers["urgency"] = urgency
        if topic := str(content.get("topic") or ""):
            if not _TOPIC.fullmatch(topic):
                raise UnsupportedContentError(
                    f"topic {topic!r} is not one", where="web_push", hint="up to 32 letters, digits, - and _"
                )
            headers["topic"] = topic
        return httpx.Request("POST", endpoint, headers=headers, content=encrypt(text, p256dh=p256dh, auth=auth))

    def outcomes(self, batch: Sequence[Message], response: httpx.Response) -> list[Outcome]:
        """What a push service's status means (RFC 8030, 5 and 7.3; Mozilla, Google and Apple use 410 for 404).

        A refusal of the token is the fault of the key or subject, so nobody is suppressed for it.
        """
        [message] = batch
        status = response.status_code
        wait = parse_retry_after(response.headers, self._now())
        detail = f"HTTP {status}"
        if status in (200, 201, 202):
            location = response.headers.get("location")
            return [Outcome(message.message_id, OutcomeStatus.SENT, provider_id=location, detail=detail)]
        if status in (404, 410):
            gone = PermanentReason.UNREGISTERED
            return [Outcome(message.message_id, OutcomeStatus.PERMANENT, gone, suppress=True, detail=detail)]
        reason = None
        if status == 413:
            meaning, reason = OutcomeStatus.PERMANENT, PermanentReason.PAYLOAD_TOO_LARGE
        elif status == 400:
            meaning, reason = OutcomeStatus.PERMANENT, PermanentReason.CONTENT_REJECTED
        elif status in (401, 403):
            meaning = OutcomeStatus.CONFIG_ERROR
        elif status == 429:
            meaning = OutcomeStatus.RATE_LIMITED
        elif 300 <= status < 400 or 500 <= status < 600:
            # What redirects took nothing. It is not followed: whoever owns an endpoint would choose whom we ask.
            meaning = OutcomeStatus.TEMPORARY
        elif 400 <= status < 500:
            meaning, reason = OutcomeStatus.PERMANENT, PermanentReason.REFUSED
        else:
            meaning = OutcomeStatus.UNKNOWN
        return [Outcome(message.message_id, meaning, reason, retry_after=wait, detail=detail)]

    def receipts(self, callback: httpx.Request) -> list[Receipt]:
        """Push services do not call back; the service worker reports views and clicks to the collector.

        Raises:
            ChannelError: Always.
        """
        raise ChannelError("push services have no callbacks", where="web_push")

    def _subscription(self, address: str) -> tuple[str, bytes, bytes]:
        """Endpoint and keys of a ``PushSubscription`` in JSON, which came from a browser and may say anything."""
        try:
            given: Any = json.loads(address)
            endpoint, keys = str(given["endpoint"]), given["keys"]
            p256dh, auth = from_b64url(str(keys["p256dh"])), from_b64url(str(keys["auth"]))
            url = httpx.URL(endpoint)
        except (ValueError, KeyError, TypeError, RecursionError, httpx.InvalidURL) as error:
            raise InvalidAddressError("the address is not a web-push subscription", where="web_push") from error
        host = url.host.strip("[]")
        private = host in ("", "localhost") or (_is_ip(host) and forbidden_address(host))
        if not self.allow_private and (url.scheme != "https" or url.userinfo or private):
            raise InvalidAddressError("the endpoint is not a public https address", where="web_push")
        return endpoint, p256dh, auth


def _seconds(given: object, default: int) -> int:
    try:
        seconds = int(str(given)) if given not in (None, "") else default
    except ValueError:
        seconds = -1
    if seconds < 0:
        raise UnsupportedContentError(f"ttl {given!r} is not a number of seconds", where="web_push", hint="write 86400")
    return seconds


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
