"""``/callbacks/<provider>``: what providers tell afterwards, checked first and durable before the answer."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from engage.campaigns.tracking import public_url
from engage.channels.provider import Certified, HttpProvider
from engage.delivery.callbacks import Told
from engage.errors import ChannelError, ConfigurationError
from engage.server.journal import Journal
from engage.server.requests import Answer, append, read_body
from engage.workspace import Workspace

__all__ = ["Callbacks"]

_log = logging.getLogger(__name__)
_LARGEST = 4 << 20  # bytes; SendGrid sends a thousand events at once
_FETCH = 10.0  # seconds for a certificate


class Callbacks:
    """Takes the callbacks of the providers that are configured.

    Args:
        workspace: Whose messages they are about.
        every: Seconds between two landings.
        transport: The network that certificates are fetched over.
    """

    def __init__(
        self, workspace: Workspace, *, every: float = 2.0, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._workspace, self._every, self._transport = workspace, every, transport
        self._journal = Journal(workspace.settings.data / "callbacks")
        self._built: dict[str, tuple[str, HttpProvider]] = {}

    def routes(self) -> list[Route]:
        """``/callbacks/{provider}``."""
        return [Route("/callbacks/{provider}", self._take, methods=["GET", "POST"])]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Land while the block runs, and the rest at its end."""
        stop = asyncio.Event()
        task = asyncio.create_task(self._for_ever(stop))
        try:
            yield
        finally:
            stop.set()
            await task
            await self._land()
            self._journal.close()

    async def _take(self, request: Request) -> Response:
        name = request.path_params["provider"]
        try:
            body = await read_body(request, _LARGEST)
            channel, provider = await self._provider(name)
            callback = httpx.Request(request.method, self._address(request), headers=request.headers.raw, content=body)
            receipts = await self._receipts(provider, callback)
            told = [Told(channel, name, datetime.now(UTC), receipt) for receipt in receipts]
            if told:
                await append(self._journal, _lines(told))
        except Answer as answer:
            return answer.response
        except ChannelError as error:  # forged, too old, or of nobody we know
            return JSONResponse({"success": False, "error": error.what}, 403)
        except ConfigurationError as error:
            _log.error("callbacks of %s cannot be checked: %s", name[:40], error)
            return JSONResponse({"success": False, "error": "callbacks cannot be checked here"}, 503)
        return Response(status_code=204)

    async def _provider(self, name: str) -> tuple[str, HttpProvider]:
        if name not in self._built:
            try:
                self._built[name] = await asyncio.to_thread(self._workspace.callback_provider, name)
            except ChannelError as error:
                raise Answer(404, error.what) from error
        return self._built[name]

    def _address(self, request: Request) -> str:
        """The address as the provider called it, which some sign: behind a proxy that is the public one."""
        public = public_url(self._workspace.settings)
        if not public:
            return str(request.url)
        query = f"?{request.url.query}" if request.url.query else ""
        return f"{public}{request.url.path}{query}"

    async def _receipts(self, provider: HttpProvider, callback: httpx.Request) -> list[Any]:
        if not isinstance(provider, Certified):
            return provider.receipts(callback)
        async with httpx.AsyncClient(timeout=_FETCH, trust_env=False, transport=self._transport) as client:
            try:
                if wanted := provider.certificate(callback):
                    provider.certified(wanted, await client.send(wanted))
                found = provider.receipts(callback)
                confirmation = getattr(provider, "confirmation", lambda _: None)(callback)
                if confirmation is not None:
                    await client.send(confirmation)
            except httpx.HTTPError as error:
                raise Answer(503, "the certificate cannot be fetched just now", **{"Retry-After": "60"}) from error
        return found

    async def _for_ever(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self._land()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._every)

    async def _land(self) -> None:
        try:
            for path in await asyncio.to_thread(self._journal.closed):
                told = [Told.from_json(row) for row in _rows(path.read_bytes())]
                waiting = await asyncio.to_thread(self._workspace.land_callbacks, told)
                if waiting:
                    await self._journal.append(_lines(waiting))
                self._journal.forget(path)
        except Exception as error:  # whatever it was, the log keeps everything and the next turn tries again
            _log.error("callbacks could not be landed yet: %s", type(error).__name__)


def _lines(told: list[Told]) -> bytes:
    try:
        return b"".join(json.dumps(one.to_json(), ensure_ascii=False).encode() + b"\n" for one in told)
    except UnicodeEncodeError as error:
        raise ChannelError("the callback holds what is no text", where="callbacks") from error


def _rows(data: bytes) -> list[Mapping[str, Any]]:
    found = []
    for line in data.split(b"\n"):
        with suppress(ValueError):  # empty, or torn by a kill and so never acknowledged
            found.append(json.loads(line))
    return found
