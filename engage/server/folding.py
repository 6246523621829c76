"""From the journal into the lake: every line lands once, or is kept as a dead letter with its reason."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from engage.errors import EngageError, LandingError
from engage.lake.landing import Lake
from engage.lake.records import event_rows
from engage.lake.schema import DATASETS
from engage.lake.storage import write_atomically
from engage.query.engine import Engine
from engage.server.journal import Journal
from engage.server.json_text import decode
from engage.server.profile_operations import work_out

__all__ = ["Folding", "fold"]

_log = logging.getLogger(__name__)


class Folding:
    """Lands what a journal holds, again and again.

    Args:
        journal: The log.
        lake: Where rows go.
        engine: Tells what is known of people whose profiles are counted on.
        dead_letters: Folder of the messages that could not be taken.
        every: Seconds between two landings.
    """

    def __init__(self, journal: Journal, lake: Lake, engine: Engine, dead_letters: Path, *, every: float) -> None:
        self._journal, self._lake, self._engine = journal, lake, engine
        self._dead_letters, self._every = dead_letters, every
        self._turn = asyncio.Lock()
        self.well = True
        """Whether the last landing went well."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Land while the block runs, and the rest at its end; then the journal is closed."""
        stop = asyncio.Event()
        task = asyncio.create_task(self._for_ever(stop))
        try:
            yield
        finally:
            stop.set()
            await task
            await self.now()
            self._journal.close()

    async def _for_ever(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.now()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._every)

    async def now(self) -> None:
        """Land what has been accepted so far, so that a question asked next sees it."""
        try:
            async with self._turn:
                upto = self._journal.received()
                await asyncio.to_thread(fold, self._journal, self._lake, self._engine, self._dead_letters)
                self._journal.landed(upto)
            self.well = True
        except (EngageError, OSError) as error:  # the journal keeps everything; the next turn tries again
            self.well = False
            _log.error("events could not be landed yet: %s", type(error).__name__)


def fold(journal: Journal, lake: Lake, engine: Engine, dead_letters: Path) -> int:
    """Land what the journal holds.

    Repeating it after a kill lands nothing twice: rows carry their ids, and dead letters the name of their file.

    Args:
        journal: The log.
        lake: Where rows go.
        engine: Tells what is known of people whose profiles are counted on.
        dead_letters: Folder of the messages that could not be taken.

    Returns:
        Lines dealt with.

    Raises:
        LandingError: Another process keeps the lake locked; the journal still holds everything.
    """
    count = 0
    for path in journal.closed():
        rows, rejected = _read(path)
        rejected += work_out(rows, engine)
        tables = _tables(rows, rejected)
        if tables:
            lake.land_all(tables)
        if rejected:
            lines = "".join(json.dumps(item) + "\n" for item in rejected)
            write_atomically(dead_letters / path.name, lines)
        journal.forget(path)
        count += len(rows) + len(rejected)
    return count


def _read(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    rejected: list[dict[str, Any]] = []
    for line in path.read_bytes().split(b"\n"):
        try:
            record = decode(line)
        except ValueError:  # empty, or torn by a kill and so never acknowledged
            continue
        (rejected if "rejected" in record else rows).append(record)
    return rows, rejected


def _tables(records: Sequence[dict[str, Any]], rejected: list[dict[str, Any]]) -> dict[str, pa.Table]:
    """Tables by dataset; a row that will not fit any is put to the rejected ones."""
    tables: dict[str, pa.Table] = {}
    for dataset in ("profiles", "identities", "devices"):
        if rows := [record[dataset] for record in records if dataset in record]:
            tables[dataset] = _changes(dataset, rows)
    events = [record["events"] for record in records if "events" in record]
    while events:
        try:
            return tables | event_rows(events, received_at=datetime.now(UTC), source="segment")
        except (LandingError, pa.ArrowException) as error:
            fitting = [event for event in events if _fits(event)]
            if len(fitting) == len(events):
                raise
            rejected += [{"rejected": str(error), "message": event} for event in events if not _fits(event)]
            events = fitting
    return tables


def _fits(event: dict[str, Any]) -> bool:
    try:
        event_rows([event], received_at=datetime.now(UTC))
    except (LandingError, pa.ArrowException):
        return False
    return True


def _changes(dataset: str, rows: list[dict[str, Any]]) -> pa.Table:
    schema = DATASETS[dataset].schema
    columns = []
    for field in schema:
        values: list[Any] = [row.get(field.name) for row in rows]
        if pa.types.is_timestamp(field.type):
            values = [datetime.fromisoformat(value) for value in values]
        elif field.name == "properties":
            values = [json.dumps(value, ensure_ascii=False, separators=(",", ":")) for value in values]
        columns.append(pa.array(values, field.type))
    return pa.table(columns, schema=schema)
