"""What people are signed in for, put together: the door's pages, and the notebooks behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.routing import BaseRoute

from engage.access.accounts import Accounts
from engage.access.audit import AuditLog
from engage.access.identity import read_provider
from engage.access.sessions import Sessions, Throttle
from engage.access.sign_ins import SignIns
from engage.access.store import Store
from engage.server.access_pages import AccessPages
from engage.server.notebooks import Notebooks
from engage.server.oidc import Oidc
from engage.server.origins import Origins
from engage.server.signing_in import SigningIn
from engage.workspace import Workspace

__all__ = ["Access"]


class Access:
    """The door and what is behind it.

    Args:
        workspace: Whose people and notebooks.

    Raises:
        ConfigurationError: A library is missing, or what is set is wrong.
    """

    def __init__(self, workspace: Workspace) -> None:
        settings = workspace.settings
        store = Store(settings.access)
        self._sessions, self._origins = Sessions(store), Origins(settings.public_url)
        accounts, audit, provider = Accounts(store), AuditLog(settings.audit), read_provider(settings)
        pages = AccessPages(provider.name if provider else "")
        signing_in = SigningIn(accounts, self._sessions, Throttle(store), audit, self._origins, pages)
        self._routes: list[BaseRoute] = [*signing_in.routes()]
        if provider is not None:
            oidc = Oidc(provider, SignIns(store), accounts, signing_in, audit, self._origins, pages)
            self._routes += oidc.routes()
        self._notebooks = Notebooks(settings.notebooks)

    def routes(self) -> list[BaseRoute]:
        """``/``, ``/notebooks/…``, and what signs people in and out."""
        return [*self._routes, *self._notebooks.routes(self._sessions, self._origins)]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Close what people have open when the server stops."""
        try:
            yield
        finally:
            await self._notebooks.close()
