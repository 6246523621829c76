"""Amazon SNS: text messages straight to a number.

Source: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar
from urllib.parse import urlencode

import httpx

from engage.channels.addresses import E164, checked_address
from engage.channels.aws.errors import xml_text
from engage.channels.aws.sigv4 import Credentials, sign
from engage.channels.message import Message, Outcome, Receipt
from engage.channels.provider import parse_retry_after
from engage.channels.registry import Configured
from engage.errors import ChannelError, ConfigurationError, ContentError
from engage.vocabulary import Channel, OutcomeStatus, PermanentReason

__all__ = ["Sns"]

_E164 = re.compile(E164)
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]")
_SENDER = re.compile(r"[A-Za-z0-9-]{1,11}")
_LONGEST = 1600
_KINDS = ("Promotional", "Transactional")


class Sns:
    """Sends one text message a request; it takes no idempotency key, and tells nothing of a message later.

    Args:
        configured: region, from (a sender name of up to 11 letters and digits, a number you own, or nothing), kind
            (``Promotional`` or ``Transactional``), base_url; access_key, secret_key, session_token.
        now: The clock.
    """

    name: ClassVar[str] = "sns"
    channel: ClassVar[str] = Channel.SMS.value
    past = False
    http2 = False
    batch_size = 1
    idempotency: timedelta | None = None

    def __init__(self, configured: Configured, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        options, secrets = configured.options, configured.secrets
        self._region, self._from, self._kind = (str(options[name]) for name in ("region", "from", "kind"))
        where = "[tool.engage.channels.sms]"
        if not _REGION.fullmatch(self._region):
            raise ConfigurationError(
                f"region {self._region!r} is not one", where=where, hint='write region = "eu-central-1"'
            )
        if self._kind not in _KINDS:
            raise ConfigurationError(
                f"kind {self._kind!r} is not one", where=where, hint=f"write {' or '.join(_KINDS)}"
            )
        self._url = (str(options["base_url"]) or f"https://sns.{self._region}.amazonaws.com").rstrip("/") + "/"
        self._key = Credentials(secrets["access_key"], secrets["secret_key"], secrets.get("session_token", ""))
        self._now = now

    def request(self, batch: Sequence[Message]) -> httpx.Request:
        """One signed form.

        Raises:
            InvalidAddressError: The address is not a phone number.
            ContentError: The text is empty or longer than 1600 characters, or the sender is none.
        """
        [message] = batch
        address, text = checked_address(Channel.SMS, message.address), str(message.content.get("body") or "")
        if not text or len(text) > _LONGEST:
            raise ContentError(f"the text has {len(text)} characters", where="sms", hint=f"1 to {_LONGEST} can be sent")
        sender = str(message.content.get("from") or self._from)
        attributes = {"AWS.SNS.SMS.SMSType": self._kind}
        if _E164.fullmatch(sender):
            attributes["AWS.MM.SMS.OriginationNumber"] = sender
        elif _SENDER.fullmatch(sender):
            attributes["AWS.SNS.SMS.SenderID"] = sender
        elif sender:
            raise ContentError("the sender is no name or number", where="sms", hint="up to 11 letters and digits")
        form = {"Action": "Publish", "Version": "2010-03-31", "PhoneNumber": address, "Message": text}
        for n, (name, value) in enumerate(attributes.items(), 1):
            entry = f"MessageAttributes.entry.{n}"
            form |= {f"{entry}.Name": name, f"{entry}.Value.DataType": "String", f"{entry}.Value.StringValue": value}
        headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
        request = httpx.Request("POST", self._url, headers=headers, content=urlencode(form).encode())
        sign(request, self._key, region=self._region, service="sns", now=self._now())
        return request

    def outcomes(self, batch: Sequence[Message], response: httpx.Response) -> list[Outcome]:
        """200 with an id is sent; an error has a code."""
        [message] = batch
        status, body = response.status_code, response.text[:20_000]
        code = re.sub(r"\W", "", xml_text(body, "Code"))[:60]
        provider_id = xml_text(body, "MessageId")
        reason: PermanentReason | None = None
        suppress = False
        if status == 200 and provider_id:
            return [Outcome(message.message_id, OutcomeStatus.SENT, provider_id=provider_id)]
        if status == 429 or code.startswith(("Throttl", "TooManyRequests")):
            meaning = OutcomeStatus.RATE_LIMITED
        elif code in ("InternalError", "ServiceUnavailable") or status == 503:
            meaning = OutcomeStatus.TEMPORARY
        elif status == 400 and code in ("InvalidParameter", "InvalidParameterValue", "ParameterValueInvalid"):
            told = xml_text(body, "Message").lower()
            number = "phone" in told or "number" in told
            meaning, suppress = OutcomeStatus.PERMANENT, number
            reason = PermanentReason.INVALID_ADDRESS if number else PermanentReason.CONTENT_REJECTED
        elif status == 400 and code == "OptedOut":
            meaning, reason, suppress = OutcomeStatus.PERMANENT, PermanentReason.UNSUBSCRIBED, True
        elif 400 <= status < 500:
            meaning = OutcomeStatus.CONFIG_ERROR
        else:
            meaning = OutcomeStatus.UNKNOWN
        wait = parse_retry_after(response.headers, self._now())
        detail = f"HTTP {status} {code}".strip()
        return [Outcome(message.message_id, meaning, reason, None, wait, suppress=suppress, detail=detail)]

    def receipts(self, callback: httpx.Request) -> list[Receipt]:
        """SNS writes what became of text messages to CloudWatch alone.

        Raises:
            ChannelError: Always.
        """
        raise ChannelError("SNS has no callbacks for text messages", where="sns")
