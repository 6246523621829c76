"""The ASGI application of one workspace: a list of routes, each made by the module of its noun."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from starlette.applications import Starlette
from starlette.middleware import Middleware

from engage.server.access import Access
from engage.server.api_docs import docs_routes
from engage.server.callbacks import Callbacks
from engage.server.collector import Collector
from engage.server.cors import OpenToPages
from engage.server.devices import Devices
from engage.server.folding import Folding
from engage.server.journal import Journal
from engage.server.links import link_routes
from engage.server.messages import Messages
from engage.server.probes import probe_routes
from engage.server.sdk_files import sdk_routes
from engage.server.uploads import Uploads
from engage.server.users import Users
from engage.settings import secret
from engage.workspace import Workspace

__all__ = ["create_app"]


def create_app(workspace: Workspace, *, fold_every: float = 1.0, notebooks: bool = False) -> Starlette:
    """Build the application.

    Args:
        workspace: Whose events it collects.
        fold_every: Seconds between two landings of what was collected.
        notebooks: Serve them too, to people who sign in.

    Returns:
        An ASGI application. It takes the journal when it is made, lands what an earlier one left there, and lands the
        rest when it stops.

    Raises:
        ConfigurationError: ``ENGAGE_WRITE_KEYS`` (one or more keys, with commas between) or
            ``ENGAGE_SECRET_KEY`` is not set.
    """
    keys = [key.strip() for key in secret("ENGAGE_WRITE_KEYS", needed_for="engage serve").split(",") if key.strip()]
    journal = Journal(workspace.settings.data / "journal")
    dead_letters = workspace.settings.data / "dead_letters"
    folding = Folding(journal, workspace.lake, workspace.engine, dead_letters, every=fold_every)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with (
            folding.running(),
            messages.running(),
            callbacks.running(),
            access.running() if access else nullcontext(),
        ):
            yield

    access = Access(workspace) if notebooks else None
    callbacks = Callbacks(workspace, every=2 * fold_every)
    users, collector = Users(), Collector(journal, keys)
    messages = Messages(workspace, journal, collector, users)
    routes = [
        *collector.routes(),
        *Uploads(journal).routes(),
        *messages.routes(),
        *Devices(workspace, journal, users).routes(),
        *callbacks.routes(),
        *link_routes(workspace, journal, folding),
        *sdk_routes(),
        *docs_routes(),
        *probe_routes(workspace, journal, folding),
        *(access.routes() if access else ()),
    ]
    return Starlette(routes=routes, middleware=[Middleware(OpenToPages)], lifespan=lifespan)
