"""Webhooks: each qualifying user's details sent to an endpoint, signed (Standard Webhooks 1.0.0).

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, ClassVar

import httpx

from engage.channels.message import Message, Outcome, Receipt
from engage.channels.provider import parse_retry_after
from engage.channels.registry import Configured
from engage.errors import ChannelError, ConfigurationError, UnsupportedContentError
from engage.vocabulary import Channel, OutcomeStatus, PermanentReason

__all__ = ["Webhook", "forbidden_address", "sign"]


_METHODS = ("POST", "PUT", "PATCH")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")  # RFC 9110, 5.6.2
_VALUE = re.compile(r"[\x20-\x7e]{0,4000}")
_OURS = frozenset(
    "connection content-encoding content-length host te trailer transfer-encoding upgrade webhook-id webhook-signature "
    "webhook-timestamp".split()
)


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` of a request.

    Args:
        secret: ``whsec_`` and the key in base64; several, separated by spaces, while a key is being changed.
        message_id: The `webhook-id`.
        timestamp: The `webhook-timestamp`, seconds since 1970.
        body: The raw body.

    Returns:
        ``v1,<base64>``, one a secret, separated by spaces.

    Raises:
        ConfigurationError: A secret is not base64.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = []
    for one in secret.split():
        try:
            key = base64.b64decode(one.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError) as error:
            raise ConfigurationError(
                "the webhook secret is not base64",
                where="WEBHOOK_SECRET",
                hint="write whsec_ and 24 to 64 bytes of base64",
            ) from error
        digest = hmac.new(key, signed, hashlib.sha256).digest()
        signatures.append("v1," + base64.b64encode(digest).decode())
    return " ".join(signatures)


def forbidden_address(address: str) -> bool:
    """Whether an IP address must not be called on somebody else's word: anything but the public internet.

    The sender checks what a host name resolves to, since a public name may point inside (SSRF).
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return True
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return not parsed.is_global or parsed.is_multicast


