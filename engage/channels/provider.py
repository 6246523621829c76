"""What a provider is: a name and three pure functions.

A provider translates and does no I/O. The sender (``engage.delivery``) owns order, batching, rate limits, retries,
time-outs, idempotency and the ledger, so a provider is tested with vectors and a function for a fake.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import ClassVar, Protocol, runtime_checkable

import httpx

from engage.channels.message import Message, Outcome, Receipt

__all__ = ["Authorising", "Certified", "Deliverer", "HttpProvider", "Provider", "parse_retry_after"]


class Provider(Protocol):
    """What every provider says of itself.

    Attributes:
        name: The word in ``[tool.engage.channels.<channel>] provider = "…"``.
        channel: The channel it serves.
        batch_size: How many messages one request may carry.
        idempotency: How long the provider remembers our key, so that a request may be repeated with the same body;
            None when it takes no key.
        past: May send "as of" the past. Only what reaches nobody (the outbox) may.
    """

    name: ClassVar[str]
    channel: ClassVar[str]
    batch_size: int
    idempotency: timedelta | None
    past: bool


@runtime_checkable
class HttpProvider(Provider, Protocol):
    """A provider spoken to over HTTP, one request a batch.

    Attributes:
        http2: The provider needs HTTP/2 (APNs).
    """

    http2: bool

    def request(self, batch: Sequence[Message]) -> httpx.Request:
        """Translate messages into one request.

        Args:
            batch: 1 to `batch_size` messages, all with the same content fields.

        Raises:
            UnsupportedContentError: The provider's API cannot express the content.
        """
        ...

    def outcomes(self, batch: Sequence[Message], response: httpx.Response) -> list[Outcome]:
        """Say what the answer means: exactly one outcome a message, in their order.

        An answer it does not know is never read as success.
        """
        ...

    def receipts(self, callback: httpx.Request) -> list[Receipt]:
        """Verify a callback's signature, then translate it.

        Args:
            callback: The request as received, with its public URL, headers and raw body.

        Raises:
            ChannelError: The signature is missing, wrong or too old; nothing may land.
        """
        ...


@runtime_checkable
class Authorising(Protocol):
    """A provider that exchanges its key for a short-lived token first (FCM)."""

    def authorisation(self, now: datetime) -> httpx.Request | None:
        """The request that fetches a token, or None while the present one is good."""
        ...

    def authorised(self, response: httpx.Response, now: datetime) -> None:
        """Take the token from the answer.

        Raises:
            ConfigurationError: The key was refused.
            ChannelError: There is none for now; nothing has left.
        """
        ...

    def bear(self, request: httpx.Request) -> None:
        """Put the token into a request that is about to leave."""
        ...


@runtime_checkable
class Certified(Protocol):
    """A provider whose callbacks are signed with a certificate that has to be fetched first (SES, by way of SNS)."""

    def certificate(self, callback: httpx.Request) -> httpx.Request | None:
        """The request that fetches the certificate a callback is signed with, or None while it is known.

        Raises:
            ChannelError: The callback is not worth it: it names a host that is not the provider's, or is too old.
        """
        ...

    def certified(self, request: httpx.Request, response: httpx.Response) -> None:
        """Take the certificate.

        Raises:
            ChannelError: There is none, or it is not valid now.
        """
        ...

    def confirmation(self, callback: httpx.Request) -> httpx.Request | None:
        """The request that accepts being called, where a verified callback asks for that.

        Raises:
            ChannelError: The callback's signature is wrong.
        """
        ...


@runtime_checkable
class Deliverer(Provider, Protocol):
    """A provider that does not speak HTTP (SMTP, the outbox) and so delivers by itself."""

    async def deliver(self, batch: Sequence[Message]) -> list[Outcome]:
        """Deliver messages: exactly one outcome a message, in their order."""
        ...

    async def aclose(self) -> None:
        """Give back what was opened."""
        ...


def parse_retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Read Retry-After in either of its forms, delta-seconds or an HTTP date (RFC 9110, 10.2.3).

    Args:
        headers: The answer's headers.
        now: The clock a date is compared with; the present by default.

    Returns:
        Seconds to wait, at least 0; None where the header is absent or neither form.
    """
    value = (headers.get("retry-after") or "").strip()
    if value.isdecimal() and value.isascii():
        return float(value[:9])
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
