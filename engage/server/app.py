"""The ASGI application of one workspace."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from engage.errors import EngageError
from engage.server.collector import Collector
from engage.server.folding import fold
from engage.server.journal import Journal
from engage.settings import secret
from engage.workspace import Workspace

__all__ = ["create_app"]

_log = logging.getLogger(__name__)


def create_app(workspace: Workspace, *, fold_every: float = 1.0) -> Starlette:
    """Build the application.

    Args:
        workspace: Whose events it collects.
        fold_every: Seconds between two landings of what was collected.

    Returns:
        An ASGI application. It takes the journal when it starts, lands what an earlier one left there, and lands the
        rest when it stops.

    Raises:
        ConfigurationError: ``ENGAGE_WRITE_KEYS`` (one or more keys, with commas between) is not set.
    """
    keys = [key.strip() for key in secret("ENGAGE_WRITE_KEYS", needed_for="engage serve").split(",") if key.strip()]
    journal = Journal(workspace.settings.data / "journal")
    collector = Collector(journal, keys)
    dead_letters = workspace.settings.data / "dead_letters"

    async def fold_now() -> None:
        try:
            await asyncio.to_thread(fold, journal, workspace.lake, dead_letters)
        except (EngageError, OSError) as error:  # the journal keeps everything; the next turn tries again
            _log.error("events could not be landed yet: %s", type(error).__name__)

    async def fold_for_ever(stop: asyncio.Event) -> None:
        while not stop.is_set():
            await fold_now()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), fold_every)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        stop = asyncio.Event()
        task = asyncio.create_task(fold_for_ever(stop))
        try:
            yield
        finally:
            stop.set()
            await task
            await fold_now()
            journal.close()

    async def health(request: Request) -> JSONResponse:
        return JSONResponse({"waiting_bytes": journal.bytes})

    open_to_pages = Middleware(
        CORSMiddleware, allow_origins=["*"], allow_methods=["GET", "POST"], allow_headers=["*"], max_age=3600
    )
    return Starlette(
        routes=[*collector.routes(), Route("/health", health)], middleware=[open_to_pages], lifespan=lifespan
    )
