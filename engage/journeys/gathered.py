"""What a tick asks of the lake, and the files it works things out in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import pyarrow.parquet as pq

from engage.analysis.events import Binder
from engage.journeys.entries import Span, segment_sql
from engage.journeys.facts import Asked, case_selector, changes_sql, facts_sql, reach_sql
from engage.journeys.graph import Branch, Case, Journey, Wait
from engage.query.engine import Engine
from engage.query.files import literal

__all__ = ["Gathered", "Workings"]


@dataclass(frozen=True, slots=True)
class Workings:
    """Files a tick works things out in.

    Args:
        engine: What answers.
        folder: An empty folder inside the lake.
        until: The end of the tick; segments and profiles are asked as of then, and it is ``$until``.
    """

    engine: Engine
    folder: Path
    until: datetime

    def path(self, name: str) -> Path:
        """The file of that name."""
        return self.folder / f"{name}.parquet"

    def read(self, name: str) -> str:
        """SQL of a file's rows."""
        return f"select * from read_parquet({literal(str(self.path(name)))})"

    def copy(self, query: str, path: Path, binder: Binder | None = None) -> int:
        """Write a query's rows to a file.

        Returns:
            How many there are.
        """
        params = dict(binder.params) if binder else {}
        if "$until" in query:
            params["until"] = self.until
        used = self.engine.parameters(query)
        given = {name: value for name, value in params.items() if name in used}
        compression: Literal["zstd", "lz4_raw"] = "lz4_raw" if path.parent == self.folder else "zstd"
        self.engine.copy(query, given, path, as_of=self.until, compression=compression)
        return pq.read_metadata(path).num_rows


@dataclass(slots=True)
class Gathered:
    """What the rounds of one version ask of the lake.

    Events asked for once are read where they lie; what is asked for again is kept in a file, with what matters alone.

    Args:
        workings: Where files are.
        journey: Whose.
        asked: Numbers of what is asked.
        span: The tick's.
        start: SQL of where people are when the tick begins, `user_id` and `entry_at` among it.
        drafts: SQL of segments that have no file yet.
    """

    workings: Workings
    journey: Journey
    asked: Asked
    span: Span
    start: str
    drafts: Mapping[str, str]
    _kept: dict[str, str] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set)

    def enders(self) -> tuple[int | None, set[int]]:
        """Numbers of the events that end walks: the goal, if it does, and the exit criteria."""
        goal = self.asked.event(self.journey.goal.event) if self.journey.goal_ends else None
        return goal, {self.asked.event(selector) for selector in self.journey.exits.events}

    def fresh(self, binder: Binder, at: set[str] | None = None) -> str:
        """SQL of the span's events that end waits and walks; as of :func:`engage.journeys.facts.facts_sql`.

        Args:
            binder: Takes the values.
            at: The nodes it is asked for; None keeps it for the rounds to come.
        """
        goal, exits = self.enders()
        waits = {name: node.does.event for name, node in self.journey.nodes.items() if isinstance(node.does, Wait)}
        wanted = {*exits, *([goal] if goal is not None else [])}
        uses = 2 if at is None else bool(wanted) + any(waits.get(name) is not None for name in at)
        wanted |= {self.asked.event(event) for event in waits.values() if event is not None}
        return self._events("fresh", wanted, binder, self.span[0], uses)

    def history(self, binder: Binder, cases: Sequence[Case]) -> str:
        """SQL of all that people did, of what branches ask and as far back as they do.

        Args:
            binder: Takes the values.
            cases: Those that ask it now.
        """
        if "history" in self._kept:
            return self._kept["history"]
        branches = [node.does for node in self.journey.nodes.values() if isinstance(node.does, Branch)]
        every = [case for branch in branches for case in branch.cases]
        since = None
        if all(case.within != "ever" for case in every if case.kind == "event"):
            first = self.workings.engine.frame(f"select min(entry_at) from ({self.start})").item()
            longest = max((case.within for case in every if isinstance(case.within, timedelta)), default=timedelta(0))
            since = first - longest if first else None
        numbers = {
            self.asked.message(str(case.message), case.did)
            if case.kind == "message"
            else self.asked.event(case_selector(case))
            for case in every
            if case.kind in ("event", "message")
        }
        return self._events(
            "history", numbers, binder, since, sum(case.kind in ("event", "message") for case in cases), only=True
        )

    def _events(
        self, name: str, numbers: set[int], binder: Binder, since: datetime | None, uses: int, *, only: bool = False
    ) -> str:
        if name not in self._kept:
            if uses == 0 or (uses == 1 and name not in self._used):
                self._used |= {name} if uses else set()
                return facts_sql(self.journey, self.asked, numbers, binder, since, self.span[1])
            own = Binder()
            people = self._people() if only else None
            self._keep(name, facts_sql(self.journey, self.asked, numbers, own, since, self.span[1], people), own)
        return self._kept[name]

    def changes(self) -> str:
        """SQL of what properties became, as of :func:`engage.journeys.facts.changes_sql`; empty if none is asked."""
        if self.asked.properties and "changes" not in self._kept:
            binder = Binder()
            self._keep("changes", changes_sql(self.asked, binder, self.span[1], self._people()), binder)
        return self._kept.get("changes", "")

    def reach(self, channels: Sequence[str]) -> str:
        """SQL of the channels that reach people, as of :func:`engage.journeys.facts.reach_sql`."""
        if "reach" not in self._kept:
            self._keep("reach", reach_sql(channels, self._people()))
        return self._kept["reach"]

    def members(self, segment: str) -> str:
        """SQL of who is in a segment when the tick ends: `user_id`."""
        name = f"member-{segment}"
        if name not in self._kept:
            body = segment_sql(self.workings.engine, segment, self.drafts)
            self._keep(name, f"select distinct user_id::varchar as user_id from ({body}\n)")
        return self._kept[name]

    def _people(self) -> str:
        return f"select user_id from ({self.start})"

    def _keep(self, name: str, query: str, binder: Binder | None = None) -> None:
        path = self.workings.path(name)
        self.workings.copy(query, path, binder)
        self._kept[name] = self.workings.read(name)
