"""The record of a journey: its moves in files that are written once, and what was decided about it.

``data/lake/journeys/journey=<id>/`` holds ``tick-<end>.parquet`` files, one a tick that moved somebody, and under
``state/`` what can be made anew from them (the last row of each walk) or was decided by people: ``record.json`` with
the versions, when they were published and how far the journey has been ticked.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from engage.errors import PlanError
from engage.journeys.definition import journey_from
from engage.journeys.document import document
from engage.journeys.entries import Span
from engage.journeys.graph import Journey
from engage.lake.schema import TRANSITIONS
from engage.lake.storage import Storage, sync_folder, write_atomically
from engage.query.engine import Engine
from engage.query.files import literal
from engage.settings import Settings

__all__ = ["Record", "State", "Version", "stamp"]

_MANY_FILES = 64
_MANY_ROWS = 200_000
_COLUMNS = ", ".join(TRANSITIONS.names)


def stamp(moment: datetime) -> str:
    """A time as part of a file's or run's name; names sort as the times do."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%S%f")


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Version:
    """A version that was published.

    Args:
        number: 1, 2, …
        published_at: From when on people enter it.
        values: The file as it was.
    """

    number: int
    published_at: datetime
    values: dict[str, Any]


@dataclass(slots=True)
class State:
    """What was decided about a journey, and how far it has come.

    Args:
        versions: Those published, oldest first.
        launched_at: When the first was.
        until: The end of the last tick.
        handed: The end of the last tick whose messages were all handed to delivery.
        runs: Runs of messages that are not over.
        closed: When nobody could enter: since, and until, None for still.
    """

    versions: list[Version] = field(default_factory=list)
    launched_at: datetime | None = None
    until: datetime | None = None
    handed: datetime | None = None
    runs: list[str] = field(default_factory=list)
    closed: list[tuple[datetime, datetime | None]] = field(default_factory=list)

    def open_spans(self, span: Span) -> list[Span]:
        """The parts of a span in which people may enter."""
        parts = [span]
        for since, until in self.closed:
            kept: list[Span] = []
            for begin, end in parts:
                stop = until or end
                kept += [(begin, min(end, since)), (max(begin, stop), end)]
            parts = [(begin, end) for begin, end in kept if begin < end]
        return parts


