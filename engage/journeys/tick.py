"""The tick: all moves of a journey that fall due in a span of time, as set-based SQL, round by round.

A move carries the exact time it fell due, never the tick's, so one tick over ninety days and ninety over a day give the
same rows. It asks the lake and writes one file; it changes nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import pyarrow.parquet as pq

from engage.analysis.events import Binder
from engage.journeys.entries import Span, entries_sql, entry_rows, segment_sql
from engage.journeys.facts import Asked, asked_by, case_selector, changes_sql, facts_sql, reach_sql
from engage.journeys.graph import Branch, ChannelChoice, Journey, Wait
from engage.journeys.rounds import round_sql, updates
from engage.lake.schema import TRANSITIONS
from engage.query.engine import Engine
from engage.query.files import literal

__all__ = ["Tick", "change_id_sql"]

_MOST_ROUNDS = 100_000
_COLUMNS = ", ".join(TRANSITIONS.names)


def change_id_sql(node: str = "node") -> str:
    """SQL of the id of a profile change made by a journey: the same however often it is written."""
    return f"left(sha256(concat_ws(chr(31), 'journey', journey_id, user_id, epoch_us(entry_at), seq, {node})), 32)"


@dataclass(slots=True)
class Tick:
    """One tick of one journey.

    Args:
        engine: What answers.
        versions: The journey as of each of its versions that has people in it or lets them in.
        newest: The version people enter.
        span: From when until before when.
        walks: SQL of the last row of every walk so far.
        folder: An empty folder inside the lake, for what it works out.
        launched_at: When it was launched.
        open_spans: When people may enter.
        ordered: Whether the rows are to be in the order of the record, so that equal moves are equal bytes, and to tell
            what let people in.
        drafts: SQL of segments that have no file yet.
    """

    engine: Engine
    versions: Mapping[int, Journey]
    newest: int
    span: Span
    walks: str
    folder: Path
    launched_at: datetime
    open_spans: Sequence[Span]
    ordered: bool = True
    drafts: Mapping[str, str] = field(default_factory=dict)
    _asked: Asked = field(default_factory=Asked)
    _made: dict[str, str] = field(default_factory=dict)

    def run(self, target: Path) -> int:
        """Work out the moves and write them as one file in the order of the record.

        Args:
            target: The file; it is not written when nobody moves.

        Returns:
            How many moves there were, entries among them.
        """
        return self.join(self.files(), target)

    def join(self, moves: Sequence[Path], target: Path) -> int:
        """Write files of moves as one; see :meth:`run`."""
        count = sum(pq.read_metadata(path).num_rows for path in moves)
        if count:
            files = literal([str(path) for path in moves])
            order = "order by entered_at, user_id, entry_at, seq" if self.ordered else ""
            self._copy(f"select {_COLUMNS} from read_parquet({files}) {order}", target)
        return count

    def files(self) -> list[Path]:
        """Work out the moves; the files of them, one a round, with more columns than the record's."""
        self._enter(self.newest)
        moves = [self._path("entries")]
        for version, journey in self.versions.items():
            moves += self._walk(version, journey, newest=version == self.newest)
        return moves

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.parquet"

    def _read(self, name: str) -> str:
        return f"select * from read_parquet({literal(str(self._path(name)))})"

    def _copy(self, query: str, path: Path, binder: Binder | None = None) -> int:
        params = dict(binder.params) if binder else {}
        if "$until" in query:
            params["until"] = self.span[1]
        used = self.engine.parameters(query)
        given = {name: value for name, value in params.items() if name in used}
        kept = path.parent != self.folder
        compression: Literal["zstd", "lz4_raw"] = "zstd" if kept else "lz4_raw"
        self.engine.copy(query, given, path, as_of=self.span[1], compression=compression)
        return pq.read_metadata(path).num_rows

    def _enter(self, version: int) -> None:
        journey, binder = self.versions[version], Binder()
        asked = asked_by(journey)
        entries = entries_sql(
            self.engine,
            journey,
            asked,
            binder,
            span=self.span,
            open_spans=self.open_spans,
            launched_at=self.launched_at,
            walks=f"select user_id, entry_at from ({self.walks})",
            folder=self.folder,
            drafts=self.drafts,
            detailed=self.ordered,
        )
        self._copy(entry_rows(journey, version, entries), self._path("entries"), binder)

    def _walk(self, version: int, journey: Journey, *, newest: bool) -> list[Path]:
        """Round after round until nobody moves; the files of the moves."""
        self._asked, self._made = asked_by(journey), {}
        start = f"start-{version}"
        self._start(version, journey, start, newest=newest)
        files: list[Path] = []
        counter = 0
        generations: list[int | None] = [None]
        if newest and self._writes_what_it_asks(journey):
            # What an earlier walk wrote, a later one of the same person must see: one walk after another.
            found = self.engine.frame(f"select distinct generation from ({self._read(start)}) order by 1")
            generations = found["generation"].to_list()
        for generation in generations:
            frontier = self._read(start)
            if generation is not None:
                frontier = f"select * from ({frontier}) where generation = {generation}"
            for _ in range(_MOST_ROUNDS):
                at = self.engine.frame(f"select distinct node from ({frontier}) where due_at is not null")["node"]
                if at.is_empty():
                    break
                name = f"moves-{version}-{counter:05}"
                if not self._round(journey, set(at), frontier, name, start, files):
                    break
                files.append(self._path(name))
                frontier, counter = self._read(name), counter + 1
        return files

    def _start(self, version: int, journey: Journey, name: str, *, newest: bool) -> None:
        """Where people are who may move: those inside, and those who enter."""
        again = f"select user_id, min(entry_at) as ends_at from ({self._read('entries')}) group by user_id"
        binder = Binder()
        goal, exits = self._enders(journey)
        wanted = {*exits, *([goal] if goal is not None else [])}
        for node in journey.nodes.values():
            if isinstance(node.does, Wait) and node.does.event is not None:
                wanted.add(self._asked.event(node.does.event))
        self._copy(facts_sql(journey, self._asked, wanted, binder, *self.span), self._path(f"fresh-{version}"), binder)
        self._made["fresh"] = self._read(f"fresh-{version}")
        # Of those inside only they can move whose time has come, whom an event of the span concerns or who enter anew.
        inside = (
            f"select inside.*, again.ends_at, 0 as generation from ({self.walks}) as inside "
            f"left join ({again}) as again on again.user_id = inside.user_id "
            f"where inside.version = {version} and inside.due_at is not null and (inside.due_at < $until "
            f"or again.ends_at is not null or inside.user_id in (select user_id from ({self._made['fresh']})))"
        )
        entries = f" union all by name {self._read('entries')}" if newest else ""
        self._copy(f"{inside}{entries}", self._path(name))

    def _enders(self, journey: Journey) -> tuple[int | None, set[int]]:
        goal = self._asked.event(journey.goal.event) if journey.goal_ends else None
        return goal, {self._asked.event(selector) for selector in journey.exits.events}

    def _writes_what_it_asks(self, journey: Journey) -> bool:
        written = {key for update in updates(journey).values() for key in update.values}
        return bool(written & set(self._asked.properties))

    def _round(
        self, journey: Journey, at: set[str], frontier: str, name: str, start: str, files: Sequence[Path]
    ) -> int:
        binder = Binder()
        branches = [node.does for node in journey.nodes.values() if node.id in at and isinstance(node.does, Branch)]
        cases = [case for branch in branches for case in branch.cases]
        people = f"select user_id from ({self._read(start)})"
        if any(case.kind in ("event", "message") for case in cases):
            self._history(journey, start)
        if self._asked.properties:
            self._changes(journey, people)
        channels = [node.does for node in journey.nodes.values() if isinstance(node.does, ChannelChoice)]
        if any(isinstance(journey.nodes[node].does, ChannelChoice) for node in at if node in journey.nodes):
            self._reach(sorted({channel for one in channels for channel in one.channels}), people)
        members = {str(case.segment): self._members(str(case.segment)) for case in cases if case.kind == "segment"}
        goal, exits = self._enders(journey)
        query = round_sql(
            journey,
            self._asked,
            binder,
            at=at,
            here=frontier + " where due_at is not null" if "where" not in frontier else frontier,
            fresh=self._made["fresh"],
            history=self._made.get("history", ""),
            changes=self._with_updates(journey, binder, files),
            reach=self._made.get("reach", ""),
            members=members,
            goal=goal,
            exits=exits,
            timezone=self.engine.settings.timezone,
        )
        return self._copy(query, self._path(name), binder)

    def _history(self, journey: Journey, start: str) -> None:
        """What the people who may move did, of what branches ask and as far back as they do."""
        if "history" in self._made:
            return
        cases = [c for n in journey.nodes.values() if isinstance(n.does, Branch) for c in n.does.cases]
        since = None
        if all(case.within != "ever" for case in cases if case.kind == "event"):
            first = self.engine.frame(f"select min(entry_at) from ({self._read(start)})").item()
            longest = max((c.within for c in cases if isinstance(c.within, timedelta)), default=timedelta(0))
            since = first - longest if first else None
        people = f"select user_id from ({self._read(start)})"
        numbers = {
            self._asked.message(str(case.message), case.did)
            if case.kind == "message"
            else self._asked.event(case_selector(case))
            for node in journey.nodes.values()
            if isinstance(node.does, Branch)
            for case in node.does.cases
            if case.kind in ("event", "message")
        }
        binder = Binder()
        query = facts_sql(journey, self._asked, numbers, binder, since, self.span[1], people)
        self._copy(query, self._path(f"history-{journey.journey_id}"), binder)
        self._made["history"] = self._read(f"history-{journey.journey_id}")

    def _changes(self, journey: Journey, people: str) -> None:
        if "changes" not in self._made:
            binder = Binder()
            path = self._path(f"changes-{journey.journey_id}")
            self._copy(changes_sql(self._asked, binder, self.span[1], people), path, binder)
            self._made["changes"] = self._read(path.stem)

    def _with_updates(self, journey: Journey, binder: Binder, files: Sequence[Path]) -> str:
        """What properties became, with what the journey itself wrote in this tick."""
        changes = self._made.get("changes", "")
        if not changes or not files:
            return changes
        names = literal([str(path) for path in files])
        for name, update in updates(journey).items():
            for key, value in update.values.items():
                if key in self._asked.properties:
                    text = binder.bind(json.dumps(value))
                    changes += (
                        f" union all select user_id, {self._asked.property(key)} as p, {text} as value, "
                        f"entered_at as t, {change_id_sql()} as change_id "
                        f"from read_parquet({names}) where node = {literal(name)}"
                    )
        return changes

    def _reach(self, channels: Sequence[str], people: str) -> None:
        if "reach" not in self._made:
            path = self._path(f"reach-{len(self._made)}")
            self._copy(reach_sql(channels, people), path)
            self._made["reach"] = self._read(path.stem)

    def _members(self, segment: str) -> str:
        """Who is in a segment when the tick ends."""
        key = f"member-{segment}"
        if key not in self._made:
            body = segment_sql(self.engine, segment, self.drafts)
            self._copy(f"select distinct user_id::varchar as user_id from ({body}\n)", self._path(key))
            self._made[key] = f"select user_id from ({self._read(key)})"
        return self._made[key]
