"""Keeping an audience of an ad network in step: only the difference to what it last confirmed is sent.

An audience is a set of rows, so adding or removing one again changes nothing; :mod:`engage.delivery.audience_record`
says what was planned and what was confirmed.
"""

from __future__ import annotations

import fcntl
import secrets
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import httpx
import polars as pl

from engage.channels.facebook.graph import MAX_ROWS, Graph
from engage.delivery.audience_record import AudienceRecord, Request, Started, differences
from engage.delivery.graph_client import GraphClient, Progress
from engage.errors import ChannelError, ConfigurationError, PlanError
from engage.lake.landing import Lake
from engage.lake.storage import locked
from engage.logs import log
from engage.query.engine import Engine

__all__ = ["AudienceSync", "MetaAudiences", "Progress"]


@dataclass(frozen=True, slots=True)
class AudienceSync:
    """What bringing an audience into step did.

    Args:
        name: The audience.
        audience_id: Meta's id of it.
        people: People it is to hold.
        members: Rows it has now: people whose details are the same are one.
        added: Rows Meta confirmed as added; of a replacement, all of them.
        removed: Rows Meta confirmed as removed.
        received: Rows Meta says it received.
        invalid: Rows Meta says it could not use; approximate.
    """

    name: str
    audience_id: str
    people: int = 0
    members: int = 0
    added: int = 0
    removed: int = 0
    received: int = 0
    invalid: int = 0


