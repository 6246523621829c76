"""Firebase Cloud Messaging, HTTP v1: Android, and iOS and web through Firebase.

Source: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import httpx
import jwt

from engage.channels.message import Message, Outcome, Receipt
from engage.channels.provider import parse_retry_after
from engage.channels.push.payload import badge, seconds
from engage.channels.registry import Configured
from engage.errors import ChannelError, ConfigurationError, InvalidAddressError, UnsupportedContentError
from engage.vocabulary import Channel, OutcomeStatus, PermanentReason

__all__ = ["Fcm"]

_SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_NEVER = datetime.min.replace(tzinfo=UTC)
_FRESH = timedelta(minutes=1)
_TOKEN = re.compile(r"[A-Za-z0-9_:-]{1,4096}")
_RESERVED = ("google", "gcm")
_ERROR_TYPE = "google.firebase.fcm.v1.FcmError"
_P, _T = OutcomeStatus.PERMANENT, OutcomeStatus.TEMPORARY
_MEANINGS: Mapping[str, tuple[OutcomeStatus, PermanentReason | None, bool]] = {
    "UNREGISTERED": (_P, PermanentReason.UNREGISTERED, True),
    "SENDER_ID_MISMATCH": (_P, PermanentReason.REFUSED, False),  # a token of another project: not ours to retire
    "THIRD_PARTY_AUTH_ERROR": (OutcomeStatus.CONFIG_ERROR, None, False),
    "APNS_AUTH_ERROR": (OutcomeStatus.CONFIG_ERROR, None, False),
    "QUOTA_EXCEEDED": (OutcomeStatus.RATE_LIMITED, None, False),
    "UNAVAILABLE": (_T, None, False),
    "INTERNAL": (_T, None, False),
    "UNSPECIFIED_ERROR": (_T, None, False),
}


class Fcm:
    """Sends one message a request; exchanges a service account's key for a token of an hour first.

    Args:
        configured: project (by default the account's), base_url, ttl (seconds); service_account (its JSON).
        now: The clock, for Retry-After.
    """

    name: ClassVar[str] = "fcm"
    channel: ClassVar[str] = Channel.PUSH.value
    batch_size = 1
    past = False
    http2 = False
    idempotency: timedelta | None = None

    def __init__(self, configured: Configured, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        options = configured.options
        try:
            account = json.loads(configured.secrets["service_account"])
            self._email, self._key = str(account["client_email"]), str(account["private_key"])
            project = str(options["project"] or account["project_id"])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                "the service account is not its JSON file's text",
                where="FCM_SERVICE_ACCOUNT",
                hint='export FCM_SERVICE_ACCOUNT="$(cat service-account.json)"',
            ) from error
        self._token_url = str(options["token_url"] or account.get("token_uri") or "https://oauth2.googleapis.com/token")
        self._url = f"{str(options['base_url']).rstrip('/')}/v1/projects/{project}/messages:send"
        self._ttl = int(options["ttl"])
        self._token, self._fetched, self._expires = "", _NEVER, _NEVER
        self._now = now

    def authorisation(self, now: datetime) -> httpx.Request | None:
        """Exchange a signed statement for a token (RFC 7523), five minutes before the present one ends."""
        if self._token and now < self._expires - timedelta(minutes=5):
            return None
        issued = int(now.timestamp())
        claims = {
            "iss": self._email,
            "scope": _SCOPE,
            "aud": self._token_url,
            "iat": issued,
            "exp": issued + 3600,
        }
        try:
            assertion = jwt.encode(claims, self._key, algorithm="RS256")
        except (ValueError, TypeError, jwt.PyJWTError) as error:
            raise ConfigurationError(
                "the private key cannot be read", where="FCM_SERVICE_ACCOUNT", hint="make a new key in the console"
            ) from error
        return httpx.Request("POST", self._token_url, data={"grant_type": _GRANT, "assertion": assertion})

    def authorised(self, response: httpx.Response, now: datetime) -> None:
        """Keep the token.

        Raises:
            ConfigurationError: The key was refused.
            ChannelError: Google could not answer; the message has not left.
        """
        answer = _json(response)
        if response.status_code == 429 or response.status_code >= 500:
            raise ChannelError(f"no token: HTTP {response.status_code}", where="fcm")
        try:
            token, lifetime = str(answer["access_token"]), float(answer.get("expires_in", 3600))
        except (KeyError, TypeError, ValueError):
            token = ""
        if response.status_code != 200 or not token:
            raise ConfigurationError(
                f"Google refuses the service account (HTTP {response.status_code}, {_word(answer.get('error'))})",
                where="FCM_SERVICE_ACCOUNT",
                hint="check that its key is not revoked and the clock is right",
            )
        self._token, self._fetched, self._expires = token, now, now + timedelta(seconds=lifetime)

    def bear(self, request: httpx.Request) -> None:
        """Put the token into a request that is about to leave."""
        request.headers["authorization"] = f"Bearer {self._token}"

    def request(self, batch: Sequence[Message]) -> httpx.Request:
        """One message to one token; ``message_id`` and ``campaign_id`` are in its data, for the app to report back.

        Raises:
            InvalidAddressError: There is no token.
            UnsupportedContentError: The ttl, the data's keys or the size (4096 bytes) is not allowed.
        """
        [message] = batch
        if not _TOKEN.fullmatch(message.address.strip()):
            raise InvalidAddressError("the address is not a push token", where="fcm")
        body = json.dumps({"message": self._message(message)}, ensure_ascii=False, separators=(",", ":")).encode()
        if len(body) > 4096 + 512:  # the limit is on the payload, without the envelope
            raise UnsupportedContentError(f"the message has {len(body)} bytes, a push at most 4096", where="fcm")
        return httpx.Request("POST", self._url, headers={"content-type": "application/json"}, content=body)

    def outcomes(self, batch: Sequence[Message], response: httpx.Response) -> list[Outcome]:
        """What an answer means: the error code of FCM first, the HTTP status only where it gave none."""
        [message] = batch
        status, answer = response.status_code, _json(response)
        if status == 200 and isinstance(answer.get("name"), str) and answer["name"]:
            return [Outcome(message.message_id, OutcomeStatus.SENT, provider_id=answer["name"])]
        error = answer.get("error")
        code, fault = _error_code(error if isinstance(error, dict) else {})
        meaning, reason, suppress = _meaning(status, code, fault)
        wait = parse_retry_after(response.headers, self._now())
        if meaning == OutcomeStatus.RATE_LIMITED and wait is None:
            wait = 60.0  # the quota is filled again every minute
        detail = f"HTTP {status} {_word(code)}".strip()
        if status == 401 and code not in _MEANINGS and self._now() - self._fetched > _FRESH:
            meaning = OutcomeStatus.TEMPORARY  # the token may have been revoked since: the next request fetches another
            self._token = ""
        return [Outcome(message.message_id, meaning, reason, retry_after=wait, suppress=suppress, detail=detail)]

    def receipts(self, callback: httpx.Request) -> list[Receipt]:
        """FCM does not call back; the app reports views and clicks to the collector.

        Raises:
            ChannelError: Always.
        """
        raise ChannelError("FCM has no callbacks", where="fcm")

    def _message(self, message: Message) -> dict[str, Any]:
        content = message.content
        data = _data(content.get("data")) | {"message_id": message.message_id, "campaign_id": message.campaign_id}
        if content.get("deep_link"):
            data["deep_link"] = str(content["deep_link"])
        ttl = seconds(content.get("ttl"), self._ttl)
        notification = {key: str(content[key]) for key in ("title", "body", "image") if content.get(key)}
        collapse, sound = str(content.get("collapse_key") or ""), str(content.get("sound") or "")
        android: dict[str, Any] = {"ttl": f"{ttl}s"}
        expires = int(self._now().timestamp()) + ttl if ttl else 0
        headers = {"apns-expiration": str(expires)}
        aps: dict[str, Any] = {}
        if collapse:
            android["collapse_key"] = headers["apns-collapse-id"] = collapse
        if sound:
            android["notification"] = {"sound": sound}
            aps["sound"] = sound
        if content.get("badge") not in (None, ""):
            aps["badge"] = badge(content["badge"])
        told: dict[str, Any] = {
            "token": message.address.strip(),
            "notification": notification,
            "data": data,
            "android": android,
            "apns": {"headers": headers, "payload": {"aps": aps}},
        }
        return told


def _data(given: object) -> dict[str, str]:
    """FCM takes text only, and keeps some names for itself."""
    if not given:
        return {}
    if not isinstance(given, Mapping):
        raise UnsupportedContentError("data is not a table", where="fcm", hint='write data = {key = "value"}')
    for key in given:
        if key == "from" or key == "message_type" or str(key).startswith(_RESERVED):
            raise UnsupportedContentError(f"data cannot have the key {key!r}", where="fcm", hint="FCM keeps it")
    return {
        str(key): value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        for key, value in given.items()
    }


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _word(value: object) -> str:
    """A code of the provider's, and nothing that might be an address."""
    text = str(value or "")
    return text if len(text) <= 40 and text.replace("_", "").isalnum() else ""


def _error_code(error: Mapping[str, Any]) -> tuple[str, str]:
    """The FCM error code, and ``token`` or ``size`` where it says that this was wrong."""
    details = error.get("details")
    details = [item for item in details if isinstance(item, dict)] if isinstance(details, list) else []
    code = next((str(d.get("errorCode")) for d in details if str(d.get("@type", "")).endswith(_ERROR_TYPE)), "")
    fields = [
        str(violation.get("field"))
        for item in details
        for violation in (item.get("fieldViolations") if isinstance(item.get("fieldViolations"), list) else ())
        if isinstance(violation, dict)
    ]
    said = str(error.get("message")).lower()
    code = code or str(error.get("status") or "")
    if "message.token" in fields or "not a valid fcm registration token" in said:
        return code, "token"
    return code, "size" if "too big" in said or "too large" in said else ""


def _meaning(status: int, code: str, fault: str) -> tuple[OutcomeStatus, PermanentReason | None, bool]:
    if code in _MEANINGS:
        return _MEANINGS[code]
    if code == "RESOURCE_EXHAUSTED" or status == 429:
        return OutcomeStatus.RATE_LIMITED, None, False
    if status == 400 and fault == "token":
        return _P, PermanentReason.INVALID_ADDRESS, True
    if status == 400 and fault == "size":
        return _P, PermanentReason.PAYLOAD_TOO_LARGE, False
    if status == 400:
        return _P, PermanentReason.CONTENT_REJECTED, False  # the message's fault: the token stays
    if status in (401, 403, 404):
        return OutcomeStatus.CONFIG_ERROR, None, False  # a wrong key or project; a dead token says UNREGISTERED
    if status == 413:
        return _P, PermanentReason.PAYLOAD_TOO_LARGE, False
    if status >= 500:
        return _T, None, False
    return OutcomeStatus.UNKNOWN, None, False
