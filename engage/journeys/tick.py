"""The tick: all moves of a journey that fall due in a span of time, as set-based SQL, round by round.

A move carries the exact time it fell due, never the tick's, so one tick over ninety days and ninety over a day give the
same rows. It asks the lake and writes one file; it changes nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq

from engage.analysis.events import Binder
from engage.journeys.entries import Span, entries_sql, entry_rows
from engage.journeys.facts import asked_by
from engage.journeys.gathered import Gathered, Workings
from engage.journeys.graph import Branch, ChannelChoice, Journey
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
        inside: The versions that have people in them.
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
    inside: Collection[int]
    newest: int
    span: Span
    walks: str
    folder: Path
    launched_at: datetime
    open_spans: Sequence[Span]
    ordered: bool = True
    drafts: Mapping[str, str] = field(default_factory=dict)

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
            self._workings.copy(f"select {_COLUMNS} from read_parquet({files}) {order}", target)
        return count

    def files(self) -> list[Path]:
        """Work out the moves; the files of them, one a round, with more columns than the record's."""
        self._enter(self.newest)
        moves = [self._workings.path("entries")]
        for version, journey in self.versions.items():
            moves += self._walk(version, journey, newest=version == self.newest)
        return moves

    @property
    def _workings(self) -> Workings:
        return Workings(self.engine, self.folder, self.span[1])

    def _enter(self, version: int) -> None:
        journey, binder = self.versions[version], Binder()
        entries = entries_sql(
            self.engine,
            journey,
            asked_by(journey),
            binder,
            span=self.span,
            open_spans=self.open_spans,
            launched_at=self.launched_at,
            walks=f"select user_id, entry_at from ({self.walks})",
            folder=self.folder,
            drafts=self.drafts,
            detailed=self.ordered,
        )
        self._workings.copy(entry_rows(journey, version, entries), self._workings.path("entries"), binder)

    def _walk(self, version: int, journey: Journey, *, newest: bool) -> list[Path]:
        """Round after round until nobody moves; the files of the moves."""
        workings = self._workings
        start = f"start-{version}" if version in self.inside else "entries"
        gathered = Gathered(
            replace(workings, folder=self.folder / str(version)),
            journey,
            asked_by(journey),
            self.span,
            workings.read(start),
            self.drafts,
        )
        gathered.workings.folder.mkdir()
        if version in self.inside:
            self._start(version, gathered, start, newest=newest)
        files: list[Path] = []
        counter = 0
        generations: list[int | None] = [None]
        if newest and {key for one in updates(journey).values() for key in one.values} & set(gathered.asked.properties):
            # What an earlier walk wrote, a later one of the same person must see: one walk after another.
            found = self.engine.frame(f"select distinct generation from ({gathered.start}) order by 1")
            generations = found["generation"].to_list()
        for generation in generations:
            here = f"{gathered.start} where due_at is not null"
            if generation is not None:
                here += f" and generation = {generation}"
            for _ in range(_MOST_ROUNDS):
                at = self.engine.frame(f"select distinct node from ({here})")["node"]
                if at.is_empty():
                    break
                name = f"moves-{version}-{counter:05}"
                if not self._round(gathered, set(at), here, workings.path(name), files):
                    break
                files.append(workings.path(name))
                here, counter = f"{workings.read(name)} where due_at is not null", counter + 1
        return files

    def _start(self, version: int, gathered: Gathered, name: str, *, newest: bool) -> None:
        """Where people are who may move: those inside, and those who enter."""
        entries = self._workings.read("entries")
        again = f"select user_id, min(entry_at) as ends_at from ({entries}) group by user_id"
        # Of those inside only they can move whose time has come, whom an event of the span concerns or who enter anew.
        inside = (
            f"select inside.*, again.ends_at, 0 as generation from ({self.walks}) as inside "
            f"left join ({again}) as again on again.user_id = inside.user_id "
            f"where inside.version = {version} and inside.due_at is not null and (inside.due_at < $until "
            f"or again.ends_at is not null or inside.user_id in (select user_id from ({gathered.fresh(Binder())})))"
        )
        more = f" union all by name {entries}" if newest else ""
        self._workings.copy(f"{inside}{more}", self._workings.path(name))

    def _round(self, gathered: Gathered, at: set[str], here: str, target: Path, files: Sequence[Path]) -> int:
        binder, journey = Binder(), gathered.journey
        nodes = [journey.nodes[name] for name in at if name in journey.nodes]
        cases = [case for node in nodes if isinstance(node.does, Branch) for case in node.does.cases]
        choices = [node.does for node in journey.nodes.values() if isinstance(node.does, ChannelChoice)]
        chosen = any(isinstance(node.does, ChannelChoice) for node in nodes)
        goal, exits = gathered.enders()
        query = round_sql(
            journey,
            gathered.asked,
            binder,
            at=at,
            here=here,
            fresh=gathered.fresh(binder, at),
            history=gathered.history(binder, cases) if any(c.kind in ("event", "message") for c in cases) else "",
            changes=self._with_updates(gathered, binder, files),
            reach=gathered.reach(sorted({one for choice in choices for one in choice.channels})) if chosen else "",
            members={
                str(case.segment): gathered.members(str(case.segment)) for case in cases if case.kind == "segment"
            },
            goal=goal,
            exits=exits,
            timezone=self.engine.settings.timezone,
        )
        return self._workings.copy(query, target, binder)

    def _with_updates(self, gathered: Gathered, binder: Binder, files: Sequence[Path]) -> str:
        """What properties became, with what the journey itself wrote in this tick."""
        changes = gathered.changes()
        if not changes or not files:
            return changes
        names = literal([str(path) for path in files])
        for name, update in updates(gathered.journey).items():
            for key, value in update.values.items():
                if key in gathered.asked.properties:
                    text = binder.bind(json.dumps(value))
                    changes += (
                        f" union all select user_id, {gathered.asked.property(key)} as p, {text} as value, "
                        f"entered_at as t, {change_id_sql()} as change_id "
                        f"from read_parquet({names}) where node = {literal(name)}"
                    )
        return changes
