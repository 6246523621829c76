"""What pages of other origins may ask: the API of apps and pages, and nothing that people are signed in for.

Source: https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["OpenToPages"]


class OpenToPages:
    """Lets pages of any origin use ``/v1/…``, without cookies.

    Args:
        app: The application behind it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._open = CORSMiddleware(
            app, allow_origins=["*"], allow_methods=["GET", "POST", "DELETE"], allow_headers=["*"], max_age=3600
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        asks = scope["type"] == "http" and scope["path"].startswith("/v1/") and _is_from_a_page(scope)
        app = self._open if asks else self._app
        await app(scope, receive, send)


def _is_from_a_page(scope: Scope) -> bool:
    return any(name == b"origin" for name, _ in scope["headers"])
