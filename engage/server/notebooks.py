"""The workspace's notebooks, served as apps under ``/notebooks/<name>/``, Home first."""

from __future__ import annotations

import importlib.util
import threading
import time
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from engage.access.actor import serve_only_people, service
from engage.access.sessions import Sessions
from engage.errors import ConfigurationError
from engage.logs import log
from engage.server.door import Door
from engage.server.origins import Origins
from engage.workspace import Workspace

__all__ = ["Notebooks", "open_to_people", "warm"]

_LEFT = 300  # seconds for which a notebook's session is kept once its page is gone


class Notebooks:
    """The notebooks of a folder as one application; one put there later is served too.

    Args:
        folder: Where they lie.

    Raises:
        ConfigurationError: What runs notebooks is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import marimo

            builder = marimo.create_asgi_app(quiet=True, include_code=False, session_ttl=_LEFT)
        except ImportError as error:
            raise ConfigurationError(
                f"the notebooks need {error.name}", hint="pip install 'engage[notebooks]'"
            ) from error
        self._folder, self._served = folder, list[Any]()
        self._app = builder.with_dynamic_directory(
            path="/notebooks", directory=str(folder), middleware=[self._seen]
        ).build()

    def routes(self, sessions: Sessions, origins: Origins) -> list[BaseRoute]:
        """``/`` (Home) and ``/notebooks/…``, behind the door.

        Args:
            sessions: Who is signed in.
            origins: Tells our pages from others.
        """
        return [
            Route("/", self._first, methods=["GET"]),
            Mount("/notebooks", Door(self._app, sessions, origins), name="notebooks"),
        ]

    async def close(self) -> None:
        """End every session: each has threads that would keep this process alive."""
        for app in self._served:
            await app.state.session_manager.shutdown()

    def _seen(self, app: ASGIApp) -> ASGIApp:
        self._served.append(app)
        return app

    async def _first(self, request: Request) -> Response:
        there = sorted(file.stem for file in self._folder.glob("*.py") if not file.name.startswith("_"))
        if not there:
            return PlainTextResponse(f"There is no notebook in {self._folder.name}/ of the workspace.\n", 404)
        return RedirectResponse(f"/notebooks/{'home' if 'home' in there else there[0]}/", 303)


def open_to_people(workspace: Workspace) -> None:
    """Let this process act for people who sign in, each for themselves, and warm Home meanwhile.

    Args:
        workspace: What the server itself uses; it acts as the server.
    """
    workspace.acts_as(service("server"))
    serve_only_people()
    # Not a daemon: one cut off within DuckDB or Polars as the interpreter ends takes the process down with an abort.
    threading.Thread(target=warm, args=(workspace.settings.notebooks,)).start()


def warm(folder: Path) -> None:
    """Run Home once, unseen, so that the first who opens it need not wait for libraries to load and files to be read.

    Args:
        folder: Where the notebooks lie.
    """
    file, began = folder / "home.py", time.perf_counter()
    try:
        spec = importlib.util.spec_from_file_location("engage_home", file)
        if spec is None or spec.loader is None or not file.is_file():
            return
        module: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.app.run()
    except Exception as error:  # a notebook may fail in any way; whoever opens it is told by the page
        log("home_not_warm", error=type(error).__name__)
    else:
        log("home_warm", seconds=round(time.perf_counter() - began, 2))
