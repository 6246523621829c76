"""Vonage: text messages over its SMS API, and its signed delivery receipts.

Source: https://developer.vonage.com/en/api/sms and
https://developer.vonage.com/en/getting-started/concepts/signing-messages
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode

import httpx

from engage.channels.addresses import checked_address
from engage.channels.message import Message, Outcome, Receipt
from engage.channels.provider import parse_retry_after
from engage.channels.registry import Configured
from engage.channels.sms.opt_out import opted
from engage.errors import ChannelError, ConfigurationError, ContentError
from engage.vocabulary import Channel, OutcomeStatus, PermanentReason

__all__ = ["Vonage", "vonage_signature"]

_OLDEST = timedelta(hours=24)
_MEANINGS: Mapping[str, tuple[OutcomeStatus, PermanentReason | None]] = {
    "1": (OutcomeStatus.RATE_LIMITED, None),
    "10": (OutcomeStatus.RATE_LIMITED, None),
    "5": (OutcomeStatus.TEMPORARY, None),
    "3": (OutcomeStatus.PERMANENT, PermanentReason.INVALID_ADDRESS),
    "6": (OutcomeStatus.PERMANENT, PermanentReason.INVALID_ADDRESS),
    "22": (OutcomeStatus.PERMANENT, PermanentReason.INVALID_ADDRESS),
    "7": (OutcomeStatus.PERMANENT, PermanentReason.REFUSED),
    "12": (OutcomeStatus.PERMANENT, PermanentReason.PAYLOAD_TOO_LARGE),
    **dict.fromkeys(("2", "4", "8", "9", "11", "14", "15", "29"), (OutcomeStatus.CONFIG_ERROR, None)),
}


def vonage_signature(secret: str, fields: Mapping[str, str]) -> str:
    """Sign a delivery receipt as Vonage does with SHA-256 HMAC.

    Args:
        secret: The account's signature secret.
        fields: What was received; `sig` is left out.

    Returns:
        Lower-case hex.
    """
    text = "".join(f"&{key}={re.sub('[&=]', '_', fields[key])}" for key in sorted(fields) if key != "sig")
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


class Vonage:
    """Sends one text message a request; it takes no idempotency key.

    Args:
        configured: from, base_url, callback_url (the public address of ``/callbacks/vonage``); api_key, api_secret,
            and signature_secret where receipts are taken (the account's method set to SHA-256 HMAC).
        now: The clock.
    """

    name: ClassVar[str] = "vonage"
    channel: ClassVar[str] = Channel.SMS.value
    past = False
    http2 = False
    batch_size = 1
    idempotency: timedelta | None = None

    def __init__(self, configured: Configured, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._options, self._secrets, self._now = configured.options, configured.secrets, now

    def request(self, batch: Sequence[Message]) -> httpx.Request:
        """One form.

        Raises:
            InvalidAddressError: The address is not a phone number.
            ContentError: There is no text.
        """
        [message] = batch
        address, text = checked_address(Channel.SMS, message.address), str(message.content.get("body") or "")
        if not text:
            raise ContentError("the text is empty", where="sms", hint="write a body")
        form = {
            "api_key": self._secrets["api_key"],
            "api_secret": self._secrets["api_secret"],
            "from": str(message.content.get("from") or self._options["from"]),
            "to": address.removeprefix("+"),
            "text": text,
            "type": "text" if text.isascii() else "unicode",
            "client-ref": message.message_id,
        }
        if self._options["callback_url"]:
            form["callback"] = str(self._options["callback_url"])
        url = f"{str(self._options['base_url']).rstrip('/')}/sms/json"
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return httpx.Request("POST", url, headers=headers, content=urlencode(form).encode())

    def outcomes(self, batch: Sequence[Message], response: httpx.Response) -> list[Outcome]:
        """Every segment must have status 0: the answer is 200 even when it refuses."""
        [message] = batch
        code, wait = response.status_code, parse_retry_after(response.headers, self._now())
        if code == 429:
            return [Outcome(message.message_id, OutcomeStatus.RATE_LIMITED, retry_after=wait, detail="HTTP 429")]
        if code in (401, 403):
            return [Outcome(message.message_id, OutcomeStatus.CONFIG_ERROR, detail=f"HTTP {code}")]
        try:
            parts = [(str(part["status"]), str(part.get("message-id", ""))) for part in response.json()["messages"]]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            parts = []
        states = sorted({state for state, _ in parts})
        detail = f"HTTP {code} {' '.join(states)[:40]}".strip()
        if code == 200 and states == ["0"] and parts[0][1]:
            return [Outcome(message.message_id, OutcomeStatus.SENT, provider_id=parts[0][1])]
        unknown = (OutcomeStatus.UNKNOWN, None)  # also where some segments were taken and others not
        meaning, reason = _MEANINGS.get(states[0], unknown) if code == 200 and len(states) == 1 else unknown
        return [Outcome(message.message_id, meaning, reason, retry_after=wait, detail=detail)]

    def receipts(self, callback: httpx.Request) -> list[Receipt]:
        """Verify the signature over the query or form, then translate a delivery receipt or a reply STOP or START.

        Raises:
            ChannelError: It is missing, wrong or older than a day.
            ConfigurationError: The signature secret is not set.
        """
        secret = self._secrets.get("signature_secret", "")
        if not secret:
            raise ConfigurationError(
                "the signature secret is not set", where="vonage", hint="export VONAGE_SIGNATURE_SECRET=…"
            )
        fields = _fields(callback)
        if not hmac.compare_digest(vonage_signature(secret, fields).encode(), fields.get("sig", "").lower().encode()):
            raise ChannelError("the callback's signature is missing or wrong", where="vonage")
        stamp = fields.get("timestamp", "")
        fresh = stamp.isascii() and stamp.isdecimal() and len(stamp) < 13
        if not fresh or abs(self._now().timestamp() - int(stamp)) > _OLDEST.total_seconds():
            raise ChannelError("the callback is too old", where="vonage")
        state, identity = fields.get("status", ""), fields.get("messageId", "")
        sender = f"+{fields['msisdn']}" if fields.get("msisdn") else None
        if identity and not state and (word := opted(fields.get("keyword", "")) or opted(fields.get("text", ""))):
            away = word == "STOP"  # a reply, which names no message of ours
            name, why = ("Channel Unsubscribed", "stop") if away else ("Channel Subscribed", None)
            return [Receipt(name, f"{identity}:{word}", self._now(), address=sender, reason=why, suppress=away)]
        failed = state in ("expired", "failed", "rejected")
        if not identity or (state != "delivered" and not failed):
            return []
        code = fields.get("err-code", "")[:10]
        return [
            Receipt(
                "Notification Failed" if failed else "Notification Delivered",
                f"{identity}:{state}",
                self._now(),
                fields.get("client-ref") or None,
                identity,
                sender,
                "undelivered" if failed else None,
                properties={"raw_event": f"{state} {code}".strip()},
            )
        ]


def _fields(callback: httpx.Request) -> dict[str, str]:
    try:
        body: Any = callback.read().decode()
        if callback.method == "GET":
            pairs = parse_qsl(callback.url.query.decode(), keep_blank_values=True, max_num_fields=100)
        elif "json" in callback.headers.get("content-type", ""):
            pairs = [(str(key), str(value)) for key, value in json.loads(body).items()]
        else:
            pairs = parse_qsl(body, keep_blank_values=True, max_num_fields=100)
        "".join(key + value for key, value in pairs).encode()
    except (ValueError, AttributeError, RecursionError) as error:
        raise ChannelError("the callback cannot be read", where="vonage") from error
    return dict(pairs)
