"""Messages for apps and pages: handed out as they come, and what people did with them taken back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from engage.delivery.again import message_id as own_message_id
from engage.errors import EngageError
from engage.lake.runs import Run, read_run
from engage.server.arrivals import Arrivals
from engage.server.collector import Collector
from engage.server.fields import Rejected, journal_line
from engage.server.journal import Journal
from engage.server.requests import Answer, append, read_json
from engage.server.segment_api import translate
from engage.server.users import Users
from engage.vocabulary import PULLED_CHANNELS, Channel, Event
from engage.workspace import Workspace

__all__ = ["Messages"]

_LONGEST_WAIT = 25.0  # seconds; proxies give up after 30
_MOST = 100  # messages in an answer
_REPORTS = 500  # reports in a request
_EVENTS = {
    "viewed": Event.NOTIFICATION_VIEWED,
    "clicked": Event.NOTIFICATION_CLICKED,
    "dismissed": Event.NOTIFICATION_DISMISSED,
    "read": None,
}


class Messages:
    """What waits for a user, and their answers.

    Args:
        workspace: Whose mailbox.
        journal: Where reports are kept until landed.
        collector: Tells which write keys are good.
        users: Believes tokens.
    """

    def __init__(self, workspace: Workspace, journal: Journal, collector: Collector, users: Users) -> None:
        self._mailbox, self._journal, self._collector, self._users = workspace.mailbox, journal, collector, users
        self._arrivals = Arrivals(workspace.mailbox)
        self._run = lru_cache(maxsize=1024)(lambda run_id: read_run(workspace.settings, run_id))

    def routes(self) -> list[Route]:
        """The routes of messages."""
        return [
            Route("/v1/messages", self._waiting, methods=["GET"]),
            Route("/v1/messages/events", self._events, methods=["POST"]),
            Route("/v1/visitors", self._visitor, methods=["POST"]),
            Route("/v1/visitors/known", self._known, methods=["POST"]),
        ]

    def running(self) -> AbstractAsyncContextManager[None]:
        """Wake those who wait for messages, while the block runs."""
        return self._arrivals.watching()

    async def _waiting(self, request: Request) -> Response:
        """What the user may be shown; with `after` and `wait`, as soon as something new has come."""
        try:
            user = self._users.of(request)
            asked = request.query_params
            channels = set(asked.get("channels", ",".join(PULLED_CHANNELS)).split(","))
            if unknown := channels - set(PULLED_CHANNELS):
                raise Answer(400, f"channels has {sorted(unknown)[0][:40]!r}, which no app or page shows")
            after, wait = int(_number(asked, "after", 1 << 62)), _number(asked, "wait", 3600)
            if wait and "after" in asked:
                await self._come(user, after, min(wait, _LONGEST_WAIT), request)
            return JSONResponse(await asyncio.to_thread(self._answer, user, channels, after))
        except Answer as answer:
            return answer.response

    def _answer(self, user: str, channels: set[str], after: int) -> dict[str, Any]:
        now = datetime.now(UTC)
        newest = self._mailbox.newest(user)  # before the messages: what comes in between is told twice, not never
        found = self._mailbox.waiting(user, now=now, channels=channels, after=after, limit=_MOST)
        shown = [one.pop("message") | one for one in found]
        return {"cursor": newest, "unread": self._mailbox.unread(user, now=now), "messages": shown}

    async def _come(self, user: str, after: int, wait: float, request: Request) -> None:
        deadline = time.monotonic() + wait
        with self._arrivals.waiting(user) as event:
            gone = asyncio.create_task(_gone(request))
            try:
                while await asyncio.to_thread(self._mailbox.newest, user) <= after and event is not None:
                    event.clear()
                    come = asyncio.create_task(event.wait())
                    left = deadline - time.monotonic()
                    done, _ = await asyncio.wait({come, gone}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                    come.cancel()
                    if not done or gone in done:
                        return
            except asyncio.CancelledError:  # the server stops: answer now, the page asks again
                return
            finally:
                gone.cancel()

    async def _events(self, request: Request) -> Response:
        """Views, clicks, dismissals and reads of the user's own messages; one that comes twice counts once."""
        try:
            user = self._users.of(request)
            body = await read_json(request)
            reports = body.get("events")
            if not isinstance(reports, list) or len(reports) > _REPORTS:
                raise Answer(400, f"events is not a list of at most {_REPORTS} reports")
            with self._journal.receiving() as now:
                taken, refused = await asyncio.to_thread(self._reports, user, reports, body.get("sentAt"), now)
                if data := b"".join(line for line, _ in taken):
                    await append(self._journal, data)
            await asyncio.to_thread(self._note, user, [note for _, note in taken], now)
        except Answer as answer:
            return answer.response
        if refused and len(reports) == 1:
            return JSONResponse({"success": False, "error": refused[0]}, 400)
        return JSONResponse({"success": True} | ({"rejected": len(refused)} if refused else {}))

    def _reports(
        self, user: str, reports: list[Any], sent_at: Any, received_at: datetime
    ) -> tuple[list[tuple[bytes, tuple[str, str, list[str]]]], list[str]]:
        """What :meth:`_report` makes of those that are good, and why the others are not."""
        taken, refused = [], []
        for report in reports:
            try:
                taken.append(self._report(user, report, sent_at, received_at))
            except EngageError as error:
                refused.append(error.what)
        return taken, refused

    def _report(
        self, user: str, report: Any, sent_at: Any, received_at: datetime
    ) -> tuple[bytes, tuple[str, str, list[str]]]:
        """A line of the journal, and what the mailbox is to note of which message by which report."""
        if not isinstance(report, dict):
            raise Rejected("a report is not an object")
        message_id, report_id, what = (report.get(name) for name in ("message_id", "id", "event"))
        if not (isinstance(message_id, str) and 0 < len(message_id) <= 200):
            raise Rejected("message_id is not text of up to 200 characters")
        if not (isinstance(report_id, str) and 0 < len(report_id) <= 200):
            raise Rejected("id is not text of up to 200 characters")
        if not isinstance(what, str) or what not in _EVENTS:
            raise Rejected(f"event is not one of {', '.join(_EVENTS)}")
        found = self._mailbox.find(user, message_id)
        run = self._sent(user, message_id, found[0] if found else report.get("run_id"), known=found is not None)
        notes, name, line = _notes(what, found[1]) if found else [], _EVENTS[what], b""
        if name and run:
            properties = {
                "message_id": message_id,
                "campaign_id": run.campaign_id,
                "campaign_name": run.campaign_name,
                "run_id": run.run_id,
                "journey_id": run.journey_id,
                "channel": run.channel,
                "delivery_type": run.delivery_type,
                "labels": list(run.labels),
                **{key: str(report[key])[:2000] for key in ("action", "url") if report.get(key)},
            }
            message = {
                "userId": user,
                "event": str(name),
                "messageId": f"{message_id}:{report_id}:{what}",
                "timestamp": report.get("at"),
                "properties": properties,
            }
            rows = translate(message, "track", sent_at=sent_at, received_at=received_at, proven=True)
            line = journal_line(rows)
        return line, (message_id, report_id, notes)

    def _sent(self, user: str, message_id: str, run_id: Any, *, known: bool) -> Run | None:
        """The run a message was sent in; None for a test message, which is not recorded."""
        if not run_id and known:
            return None
        try:
            run = self._run(str(run_id or ""))
        except EngageError:
            raise Rejected("there is no such message of this user") from None
        if not known and message_id != own_message_id(run, user):
            raise Rejected("there is no such message of this user")
        return run

    def _note(self, user: str, notes: list[tuple[str, str, list[str]]], now: datetime) -> None:
        for message_id, report_id, whats in notes:
            for what in whats:
                self._mailbox.note(user, message_id, what, now=now, report=f"{report_id}:{what}")

    async def _visitor(self, request: Request) -> Response:
        """An id and a token for a visitor who is not known yet."""
        try:
            self._collector.admit(request, await read_json(request))
        except Answer as answer:
            return answer.response
        visitor, token = self._users.visitor()
        return JSONResponse({"anonymousId": visitor, "token": token})

    async def _known(self, request: Request) -> Response:
        """A visitor turned out to be the user: what waits for the one waits for the other."""
        try:
            user = self._users.of(request)
            visitor = self._users.visitor_of((await read_json(request)).get("visitor"))
        except Answer as answer:
            return answer.response
        moved = await asyncio.to_thread(self._mailbox.move, visitor, user)
        return JSONResponse({"success": True, "messages": moved})


def _notes(what: str, message: Mapping[str, Any]) -> list[str]:
    """What the mailbox notes: reading an inbox message is seeing it; a message shown n times may be closed n times."""
    if message["channel"] == Channel.APP_INBOX:
        return {"viewed": ["viewed", "read"], "dismissed": ["ended"]}.get(what, ["read"])
    again = message["frequency"]["total"] is not None
    return {"viewed": ["viewed"], "clicked": ["ended"], "dismissed": [] if again else ["ended"]}.get(what, [])


def _number(asked: Mapping[str, str], name: str, most: int) -> float:
    text = asked.get(name, "0")
    if not (text.isascii() and text.isdecimal() and len(text) < 20) or int(text) > most:
        raise Answer(400, f"{name} is not a whole number")
    return int(text)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
