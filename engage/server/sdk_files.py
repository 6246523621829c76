"""What pages load: ``/sdk/engage.js`` and ``/sdk/engage-sw.js``."""

from __future__ import annotations

import hashlib

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engage.sdk import FILES, read_file

__all__ = ["sdk_routes"]


def sdk_routes() -> list[Route]:
    """The routes of the files; pages of any origin may load them, with ``integrity`` too."""
    return [_route(name) for name in FILES]


def _route(name: str) -> Route:
    text = read_file(name).encode()
    headers = {
        "etag": f'"{hashlib.sha256(text).hexdigest()[:32]}"',
        "cache-control": "public, max-age=300",
        "content-type": "text/javascript; charset=utf-8",
        "x-content-type-options": "nosniff",
        "access-control-allow-origin": "*",
        "cross-origin-resource-policy": "cross-origin",
        "service-worker-allowed": "/",
    }

    async def file(request: Request) -> Response:
        if headers["etag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(text, headers=headers)

    return Route(f"/sdk/{name}", file, methods=["GET"])