class MetaAudiences:
    """The custom audiences of one ad account.

    Args:
        graph: Builds the requests.
        lake: Where what was confirmed lands.
        engine: Reads it back.
        client: The network.
        sleep: Waits, or returns early where it is told to stop.
        now: The clock.
        stopped: Whether it is told to stop; asked between two requests.
        report: Told of progress.
    """

    def __init__(
        self,
        graph: Graph,
        lake: Lake,
        engine: Engine,
        client: httpx.Client,
        *,
        sleep: Callable[[float], object] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        stopped: Callable[[], bool] = lambda: False,
        report: Progress | None = None,
    ) -> None:
        self._graph = graph
        self._record = AudienceRecord(lake, engine)
        self._lock = lake.settings.data / "audiences.lock"
        self._now, self._stopped = now, stopped
        self._report = report or (lambda stage, done, total: None)
        self._client = GraphClient(graph, client, sleep=sleep, stopped=stopped, report=self._report)

    def list(self) -> list[Mapping[str, Any]]:
        """The account's audiences, as Meta has them."""
        found: list[Mapping[str, Any]] = []
        after = ""
        while True:
            body = self._client.ask(lambda after=after: self._graph.audiences(after))  # type: ignore[misc]
            page = body.get("data")
            found += [one for one in page if isinstance(one, dict)] if isinstance(page, list) else []
            paging = body.get("paging")
            cursors = paging.get("cursors") if isinstance(paging, dict) and paging.get("next") else None
            following = str(cursors.get("after") or "") if isinstance(cursors, dict) else ""
            if not following or following == after:
                return found
            after = following

    def find(self, name: str) -> str | None:
        """Meta's id of an audience: the one last synced under this name, whatever Meta calls it by now, else by name.

        Raises:
            PlanError: Several bear the name.
        """
        there = {str(one["id"]): one.get("name") for one in self.list() if one.get("id")}
        known = self._record.known_id(name)
        if known in there:
            return known
        ids = [key for key, called in there.items() if called == name]
        if len(ids) > 1:
            raise PlanError(f"{len(ids)} audiences are named {name!r}", where="facebook", hint="rename or delete one")
        return ids[0] if ids else None

    def delete(self, name: str) -> bool:
        """Delete an audience by its name, and note that nobody is in it.

        Returns:
            Whether there was one.
        """
        with self._alone():
            audience_id = self.find(name)
            if audience_id is None:
                return False
            self._client.ask(lambda: self._graph.delete(audience_id))
            self._record.delete(Started(uuid.uuid4().hex, name, audience_id, None, False), self._now())
        return True

    def sync(
        self,
        name: str,
        keys: Sequence[str],
        rows: pl.DataFrame,
        *,
        segment: str | None = None,
        people: int = 0,
        replace_all: bool = False,
    ) -> AudienceSync:
        """Bring an audience into step with rows; make it if there is none.

        Args:
            name: The audience.
            keys: What the cells are, by Meta's names.
            rows: `row` (cells as a JSON list) and a column a key, hashed; each row once.
            segment: Whom they are of, for the record.
            people: How many people they are of, for the record.
            replace_all: Send everything and let Meta drop the rest, whatever was confirmed before.

        Returns:
            What was done.

        Raises:
            ChannelError: Meta could not be asked; what it confirmed is kept, and the next sync goes on from there.
            ConfigurationError: The token or account is wrong.
            PlanError: Everybody would be replaced by nobody, or another sync is under way.
        """
        if replace_all and rows.is_empty():
            raise PlanError("an audience cannot be replaced by nobody", where=name, hint="sync it, or delete it")
        with self._alone():
            audience_id = self.find(name)
            if audience_id is None:
                if rows.is_empty():
                    hint = "there must be people who opted in to ads and can be matched"
                    raise PlanError("the audience would be made for nobody", where=name, hint=hint)
                audience_id, replace_all = self._create(name), False
            done = AudienceSync(name, audience_id, people, rows.height)
            if cut_off := self._record.unfinished(audience_id, self._now()):
                finished = self._carry_on(done, *cut_off)
                done, replace_all = finished or done, finished is None
            return self._bring(done, keys, rows, segment, replace_all and not rows.is_empty())

    def _bring(
        self, done: AudienceSync, keys: Sequence[str], rows: pl.DataFrame, segment: str | None, replace_all: bool
    ) -> AudienceSync:
        """Plan, land the plan, send it."""
        members = self._record.members(done.audience_id)
        session = secrets.randbits(62) + 1 if replace_all else 0
        started = Started(uuid.uuid4().hex, done.name, done.audience_id, segment, replace_all, session)
        if replace_all:
            labelled = rows.with_columns(keys=pl.lit(",".join(keys)))
            gone = members.join(labelled, on=["keys", "row"], how="anti").select("keys", "row")
            requests = _requests(labelled.select("keys", "row").sort("row"), True, session=session)
        else:
            gone, missing = differences(members, rows, keys)
            # Taken out first: a row that changed in one cell matches the same person by another.
            requests = _requests(gone, False)
            requests += _requests(missing, True, first=len(requests) + 1)
            gone = gone.clear()
        self._record.start(started, requests, gone, done.people, done.members, self._now())
        return self._send(done, started, requests, removed=gone.height)

    def _carry_on(
        self, done: AudienceSync, started: Started, left: Sequence[tuple[int, str, Sequence[str]]]
    ) -> AudienceSync | None:
        """Send the rest of a replacement in the session it began; None where it has to begin anew."""
        if not left:
            return None
        last = left[-1][0]
        total = sum(len(rows) for _, _, rows in left)
        requests = [
            Request(batch, keys, rows, True, _session(started.session_id, batch, batch == last, total))
            for batch, keys, rows in left
        ]
        try:
            return self._send(done, started, requests)
        except ChannelError as error:
            if self._stopped():
                raise
            log("replacement_begins_anew", audience=started.audience_id, error=error.what)
            return None

    def _send(
        self, done: AudienceSync, started: Started, requests: Sequence[Request], *, removed: int = 0
    ) -> AudienceSync:
        """Send requests, each confirmed in the lake once Meta has taken it."""
        edge = "usersreplace" if started.is_replacement else "users"
        total, sent = sum(len(one.rows) for one in requests), 0
        before = {"session_id": 0, "received": 0, "invalid": 0}
        try:
            for one in requests:
                self._report("adding" if one.present else "removing", sent, total)

                def request(one: Request = one, audience_id: str = done.audience_id) -> httpx.Request:
                    return self._graph.users(
                        audience_id, one.keys.split(","), one.rows, session=one.session, edge=edge,
                        remove=not one.present,
                    )  # fmt: skip

                # The first request of a replacement begins its session: sent twice, it would begin another.
                answer = self._client.ask(request, blindly=not (started.is_replacement and one.batch == 1))
                if one.session["session_id"] != before["session_id"]:
                    before = {"session_id": one.session["session_id"], "received": 0, "invalid": 0}
                now = {name: max(before[name], _count(answer.get(field))) for name, field in _TOLD.items()}
                received, invalid = (now[name] - before[name] for name in ("received", "invalid"))
                before |= now
                self._record.confirm(started, one, self._now(), received=received, invalid=invalid)
                sent += len(one.rows)
                done = replace(
                    done,
                    added=done.added + (len(one.rows) if one.present else 0),
                    removed=done.removed + (0 if one.present else len(one.rows)),
                    received=done.received + received,
                    invalid=done.invalid + invalid,
                )
        except (ChannelError, ConfigurationError) as error:
            self._record.fail(started, self._now(), error.what)
            raise
        self._report("done", total, total)
        self._record.finish(started, self._now(), removed=removed)
        log("audience_synced", sync=started.sync_id, audience=done.audience_id, added=done.added,
            removed=done.removed + removed, received=done.received, invalid=done.invalid)  # fmt: skip
        return replace(done, removed=done.removed + removed)

    def _create(self, name: str) -> str:
        """Make an audience; where the answer was lost, look whether it is there before making another."""
        try:
            return str(self._client.ask(lambda: self._graph.create(name), blindly=False)["id"])
        except ChannelError:
            if found := self.find(name):
                return found
            raise

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold off other syncs of this workspace: Meta refuses changes beside a replacement."""
        with locked(self._lock, fcntl.LOCK_EX, 0.0) as held:
            if not held:
                hint = "wait for it; the next sync takes in what has changed since"
                raise PlanError("another sync is under way", where="facebook", hint=hint)
            yield


_TOLD = {"received": "num_received", "invalid": "num_invalid_entries"}  # of the session so far


def _requests(rows: pl.DataFrame, present: bool, *, first: int = 1, session: int = 0) -> list[Request]:
    """Cut rows of `keys` and `row`, sorted by `keys`, into requests; a session for each spelling of the keys."""
    made: list[Request] = []
    for keys, group in groupby(rows.iter_rows(), lambda one: str(one[0])):
        texts = [row for _, row in group]
        session_id = session or secrets.randbits(62) + 1
        starts = range(0, len(texts), MAX_ROWS)
        for seq, start in enumerate(starts, 1):
            told = _session(session_id, seq, seq == len(starts), len(texts))
            made.append(Request(first + len(made), keys, texts[start : start + MAX_ROWS], present, told))
    return made


def _session(session_id: int, seq: int, is_last: bool, total: int) -> dict[str, Any]:
    return {"session_id": session_id, "batch_seq": seq, "last_batch_flag": is_last, "estimated_num_total": total}


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
