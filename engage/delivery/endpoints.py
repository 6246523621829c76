"""Which hosts a request may go to: an address that somebody else named must be on the public internet."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from httpx_aiohttp import AiohttpTransport

from engage.channels.provider import Provider
from engage.channels.webhook import forbidden_address

__all__ = ["ForbiddenHostError", "network"]


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


class _PublicTransport(AiohttpTransport):
    """Goes to the public internet alone, without any proxy the environment names."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        try:
            ipaddress.ip_address(host)
        except ValueError:
            pass  # a name: judged when it is resolved
        else:
            if forbidden_address(host):
                raise ForbiddenHostError("not a host on the public internet")
        return await super().handle_async_request(request)


def network(provider: Provider, *, concurrency: int, http2: bool) -> httpx.AsyncBaseTransport:
    """The transport for one provider.

    Args:
        provider: One that says ``allow_private = False`` calls addresses that others named (webhooks, web push), and
            reaches the public internet alone.
        concurrency: The most connections at once.
        http2: The provider wants HTTP/2.
    """
    limits = httpx.Limits(max_connections=concurrency, keepalive_expiry=15.0)
    if http2:
        return httpx.AsyncHTTPTransport(http2=True, limits=limits)
    if getattr(provider, "allow_private", True):
        return AiohttpTransport(limits=limits)
    context = httpx.create_ssl_context()
    options: dict[str, Any] = {"limit": concurrency, "keepalive_timeout": 15.0, "ssl": context}

    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=_PublicResolver(), **options))

    return _PublicTransport(client=session)