class Record:
    """The record of one journey.

    Args:
        settings: The workspace.
        journey_id: Whose.
        folder: Where it lies, if not in its place in the lake; a simulation has its own.
    """

    def __init__(self, settings: Settings, journey_id: str, folder: Path | None = None) -> None:
        self.settings, self.journey_id = settings, journey_id
        self.folder = folder or settings.lake / "journeys" / f"journey={journey_id}"

    def state(self) -> State:
        """What was decided; empty where it was never launched."""
        try:
            values = json.loads((self.folder / "state" / "record.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return State()

        def at(text: str | None) -> datetime | None:
            return datetime.fromisoformat(text) if text else None

        return State(
            [Version(v["number"], datetime.fromisoformat(v["published_at"]), v["values"]) for v in values["versions"]],
            at(values["launched_at"]),
            at(values["until"]),
            at(values["handed"]),
            values["runs"],
            [(datetime.fromisoformat(since), at(until)) for since, until in values["closed"]],
        )

    def save(self, state: State) -> None:
        """Write what was decided, whole or not at all."""

        def text(moment: datetime | None) -> str | None:
            return moment.isoformat() if moment else None

        values = {
            "versions": [
                {"number": v.number, "published_at": v.published_at.isoformat(), "values": v.values}
                for v in state.versions
            ],
            "launched_at": text(state.launched_at),
            "until": text(state.until),
            "handed": text(state.handed),
            "runs": state.runs,
            "closed": [[text(since), text(until)] for since, until in state.closed],
        }
        write_atomically(self.folder / "state" / "record.json", json.dumps(values, indent=1, default=str) + "\n")

    def journeys(self, state: State) -> dict[int, Journey]:
        """Every version, read, by number."""
        return {
            version.number: journey_from(
                self.settings, self.journey_id, version.values, f"{self.journey_id} version {version.number}"
            )
            for version in state.versions
        }

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Hold the journey's lock; yields whether it was free."""
        path = self.folder / "state" / "lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def ticks(self) -> list[Path]:
        """The files of moves, oldest first."""
        return sorted(self.folder.glob("tick-*.parquet"))

    @staticmethod
    def ended(file: Path) -> datetime:
        """The end of the tick a file is of; of the last one, where it holds several."""
        return _moment(file.name.split(".")[0].removeprefix("tick-"))

    def reached(self, state: State) -> datetime | None:
        """How far the journey has been ticked, whatever a kill left undone."""
        ends = [self.ended(self.ticks()[-1])] if self.ticks() else []
        return max([*ends, *([state.until] if state.until else [])], default=None)

    def append(self, until: datetime, make: Callable[[Path], int]) -> int:
        """Add one tick's file, whole or not at all.

        Args:
            until: The tick's end.
            make: Writes the file it is given, and tells how many rows it has.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        staged = self.folder / "state" / f"new-{uuid.uuid4().hex}.parquet"
        staged.parent.mkdir(parents=True, exist_ok=True)
        try:
            if count := make(staged):
                with staged.open("rb+") as file:
                    os.fsync(file.fileno())
                staged.rename(self.folder / f"tick-{stamp(until)}.parquet")
                sync_folder(self.folder)
            return count
        finally:
            staged.unlink(missing_ok=True)

    def adopt(self, until: datetime, files: Sequence[Path]) -> None:
        """Add one tick's files as they are; not for a record that is kept: a kill may leave some of them out."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for number, file in enumerate(files):
            file.rename(self.folder / f"tick-{stamp(until)}.{number:05}.parquet")

    def moves(self, since: datetime | None = None) -> str:
        """SQL of the moves, in the columns of the record, of the ticks that ended after a time."""
        files = [str(file) for file in self.ticks() if since is None or self.ended(file) > since]
        files = files or [str(self.settings.lake / "journeys" / "journey=seed" / "seed.parquet")]
        return f"select {_COLUMNS} from read_parquet({literal(files)}, hive_partitioning = false)"

    def walks(self) -> str:
        """SQL of the last row of every walk: where everybody is, or was last."""
        kept = self._kept()
        newer = self.moves(self._kept_until(kept))
        last = (
            "select unnest(max_by(moved, moved.seq)) from (select moved from "
            f"({newer}) as moved) group by moved.user_id, moved.entry_at"
        )
        if kept is None:
            return last
        return (
            f"select {_COLUMNS} from read_parquet({literal(str(kept))}) as kept where not exists "
            f"(select 1 from ({newer}) as newer where newer.user_id = kept.user_id and newer.entry_at = kept.entry_at) "
            f"union all by name {last}"
        )

    def _kept(self) -> Path | None:
        return max((self.folder / "state").glob("walks-*.parquet"), default=None)

    @staticmethod
    def _kept_until(kept: Path | None) -> datetime | None:
        return _moment(kept.stem.removeprefix("walks-")) if kept else None

    def tidy(self, engine: Engine, *, anyway: bool = False) -> None:
        """Keep the last row of every walk beside the record once much has come; join small files of moves.

        Harmless at any time, and when killed: both are made of the moves alone.
        """
        kept = self._kept()
        since = self._kept_until(kept)
        newer = [file for file in self.ticks() if since is None or self.ended(file) > since]
        rows = sum(pq.read_metadata(file).num_rows for file in newer)
        before = pq.read_metadata(kept).num_rows if kept else 0
        if newer and (anyway or len(newer) >= _MANY_FILES or rows > max(_MANY_ROWS, before // 4)):
            target = self.folder / "state" / f"walks-{stamp(self.ended(newer[-1]))}.parquet"
            engine.copy(f"select {_COLUMNS} from ({self.walks()}) order by user_id, entry_at", None, target)
            if kept:
                kept.unlink(missing_ok=True)
        self._join(engine)

    def _join(self, engine: Engine) -> None:
        small = [file for file in self.ticks() if ".joined" not in file.name]
        if len(small) < _MANY_FILES or not self.folder.is_relative_to(self.settings.lake / "journeys"):
            return
        storage = Storage(self.settings)
        with storage.writing(), storage.batch() as batch:
            inside = batch.folder / self.folder.relative_to(self.settings.lake)
            inside.mkdir(parents=True)
            files = literal([str(file) for file in small])
            target = inside / f"{small[-1].name.split('.')[0]}.joined.parquet"
            engine.copy(
                f"select {_COLUMNS} from read_parquet({files}, hive_partitioning = false) "
                "order by entered_at, user_id, entry_at, seq",
                None,
                target,
            )
            for file in small:
                batch.remove(file)
            batch.commit()

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty folder inside the lake, gone afterwards."""
        self.settings.lake.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.settings.lake, prefix=".journey-") as folder:
            yield Path(folder)


def require_launched(state: State, name: str) -> None:
    """Refuse what only a journey that was launched can do.

    Raises:
        PlanError: It never was.
    """
    if state.launched_at is None:
        raise PlanError("was never launched", where=name, hint=f"engage journey launch {name}")


def fingerprint(values: dict[str, Any]) -> str:
    """What a version says, without where the canvas shows it and what state it is in: equal where nothing changed."""
    told = {key: value for key, value in values.items() if key != "status"}
    told["nodes"] = {
        name: {key: value for key, value in node.items() if key != "position"}
        for name, node in told.get("nodes", {}).items()
    }
    return document(told)


def spans(state: State, since: datetime, until: datetime) -> Sequence[tuple[int, Span]]:
    """A span cut where versions were published, each part with the version people enter then."""
    found = []
    for number, version in enumerate(state.versions):
        after = state.versions[number + 1].published_at if number + 1 < len(state.versions) else until
        begin, end = max(since, version.published_at), min(until, after)
        if begin < end:
            found.append((version.number, (begin, end)))
    return found
