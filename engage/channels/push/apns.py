"""Apple Push Notification service: HTTP/2, with a token signed by the team's key.

Source: https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import httpx
import jwt

from engage.channels.message import Message, Outcome, Receipt
from engage.channels.provider import parse_retry_after
from engage.channels.push.payload import badge, seconds
from engage.channels.registry import Configured
from engage.channels.web_push.vapid import private_key
from engage.errors import ChannelError, ConfigurationError, InvalidAddressError, UnsupportedContentError
from engage.vocabulary import Channel, OutcomeStatus, PermanentReason

__all__ = ["Apns"]

_HOSTS = {"production": "https://api.push.apple.com", "sandbox": "https://api.sandbox.push.apple.com"}
_TOKEN = re.compile(r"[0-9a-fA-F]{16,400}")
_NEVER = datetime.min.replace(tzinfo=UTC)
_RENEWED = timedelta(minutes=45)  # Apple: at least every 60 minutes, and not more often than every 20
_KEPT = timedelta(minutes=20)
_LARGEST = 4096  # bytes
_IDS = uuid.UUID("8a2f6f0e-6c0a-5d0b-9a43-6d4f6c1f9a10")
_P, _KEY = OutcomeStatus.PERMANENT, OutcomeStatus.CONFIG_ERROR
_TEMPORARY, _LIMITED = OutcomeStatus.TEMPORARY, OutcomeStatus.RATE_LIMITED
_REASONS: Mapping[str, tuple[OutcomeStatus, PermanentReason | None]] = {
    "Unregistered": (_P, PermanentReason.UNREGISTERED),
    "ExpiredToken": (_P, PermanentReason.UNREGISTERED),
    "BadDeviceToken": (_P, PermanentReason.INVALID_ADDRESS),
    "MissingDeviceToken": (_P, PermanentReason.INVALID_ADDRESS),
    "DeviceTokenNotForTopic": (_P, PermanentReason.REFUSED),  # of another app
    "PayloadTooLarge": (_P, PermanentReason.PAYLOAD_TOO_LARGE),
    "PayloadEmpty": (_P, PermanentReason.CONTENT_REJECTED),
    "BadCollapseId": (_P, PermanentReason.CONTENT_REJECTED),
    "BadExpirationDate": (_P, PermanentReason.CONTENT_REJECTED),
    "BadMessageId": (_P, PermanentReason.CONTENT_REJECTED),
    "BadPriority": (_P, PermanentReason.CONTENT_REJECTED),
    "DuplicateHeaders": (_P, PermanentReason.CONTENT_REJECTED),
    "InvalidPushType": (_P, PermanentReason.CONTENT_REJECTED),
    "BadTopic": (_KEY, None),
    "MissingTopic": (_KEY, None),
    "TopicDisallowed": (_KEY, None),
    "BadCertificate": (_KEY, None),
    "BadCertificateEnvironment": (_KEY, None),
    "BadEnvironmentKeyIdInToken": (_KEY, None),  # as documented
    "BadEnvironmentKeyInToken": (_KEY, None),  # as answered
    "Forbidden": (_KEY, None),
    "InvalidProviderToken": (_KEY, None),
    "MissingProviderToken": (_KEY, None),
    "UnrelatedKeyIdInToken": (_KEY, None),
    "ExpiredProviderToken": (_KEY, None),
    "BadPath": (_KEY, None),
    "MethodNotAllowed": (_KEY, None),
    "TooManyProviderTokenUpdates": (_LIMITED, None),
    "TooManyRequests": (_TEMPORARY, None),  # to this one device
    "IdleTimeout": (_TEMPORARY, None),
    "InternalServerError": (_TEMPORARY, None),
    "ServiceUnavailable": (_TEMPORARY, None),
    "Shutdown": (_TEMPORARY, None),
}


class Apns:
    """Sends one message a request, many at once over one connection.

    Args:
        configured: team_id, key_id, topic (the app's bundle id), environment (production or sandbox), ttl (seconds),
            base_url; private_key (the text of the .p8 file).
        now: The clock, for the token and the expiry.
    """

    name: ClassVar[str] = "apns"
    channel: ClassVar[str] = Channel.PUSH.value
    batch_size = 1
    past = False
    http2 = True
    idempotency: timedelta | None = None  # the apns-id only names a message: Apple does not say that it tells repeats

    def __init__(self, configured: Configured, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        options = configured.options
        environment = str(options["environment"])
        if environment not in _HOSTS:
            raise ConfigurationError(
                f"environment {environment!r} is not known",
                where="[tool.engage.channels.push]",
                hint=f"write {' or '.join(_HOSTS)}",
            )
        self._key = private_key(configured.secrets["private_key"])
        self._team, self._key_id, self._topic = (str(options[name]) for name in ("team_id", "key_id", "topic"))
        self._url = (str(options["base_url"]) or _HOSTS[environment]).rstrip("/")
        self._ttl = int(options["ttl"])
        self._now = now
        self._token, self._minted = "", _NEVER
        self._accepted = False

    def request(self, batch: Sequence[Message]) -> httpx.Request:
        """One message to one device; ``message_id`` and ``campaign_id`` stand beside ``aps``, for the app to report.

        Raises:
            InvalidAddressError: The address is not a device token.
            UnsupportedContentError: The collapse key (64 bytes), the ttl, the data or the size (4096 bytes) is not one.
        """
        [message] = batch
        token = message.address.strip()
        if not _TOKEN.fullmatch(token):
            raise InvalidAddressError("the address is not a device token of Apple's", where="apns")
        body = json.dumps(_payload(message), ensure_ascii=False, separators=(",", ":")).encode()
        if len(body) > _LARGEST:
            raise UnsupportedContentError(f"the message has {len(body)} bytes, a push at most {_LARGEST}", where="apns")
        now = self._now()
        ttl = seconds(message.content.get("ttl"), self._ttl)
        headers = {
            "authorization": f"bearer {self._signed(now)}",
            "apns-topic": self._topic,
            "apns-push-type": "alert",
            "apns-id": str(uuid.uuid5(_IDS, message.message_id)),
            "apns-priority": "10",
            "apns-expiration": str(int(now.timestamp()) + ttl if ttl else 0),
            "content-type": "application/json",
        }
        if collapse := str(message.content.get("collapse_key") or ""):
            if len(collapse.encode()) > 64:
                raise UnsupportedContentError("the collapse key has more than 64 bytes", where="apns")
            headers["apns-collapse-id"] = collapse
        return httpx.Request("POST", f"{self._url}/3/device/{token}", headers=headers, content=body)

    def outcomes(self, batch: Sequence[Message], response: httpx.Response) -> list[Outcome]:
        """What an answer means: Apple's reason first, the HTTP status only where there is none that is known.

        A bad token is given up for good only once another was accepted: tokens of the sandbox are all bad in
        production, and the settings, not the people, would be at fault.
        """
        [message] = batch
        status = response.status_code
        if status == 200:
            self._accepted = True
            given = response.headers.get("apns-id")
            return [Outcome(message.message_id, OutcomeStatus.SENT, provider_id=given, detail="HTTP 200")]
        told, timestamp = _told(response)
        meaning, reason = _REASONS.get(told) or _by_status(status)
        now = self._now()
        wait = parse_retry_after(response.headers, now)
        if told == "ExpiredProviderToken" and now - self._minted >= _KEPT:
            meaning, self._token = _TEMPORARY, ""  # the next request bears a new one
        if told == "TooManyProviderTokenUpdates":
            wait = wait or _KEPT.total_seconds()
        suppress = reason == PermanentReason.UNREGISTERED or (told == "BadDeviceToken" and self._accepted)
        return [
            Outcome(
                message.message_id,
                meaning,
                reason,
                retry_after=wait,
                suppress=suppress,
                detail=f"HTTP {status} {told}".strip(),
                dead_since=_moment(timestamp) if reason == PermanentReason.UNREGISTERED else None,
            )
        ]

    def receipts(self, callback: httpx.Request) -> list[Receipt]:
        """Apple does not call back; the app reports views and clicks to the collector.

        Raises:
            ChannelError: Always.
        """
        raise ChannelError("APNs has no callbacks", where="apns")

    def _signed(self, now: datetime) -> str:
        if not self._token or not timedelta(0) <= now - self._minted < _RENEWED:
            claims = {"iss": self._team, "iat": int(now.timestamp())}
            self._token = jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": self._key_id})
            self._minted = now
        return self._token


def _payload(message: Message) -> dict[str, Any]:
    content = message.content
    aps: dict[str, Any] = {"alert": {key: str(content[key]) for key in ("title", "body") if content.get(key)}}
    if content.get("badge") not in (None, ""):
        aps["badge"] = badge(content["badge"])
    if content.get("sound"):
        aps["sound"] = str(content["sound"])
    if content.get("image"):
        aps["mutable-content"] = 1  # the app's extension fetches the picture
    data = content.get("data") or {}
    if not isinstance(data, Mapping) or "aps" in data:
        raise UnsupportedContentError(
            "data is not a table without aps", where="apns", hint='write data = {key = "value"}'
        )
    beside = {key: str(content[key]) for key in ("image", "deep_link") if content.get(key)}
    return {**data, **beside, "message_id": message.message_id, "campaign_id": message.campaign_id, "aps": aps}


def _told(response: httpx.Response) -> tuple[str, object]:
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        return "", None
    reason = answer.get("reason") if isinstance(answer, dict) else None
    if not (isinstance(reason, str) and reason.isascii() and reason.isalnum() and len(reason) <= 40):
        return "", None
    return reason, answer.get("timestamp")


def _by_status(status: int) -> tuple[OutcomeStatus, PermanentReason | None]:
    """For an answer without a reason that is known."""
    if status == 410:
        return _P, PermanentReason.UNREGISTERED
    if status in (401, 403, 404, 405):
        return _KEY, None
    if status == 413:
        return _P, PermanentReason.PAYLOAD_TOO_LARGE
    if status == 429:
        return _LIMITED, None
    if status == 400:
        return _P, PermanentReason.CONTENT_REJECTED
    if status >= 500:
        return _TEMPORARY, None
    return OutcomeStatus.UNKNOWN, None


def _moment(timestamp: object) -> datetime | None:
    """Milliseconds since 1970; seconds too, since a time of 1973 is none at which there were tokens."""
    if not isinstance(timestamp, int | float) or isinstance(timestamp, bool) or not 1e9 <= timestamp < 1e14:
        return None
    return datetime.fromtimestamp(timestamp / (1000 if timestamp >= 1e11 else 1), UTC)