class Webhook:
    """Posts users to an endpoint, one a request or several.

    The `webhook-id` is the message's id and the same over retries, so that the receiver can tell a repeat: it counts
    as an idempotency key.

    Args:
        configured: url, method (POST, PUT or PATCH), headers, batch_size, allow_private; secret.
        now: The clock, for the timestamp of a signature.
    """

    name: ClassVar[str] = "webhook"
    channel: ClassVar[str] = Channel.WEBHOOK.value
    past = False
    http2 = False
    idempotency: timedelta | None = timedelta(hours=24)

    def __init__(self, configured: Configured, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        options = configured.options
        self.batch_size = int(options["batch_size"])
        self.allow_private = bool(options["allow_private"])
        self._url = str(options["url"])
        self._headers: Mapping[str, str] = dict(options["headers"])
        self._method = str(options.get("method", "POST"))
        self._secret = configured.secrets.get("secret", "")
        self._now = now

    def request(self, batch: Sequence[Message]) -> httpx.Request:
        """One request: ``{"type", "data"}``, `data` a user's details, or a list of them for a batch.

        Raises:
            UnsupportedContentError: There is no url, or it is not http(s); the method or a header is none; the body
                template gave no JSON.
        """
        first = batch[0]
        url = self._target(first)
        now = self._now()
        users = [_details(message) for message in batch]
        kind = str(first.content.get("type") or "campaign.user")
        # No time of the attempt in it: the same message has the same body, so that it may be sent again with its key.
        payload = {"type": kind, "data": users[0] if self.batch_size == 1 else users}
        body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
        webhook_id = first.message_id if len(batch) == 1 else _batch_id(batch)
        timestamp = int(now.timestamp())
        headers = _headers(self._headers) | _headers(first.content.get("headers"))
        headers |= {
            "content-type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(timestamp),
        }
        if self._secret:
            headers["webhook-signature"] = sign(self._secret, webhook_id, timestamp, body)
        method = str(first.content.get("method") or self._method).upper()
        if method not in _METHODS:
            raise UnsupportedContentError(
                f"method {method[:20]!r} is not one", where="webhook", hint=f"write {', '.join(_METHODS)}"
            )
        return httpx.Request(method, url, headers=headers, content=body)

    def outcomes(self, batch: Sequence[Message], response: httpx.Response) -> list[Outcome]:
        """2xx is sent; a redirect is not followed; 410 and wrong doors stop the run."""
        status = response.status_code
        wait = parse_retry_after(response.headers, self._now())
        reason = None
        if 200 <= status < 300:
            meaning = OutcomeStatus.SENT
        elif status == 429:
            meaning = OutcomeStatus.RATE_LIMITED
        elif status in (408, 425, 500, 502, 503, 504) or status >= 500:
            meaning = OutcomeStatus.TEMPORARY  # the same id is sent again, so a repeat can be told
        elif status in (301, 302, 303, 307, 308, 401, 403, 404, 405, 410):
            meaning = OutcomeStatus.CONFIG_ERROR
        elif 400 <= status < 500:
            meaning = OutcomeStatus.PERMANENT
            reason = PermanentReason.PAYLOAD_TOO_LARGE if status == 413 else PermanentReason.CONTENT_REJECTED
        else:
            meaning = OutcomeStatus.UNKNOWN
        return [
            Outcome(message.message_id, meaning, reason, retry_after=wait, detail=f"HTTP {status}", gone=status == 410)
            for message in batch
        ]

    def receipts(self, callback: httpx.Request) -> list[Receipt]:
        """Endpoints do not call back.

        Raises:
            ChannelError: Always.
        """
        raise ChannelError("a webhook endpoint has no callbacks", where="webhook")

    def endpoint(self, content: Mapping[str, Any]) -> str:
        """Where messages of a content go: its own url, or the channel's."""
        return str(_parsed(str(content.get("url") or self._url)))

    def _target(self, message: Message) -> httpx.URL:
        url = str(message.content.get("url") or message.address or self._url)
        if not url.startswith("http"):
            url = self._url
        parsed = _parsed(url)
        if not parsed.host or parsed.scheme not in (("http", "https") if self.allow_private else ("https",)):
            raise UnsupportedContentError(
                "the endpoint is not an https address",
                where="webhook",
                hint="set url under [tool.engage.channels.webhook]; allow_private = true lets it be http",
            )
        return parsed


@lru_cache(maxsize=256)
def _parsed(url: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except httpx.InvalidURL:
        return httpx.URL("")


def _details(message: Message) -> dict[str, Any]:
    body = message.content.get("body")
    if not body:
        return {
            "message_id": message.message_id,
            "user_id": message.user_id,
            "campaign_id": message.campaign_id,
            "run_id": message.run_id,
            "labels": list(message.labels),
            "profile": dict(message.profile),
        }
    try:
        return dict(json.loads(str(body)))
    except (ValueError, TypeError) as error:
        raise UnsupportedContentError("the body is not a JSON object", where="webhook.json.jinja") from error


def _headers(given: object) -> dict[str, str]:
    """Headers somebody wrote; those that frame the request or sign it are not theirs to write."""
    if not given:
        return {}
    if not isinstance(given, Mapping):
        raise UnsupportedContentError("headers is not a table", where="webhook", hint='write { x-source = "engage" }')
    headers = {}
    for name, value in given.items():
        if not _HEADER.fullmatch(str(name)) or not _VALUE.fullmatch(str(value)):
            raise UnsupportedContentError("a header's name or value has characters it may not have", where="webhook")
        if str(name).lower() in _OURS:
            raise UnsupportedContentError(f"the header {str(name).lower()} is not to be set", where="webhook")
        headers[str(name).lower()] = str(value)
    return headers


def _batch_id(batch: Sequence[Message]) -> str:
    joined = "\x1f".join(message.message_id for message in batch)
    return hashlib.sha256(joined.encode()).hexdigest()[:32]
