"""Everything the links in messages lead to."""

from __future__ import annotations

from starlette.routing import Route

from engage.content.links import Links
from engage.server.folding import Folding
from engage.server.journal import Journal
from engage.server.preferences import preference_routes
from engage.server.tracking import MessageEvents, tracking_routes
from engage.workspace import Workspace

__all__ = ["link_routes"]


def link_routes(workspace: Workspace, journal: Journal, folding: Folding) -> list[Route]:
    """``/o/…``, ``/c/…``, ``/u/…`` and ``/p/…``.

    Raises:
        ConfigurationError: ENGAGE_SECRET_KEY is not set or too short.
    """
    links, events = Links(""), MessageEvents(journal, workspace.settings)
    return [*tracking_routes(links, events), *preference_routes(workspace, links, events, folding)]
