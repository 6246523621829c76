"""Which hosts a request may go to: an address that somebody else named must be on the public internet."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import zlib
from collections.abc import Sequence
from functools import lru_cache

import aiohttp
import httpx
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDict

from engage.channels.provider import Provider
from engage.channels.webhook import forbidden_address

__all__ = ["LARGEST", "ForbiddenHostError", "Http1", "network", "whole"]

LARGEST = 4 * 1024 * 1024  # bytes of an answer; the largest expected is one line a message of a batch
_KEEP = 15.0  # seconds a connection is kept for the next request
_UNPACKED = (b"content-encoding", b"content-length", b"transfer-encoding")
_HEADERS = {"user-agent": "engage", "accept-encoding": "gzip", "accept": "*/*"}


class ForbiddenHostError(OSError):
    """A host that is, or resolves to, an address which is not on the public internet."""


class _PublicResolver(AbstractResolver):
    """Resolves names, and refuses those any of whose addresses points inside.

    The connection goes to the very addresses that were judged, so that a name cannot turn into an inner host in
    between (OWASP, Server-Side Request Forgery Prevention).
    """

    def __init__(self) -> None:
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if any(forbidden_address(one["host"]) for one in found):
            raise ForbiddenHostError("not a host on the public internet")
        return found

    async def close(self) -> None:
        await self._inner.close()


class Http1(httpx.AsyncBaseTransport):
    """HTTP/1.1 over aiohttp, an answer read whole and up to a size.

    It gives httpx's requests to aiohttp as they are and reads answers itself, without redirects, cookies or a proxy
    the environment names.

    Args:
        concurrency: The most connections at once.
        public: Call addresses on the public internet alone.
    """

    def __init__(self, *, concurrency: int, public: bool) -> None:
        self._public = public
        connector = aiohttp.TCPConnector(
            limit=concurrency,
            keepalive_timeout=_KEEP,
            ssl=httpx.create_ssl_context(),
            resolver=_PublicResolver() if public else None,
        )
        jar = aiohttp.DummyCookieJar()
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=jar, headers=_HEADERS, auto_decompress=False
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._public:
            _refuse_inner(request.url.host)
        waits = request.extensions.get("timeout", {})
        async with self._session.request(
            request.method,
            _url(str(request.url)),
            headers=CIMultiDict(
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw
            ),
            data=request.content or None,
            allow_redirects=False,
            timeout=_timeout(waits.get("connect"), waits.get("read")),
        ) as answer:
            parts: list[bytes] = []
            size = 0
            async for chunk in answer.content.iter_any():
                parts.append(chunk)
                size += len(chunk)
                if size > LARGEST:
                    raise httpx.ReadError("the answer is too large")
            headers: Sequence[tuple[bytes, bytes]] = answer.raw_headers
            body, encoding = b"".join(parts), answer.headers.get("content-encoding")
            if encoding:
                body = unpacked(body, encoding)
                headers = [pair for pair in headers if pair[0].lower() not in _UNPACKED]
            return httpx.Response(answer.status, headers=headers, content=body, request=request)

    async def aclose(self) -> None:
        await self._session.close()
        await asyncio.sleep(0)  # its sockets are closed by the loop's next turn, which may be over before


async def whole(response: httpx.Response, request: httpx.Request) -> httpx.Response:
    """An answer read up to a size, whichever transport it came from: none may fill the memory."""
    if response.is_closed:  # read already
        response.request = request
        return response
    body = bytearray()
    assert isinstance(response.stream, httpx.AsyncByteStream)
    async for chunk in response.stream:
        body += chunk
        if len(body) > LARGEST:
            raise httpx.ReadError("the answer is too large")
    plain = unpacked(bytes(body), response.headers.get("content-encoding", ""))
    headers = [pair for pair in response.headers.raw if pair[0].lower() not in _UNPACKED]
    return httpx.Response(response.status_code, headers=headers, content=plain, request=request)


def unpacked(body: bytes, encoding: str) -> bytes:
    """Unpack gzip or deflate, up to the size an answer may have; another packing was not asked for."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise httpx.DecodingError(f"the answer is packed as {encoding[:20]}")
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS if encoding == "deflate" else 32 + zlib.MAX_WBITS)
    try:
        plain = unpacker.decompress(body, LARGEST)
    except zlib.error as error:
        raise httpx.DecodingError("the answer cannot be unpacked") from error
    if unpacker.unconsumed_tail:
        raise httpx.DecodingError("the answer is too large when unpacked")
    return plain


@lru_cache(maxsize=1024)
def _url(text: str) -> yarl.URL:
    return yarl.URL(text, encoded=True)


@lru_cache(maxsize=64)
def _timeout(connect: float | None, read: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=connect, sock_read=read)


def _refuse_inner(host: str) -> None:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return  # a name: judged when it is resolved
    if forbidden_address(host):
        raise ForbiddenHostError("not a host on the public internet")


def network(provider: Provider, *, concurrency: int, http2: bool) -> httpx.AsyncBaseTransport:
    """The transport for one provider.

    Args:
        provider: One that says ``allow_private = False`` calls addresses that others named (webhooks, web push), and
            reaches the public internet alone.
        concurrency: The most connections at once.
        http2: The provider wants HTTP/2.
    """
    if http2:
        limits = httpx.Limits(max_connections=concurrency, keepalive_expiry=_KEEP)
        return httpx.AsyncHTTPTransport(http2=True, limits=limits)
    return Http1(concurrency=concurrency, public=not getattr(provider, "allow_private", True))
