"""The only outbound I/O: one batch to one provider, and what the answer means."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType

import aiohttp
import httpx

from engage.channels.message import Message, Outcome
from engage.channels.provider import Authorising, Deliverer, HttpProvider, Provider
from engage.delivery.answers import with_answers
from engage.delivery.endpoints import ForbiddenHostError, network, whole
from engage.errors import ChannelError, ConfigurationError
from engage.vocabulary import Channel, OutcomeStatus, PermanentReason

__all__ = ["Caller", "never_left"]

_NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)
_AIOHTTP_NEVER_LEFT = (
    aiohttp.ClientConnectorError,  # refused, unreachable, no such host, wrong certificate
    aiohttp.ConnectionTimeoutError,
    aiohttp.ServerFingerprintMismatch,
    aiohttp.InvalidURL,
)


def never_left(error: BaseException) -> bool:
    """Say whether a request that failed certainly never reached the provider.

    The aiohttp transport reports a connection that broke after writing as a time-out of connecting, so where an error
    of aiohttp is the cause, the cause decides.

    Args:
        error: What the transport raised.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, aiohttp.ClientError | TimeoutError):
            return isinstance(cause, _AIOHTTP_NEVER_LEFT)
        cause = cause.__cause__
    return isinstance(error, _NEVER_LEFT)


class Caller:
    """Asks one provider.

    Args:
        provider: Whom.
        concurrency: The most requests under way at once.
        timeout: Seconds it has to answer.
        transport: The network; by default httpx over aiohttp, or HTTP/2 where the provider wants it.
    """

    def __init__(
        self, provider: Provider, *, concurrency: int, timeout: float, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._provider, self._timeout = provider, timeout
        self._transport = transport
        self._concurrency = concurrency
        self._authorising = asyncio.Lock()
        # Told once: asking a protocol whether an object fits it costs more than a commit of the ledger.
        self._http = provider if isinstance(provider, HttpProvider) else None
        self._token = provider if isinstance(provider, Authorising) else None
        self._extensions = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), timeout)}

    async def __aenter__(self) -> Caller:
        if self._transport is None and self._http is not None:
            self._transport = network(self._http, concurrency=self._concurrency, http2=self._http.http2)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._transport is not None:
            await self._transport.aclose()
        if isinstance(self._provider, Deliverer):
            await self._provider.aclose()

    async def __call__(self, batch: Sequence[Message], request: httpx.Request | None) -> list[Outcome]:
        """Deliver one batch.

        Args:
            batch: The messages.
            request: What the provider made of them, where it speaks HTTP.

        Returns:
            One outcome a message, in their order; all unknown when there is no telling.

        Raises:
            ChannelError: It certainly never left.
            ConfigurationError: A key or sender is wrong.
        """
        response: httpx.Response | None = None
        try:
            if request is None:
                assert isinstance(self._provider, Deliverer)
                async with asyncio.timeout(self._timeout * max(1, len(batch))):
                    outcomes = await self._provider.deliver(batch)
            else:
                assert self._http is not None
                if self._token is not None:
                    await self._authorise(self._token, request)
                response = await self._exchange(request)
                outcomes = self._http.outcomes(batch, response)
        except ConfigurationError:
            raise
        except ForbiddenHostError as error:
            return self._at_fault(batch, request, PermanentReason.INVALID_ADDRESS, error)
        except ChannelError as error:
            if isinstance(error.__cause__, httpx.UnsupportedProtocol | aiohttp.InvalidURL):
                return self._at_fault(batch, request, PermanentReason.INVALID_ADDRESS, error)
            if self._named_by_person(batch, request):
                return [Outcome(m.message_id, OutcomeStatus.TEMPORARY, detail=error.what) for m in batch]
            raise
        except Exception as error:
            return _unknown(batch, _said(error))
        if [outcome.message_id for outcome in outcomes] != [message.message_id for message in batch]:
            return _unknown(batch, "the answer does not say which messages it is about")
        return outcomes if response is None else with_answers(outcomes, batch, response)

    async def _exchange(self, request: httpx.Request) -> httpx.Response:
        """One request, one whole answer; redirects are not followed."""
        assert self._transport is not None
        request.extensions = self._extensions
        try:
            async with asyncio.timeout(2 * self._timeout):  # an answer that trickles in is not waited for without end
                response = await self._transport.handle_async_request(request)
                try:
                    return await whole(response, request)
                finally:
                    await response.aclose()
        except Exception as error:
            if forbidden := _forbidden(error):
                raise forbidden from None
            if never_left(error):
                raise ChannelError(f"cannot be reached: {_said(error)}", where=request.url.host) from error
            raise

    def _named_by_person(self, batch: Sequence[Message], request: httpx.Request | None) -> bool:
        """Whether the host is one of a person's address, not of the settings."""
        if request is None:
            return False
        web_push = self._provider.channel == Channel.WEB_PUSH
        return web_push or any(_host(message.address) == request.url.host for message in batch)

    def _at_fault(
        self, batch: Sequence[Message], request: httpx.Request | None, reason: PermanentReason, error: Exception
    ) -> list[Outcome]:
        """A host that is not to be called: in a person's address it fails that person; in the settings, the run."""
        if self._named_by_person(batch, request):
            detail = "the endpoint is not on the public internet"
            return [Outcome(m.message_id, OutcomeStatus.PERMANENT, reason, detail=detail) for m in batch]
        raise ConfigurationError(
            "the endpoint is not on the public internet",
            where=f"[tool.engage.channels.{self._provider.channel}]",
            hint="allow_private = true lets it be an inner one",
        ) from error

    async def _authorise(self, provider: Authorising, request: httpx.Request) -> None:
        """Give a request its token, fetched first where there is none that is good."""
        async with self._authorising:
            now = datetime.now(UTC)
            exchange = provider.authorisation(now)
            if exchange is not None:
                try:
                    response = await self._exchange(exchange)
                except Exception as error:  # whatever it was, the message itself has not left
                    raise ChannelError(f"no token: {_said(error)}", where=exchange.url.host) from error
                provider.authorised(response, now)
            provider.bear(request)


def _host(address: str) -> str | None:
    try:
        return httpx.URL(address).host or None
    except httpx.InvalidURL:
        return None


def _forbidden(error: BaseException | None) -> ForbiddenHostError | None:
    while error is not None and not isinstance(error, ForbiddenHostError):
        error = error.__cause__
    return error


def _said(error: BaseException) -> str:
    """An error's kind, and where it failed to connect; never a body, an address or a key."""
    cause = error.__cause__ if isinstance(error.__cause__, aiohttp.ClientError) else error
    if isinstance(cause, aiohttp.ClientConnectorError):
        return str(cause)
    return type(cause).__name__


def _unknown(batch: Sequence[Message], detail: str) -> list[Outcome]:
    return [Outcome(message.message_id, OutcomeStatus.UNKNOWN, detail=detail) for message in batch]
