"""What happens to mail after it was sent: the picture that tells of an opening, and links that note a click.

A token that was not made here leads nowhere: there is no address in a request that anybody is sent on to.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engage.content.links import Links, Who
from engage.errors import EngageError
from engage.lake.runs import read_run
from engage.server.journal import Journal
from engage.server.machines import fetched_by
from engage.settings import Settings
from engage.vocabulary import Event

__all__ = ["PRIVATE", "MessageEvents", "tracking_routes"]

_log = logging.getLogger(__name__)
_PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")  # 1 × 1, transparent

PRIVATE = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
}
"""Headers of an answer that is one person's: not kept, not told to others."""


class MessageEvents:
    """Writes what people did with messages into the journal.

    Args:
        journal: The log.
        settings: The workspace, whose runs tell what campaign a message belongs to.
    """

    def __init__(self, journal: Journal, settings: Settings) -> None:
        self._journal = journal
        self._run = lru_cache(256)(lambda run_id: read_run(settings, run_id))

    def about(self, who: Who) -> dict[str, Any]:
        """What a message's run says of it, as properties of an event."""
        known: dict[str, Any] = {"run_id": who.run_id, "message_id": who.message_id}
        try:
            run = self._run(who.run_id)
        except EngageError:  # the run's files are gone; what happened did happen
            return known
        known |= {"campaign_id": run.campaign_id, "campaign_name": run.campaign_name, "channel": run.channel}
        known |= {"delivery_type": run.delivery_type, "labels": list(run.labels)}
        known |= {"journey_id": run.journey_id} if run.journey_id else {}
        return known | ({"variant": who.variant} if who.variant else {})

    async def record(self, events: list[dict[str, Any]]) -> None:
        """Make events durable: `event_id`, `user_id`, `event_name`, `event_time` and `properties` of each.

        Raises:
            Backlogged: The log is full.
            OSError: The disk refused.
        """
        with self._journal.receiving() as now:
            lines = []
            for event in events:
                times = {"event_time": event["event_time"].isoformat(), "received_at": now.isoformat()}
                row = {**event, **times, "anonymous_id": None, "source": "tracking"}
                lines.append(json.dumps({"events": row}, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
            await self._journal.append(b"".join(lines))


def tracking_routes(links: Links, events: MessageEvents) -> list[Route]:
    """``/o/…`` (the picture) and ``/c/…`` (links).

    Args:
        links: Reads tokens.
        events: Where what happened is noted.
    """

    async def note(request: Request, who: Who, name: Event, more: dict[str, Any]) -> None:
        now = datetime.now(UTC)
        fetched = fetched_by(request.method, request.headers, is_picture=name is Event.NOTIFICATION_VIEWED)
        # One event a minute, message, link and kind: who reloads is not counted twice, and nobody can fill a disk.
        same = json.dumps([who.message_id, name, more, fetched, int(now.timestamp()) // 60])
        event = {
            "event_id": hashlib.sha256(same.encode()).hexdigest()[:32],
            "user_id": who.user_id,
            "event_name": str(name),
            "event_time": now,
            "properties": {**events.about(who), **more, **fetched},
        }
        try:
            await events.record([event])
        except (EngageError, OSError) as error:  # whoever clicked is led on all the same
            _log.error("a view or click could not be kept: %s", type(error).__name__)

    async def opened(request: Request) -> Response:
        found = links.read("opened", request.path_params["token"])
        if found:
            await note(request, found[0], Event.NOTIFICATION_VIEWED, {})
        return Response(_PIXEL, media_type="image/gif", headers=PRIVATE)

    async def clicked(request: Request) -> Response:
        found = links.read("clicked", request.path_params["token"])
        if not found:
            return Response("This link is not one of ours.\n", 404, headers=PRIVATE, media_type="text/plain")
        who, url = found
        await note(request, who, Event.NOTIFICATION_CLICKED, {"url": url})
        return RedirectResponse(url, 302, headers=PRIVATE)

    return [Route("/o/{token}.gif", opened), Route("/c/{token}", clicked)]
