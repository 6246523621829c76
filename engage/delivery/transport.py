"""The only outbound I/O: one batch to one provider, and what the answer means."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from engage.channels.message import Message, Outcome
from engage.channels.provider import Authorising, Deliverer, HttpProvider, Provider
from engage.errors import ChannelError, ConfigurationError
from engage.vocabulary import OutcomeStatus

__all__ = ["Caller", "never_left"]

_AGENT = "engage"
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
        self._limits = httpx.Limits(max_connections=concurrency, keepalive_expiry=15.0)
        self._authorising = asyncio.Lock()
        self._extensions = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), timeout)}

    async def __aenter__(self) -> Caller:
        if self._transport is None and isinstance(self._provider, HttpProvider):
            self._transport = (
                httpx.AsyncHTTPTransport(http2=True, limits=self._limits)
                if self._provider.http2
                else AiohttpTransport(limits=self._limits)
            )
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
        try:
            if request is None:
                assert isinstance(self._provider, Deliverer)
                async with asyncio.timeout(self._timeout * max(1, len(batch))):
                    outcomes = await self._provider.deliver(batch)
            else:
                assert isinstance(self._provider, HttpProvider)
                await self._authorise()
                response = await self._exchange(request)
                outcomes = self._provider.outcomes(batch, response)
        except (ChannelError, ConfigurationError):
            raise
        except Exception as error:
            return _unknown(batch, _said(error))
        if [outcome.message_id for outcome in outcomes] != [message.message_id for message in batch]:
            return _unknown(batch, "the answer does not say which messages it is about")
        return outcomes

    async def _exchange(self, request: httpx.Request) -> httpx.Response:
        """One request, one whole answer; redirects are not followed."""
        assert self._transport is not None
        request.headers.setdefault("user-agent", _AGENT)
        request.extensions = self._extensions
        try:
            async with asyncio.timeout(2 * self._timeout):  # an answer that trickles in is not waited for without end
                response = await self._transport.handle_async_request(request)
                try:
                    await response.aread()
                finally:
                    await response.aclose()
        except Exception as error:
            if never_left(error):
                raise ChannelError(f"cannot be reached: {_said(error)}", where=request.url.host) from error
            raise
        response.request = request
        return response

    async def _authorise(self) -> None:
        if not isinstance(self._provider, Authorising):
            return
        async with self._authorising:
            now = datetime.now(UTC)
            request = self._provider.authorisation(now)
            if request is None:
                return
            try:
                response = await self._exchange(request)
            except Exception as error:  # whatever it was, the message itself has not left
                raise ChannelError(f"no token: {_said(error)}", where=request.url.host) from error
            self._provider.authorised(response, now)


def _said(error: BaseException) -> str:
    """An error's kind, and where it failed to connect; never a body, an address or a key."""
    cause = error.__cause__ if isinstance(error.__cause__, aiohttp.ClientError) else error
    if isinstance(cause, aiohttp.ClientConnectorError):
        return str(cause)
    return type(cause).__name__


def _unknown(batch: Sequence[Message], detail: str) -> list[Outcome]:
    return [Outcome(message.message_id, OutcomeStatus.UNKNOWN, detail=detail) for message in batch]
