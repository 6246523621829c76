"""Twilio: text messages over its Messages resource, and its signed status callbacks.

Source: https://www.twilio.com/docs/messaging/api/message-resource and
https://www.twilio.com/docs/usage/webhooks/webhooks-security
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import httpx

from engage.channels.addresses import checked_address
from engage.channels.message import Message, Outcome, Receipt
from engage.channels.provider import parse_retry_after
from engage.channels.registry import Configured
from engage.channels.sms.opt_out import opted
from engage.errors import ChannelError, ContentError
from engage.vocabulary import Channel, OutcomeStatus, PermanentReason

__all__ = ["Twilio", "twilio_signature"]

_LONGEST = 1600
_DEAD = frozenset({21211, 21214, 21217, 21614, 30005, 30006})
_BARRED = frozenset({30004, 30007})
_CONFIG = frozenset({20003, 20404, 21212, 21408, 21603, 21606, 21608, 21611, 21659, 21660, 30002, 30034})


def twilio_signature(token: str, url: str, form: dict[str, list[str]], *, sha256: bool = False) -> str:
    """Sign a callback as Twilio does.

    Args:
        token: The account's auth token.
        url: The public URL that was called, with its query.
        form: The form's values by name; none for a JSON body, whose hash the URL carries.
        sha256: With HMAC-SHA256 instead of HMAC-SHA1.

    Returns:
        Base64.

    Source: https://www.twilio.com/docs/usage/webhooks/webhooks-security
    """
    text = url + "".join(name + value for name in sorted(form) for value in sorted(set(form[name])))
    digest = hashlib.sha256 if sha256 else hashlib.sha1
    return base64.b64encode(hmac.new(token.encode(), text.encode(), digest).digest()).decode()


class Twilio:
    """Sends one text message a request.

    It takes no idempotency key, and a 500 may have sent: such a message is in doubt until its callback tells. Our id
    goes along in the query of the callback's address, which Twilio signs.

    Args:
        configured: account (``AC…``), from (a number, a name, or a messaging service ``MG…``), callback_url (the
            public address of ``/callbacks/twilio``), validity (seconds it is worth sending), base_url; auth_token.
        now: The clock.
    """

    name: ClassVar[str] = "twilio"
    channel: ClassVar[str] = Channel.SMS.value
    past = False
    http2 = False
    batch_size = 1
    idempotency: timedelta | None = None

    def __init__(self, configured: Configured, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        options = configured.options
        account = str(options["account"])
        self._from = str(options["from"])
        self._token = configured.secrets["auth_token"]
        self._url = f"{str(options['base_url']).rstrip('/')}/2010-04-01/Accounts/{account}/Messages.json"
        self._callback = str(options["callback_url"])
        self._validity = max(1, min(36_000, int(options["validity"])))
        login = base64.b64encode(f"{account}:{self._token}".encode()).decode()
        self._headers = {"authorization": f"Basic {login}", "content-type": "application/x-www-form-urlencoded"}
        self._now = now

    def request(self, batch: Sequence[Message]) -> httpx.Request:
        """One form.

        Raises:
            InvalidAddressError: The address is not a phone number.
            ContentError: The text is empty or longer than 1600 characters.
        """
        [message] = batch
        body = str(message.content.get("body") or "")
        address = checked_address(Channel.SMS, message.address)
        if not body or len(body) > _LONGEST:
            raise ContentError(f"the text has {len(body)} characters", where="sms", hint=f"1 to {_LONGEST} can be sent")
        sender = str(message.content.get("from") or self._from)
        form = {"To": address, "Body": body, "ValidityPeriod": str(self._validity)}
        form["MessagingServiceSid" if sender.startswith("MG") else "From"] = sender
        if self._callback:
            mark = "&" if "?" in self._callback else "?"
            form["StatusCallback"] = f"{self._callback}{mark}{urlencode({'message_id': message.message_id})}"
        return httpx.Request("POST", self._url, headers=self._headers, content=urlencode(form).encode())

    def outcomes(self, batch: Sequence[Message], response: httpx.Response) -> list[Outcome]:
        """201 is sent; an error's code says more than its status."""
        [message] = batch
        status = response.status_code
        try:
            answer = response.json()
        except (ValueError, RecursionError):
            answer = {}
        answer = answer if isinstance(answer, dict) else {}
        code = answer.get("code")
        if status == 201 and str(answer.get("sid", "")).startswith(("SM", "MM")):
            return [Outcome(message.message_id, OutcomeStatus.SENT, provider_id=str(answer["sid"]))]
        meaning, reason, suppress = OutcomeStatus.UNKNOWN, None, False
        wait = parse_retry_after(response.headers, self._now())
        if status == 429 or code == 20429:
            meaning = OutcomeStatus.RATE_LIMITED
        elif status in (502, 503, 504):
            meaning = OutcomeStatus.UNKNOWN
        elif isinstance(code, int) and 400 <= status < 500:
            meaning, reason, suppress = _refusal(code)
        elif 400 <= status < 500:
            meaning = OutcomeStatus.CONFIG_ERROR
        detail = f"HTTP {status}" + (f" {code}" if isinstance(code, int) else "")
        return [Outcome(message.message_id, meaning, reason, None, wait, suppress=suppress, detail=detail)]

    def receipts(self, callback: httpx.Request) -> list[Receipt]:
        """Verify the signature over the public URL and the form, then translate a status or an answer STOP or START.

        Raises:
            ChannelError: The signature is missing or wrong.
        """
        form = parse_qs(callback.read().decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=200)
        given = callback.headers.get("x-twilio-signature", "")
        sha256 = "HMAC_SHA256" in callback.headers.get("x-twilio-webhooks-signature-settings", "")
        urls = _with_and_without_port(str(callback.url))
        expected = [twilio_signature(self._token, url, form, sha256=sha256) for url in urls]
        if not any(hmac.compare_digest(one.encode(), given.encode()) for one in expected):
            raise ChannelError("the callback's signature is missing or wrong", where="twilio")
        said = {name: values[0] for name, values in form.items()}
        sid = said.get("MessageSid") or said.get("SmsSid") or ""
        moment = self._now()
        reply = "" if "MessageStatus" in said else opted(said.get("Body", ""))
        if word := said.get("OptOutType", "").upper() or reply:
            name = {"STOP": "Channel Unsubscribed", "START": "Channel Subscribed"}.get(word)
            event = f"{sid}:{word}"
            if not name:
                return []
            away = word == "STOP"
            return [
                Receipt(name, event, moment, address=said.get("From"), reason="stop" if away else None, suppress=away)
            ]
        state = said.get("MessageStatus") or said.get("SmsStatus") or ""
        ours = parse_qs(urlsplit(str(callback.url)).query).get("message_id", [None])[0]
        event_id = f"{sid}:{state}"
        if state in ("delivered", "read", "partially_delivered"):
            name = "Notification Viewed" if state == "read" else "Notification Delivered"
            return [Receipt(name, event_id, moment, ours, sid or None, said.get("To"), properties={"raw_event": state})]
        if state in ("undelivered", "failed"):
            told = said.get("ErrorCode", "")
            code = int(told) if told.isdecimal() else 0
            dead = code in _DEAD
            stopped = code == 21610
            reason = (
                "stop" if stopped else "invalid_address" if dead else "blocked" if code in _BARRED else "undelivered"
            )
            return [
                Receipt(
                    "Notification Failed", event_id, moment, ours, sid or None, said.get("To"), reason, dead or stopped,
                    {"raw_event": f"{state} {code}".strip()},
                )
            ]  # fmt: skip
        return []


def _refusal(code: int) -> tuple[OutcomeStatus, PermanentReason | None, bool]:
    if code in _CONFIG:
        return OutcomeStatus.CONFIG_ERROR, None, False
    if code in _DEAD:
        return OutcomeStatus.PERMANENT, PermanentReason.INVALID_ADDRESS, True
    if code == 21610:
        return OutcomeStatus.PERMANENT, PermanentReason.UNSUBSCRIBED, True
    if 21000 <= code < 22000 or code in _BARRED:
        return OutcomeStatus.PERMANENT, PermanentReason.CONTENT_REJECTED, False
    if 30000 <= code < 31000:
        return OutcomeStatus.TEMPORARY, None, False
    return OutcomeStatus.CONFIG_ERROR, None, False


def _with_and_without_port(url: str) -> tuple[str, str]:
    """Twilio signs the address with its port or without, by the age of the product that calls."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    bare = urlunsplit(parts._replace(netloc=host))
    return bare, urlunsplit(parts._replace(netloc=f"{host}:{port}"))
