"""What machines ask of a server: does it live, does it do its work, what has it done."""

from __future__ import annotations

import asyncio
import hmac
import os

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from engage.server.folding import Folding
from engage.server.journal import Journal
from engage.workspace import Workspace

__all__ = ["probe_routes"]


def probe_routes(workspace: Workspace, journal: Journal, folding: Folding) -> list[Route]:
    """``/health`` (it lives), ``/ready`` (events land) and ``/metrics`` (OpenMetrics).

    Metrics want ``Authorization: Bearer`` with ENGAGE_METRICS_TOKEN.

    Args:
        workspace: Whose.
        journal: What waits to be landed.
        folding: What lands it.
    """

    async def health(request: Request) -> Response:
        return JSONResponse({"waiting_bytes": journal.bytes})

    async def ready(request: Request) -> Response:
        return JSONResponse({"ready": folding.well, "waiting_bytes": journal.bytes}, 200 if folding.well else 503)

    async def metrics(request: Request) -> Response:
        token = os.environ.get("ENGAGE_METRICS_TOKEN", "")
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not token or not hmac.compare_digest(token.encode(), given.encode()):
            return JSONResponse({"error": "wants the bearer token ENGAGE_METRICS_TOKEN"}, 401)
        text = await asyncio.to_thread(workspace.metrics)
        more = (
            "# TYPE engage_journal_bytes gauge\n# UNIT engage_journal_bytes bytes\n"
            "# HELP engage_journal_bytes Accepted events that wait to be landed.\n"
            f"engage_journal_bytes {journal.bytes}\n"
        )
        kind = "application/openmetrics-text; version=1.0.0; charset=utf-8"
        return Response(text.removesuffix("# EOF\n") + more + "# EOF\n", headers={"content-type": kind})

    return [Route("/health", health), Route("/ready", ready), Route("/metrics", metrics)]
