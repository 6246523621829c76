"""Bring a journey's record forward in time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import pyarrow.parquet as pq

from engage.journeys.record import Record, State, spans
from engage.journeys.tick import Tick
from engage.query.engine import Engine

__all__ = ["advance"]

_MANY = 500_000
"""Rows that are not written a second time for the sake of one file."""


def advance(
    engine: Engine,
    record: Record,
    state: State,
    until: datetime,
    *,
    ordered: bool = True,
    drafts: Mapping[str, str] | None = None,
) -> int:
    """Work out and record every move that falls due before a time.

    Args:
        engine: What answers.
        record: Whose.
        state: What was decided about it; its `until` is moved on.
        until: The end, exclusive.
        ordered: Whether equal moves are to be equal bytes; a simulation need not.
        drafts: SQL of segments that have no file yet, by name; only for a simulation.

    Returns:
        How many moves there were.
    """
    journeys = record.journeys(state)
    since = record.reached(state) or state.launched_at
    if since is None or until <= since:
        return 0
    total = 0
    for number, span in spans(state, since, until):
        walks = record.walks()
        inside = engine.frame(f"select distinct version from ({walks}) where due_at is not null")["version"].to_list()
        alive = {version: journeys[version] for version in sorted({*inside, number})}
        with record.scratch() as folder:
            tick = Tick(
                engine,
                alive,
                inside,
                number,
                span,
                walks,
                folder,
                state.launched_at or since,
                state.open_spans(span),
                ordered,
                drafts or {},
            )
            total += record.append(span[1], tick.run) if ordered else _adopt(record, tick)
    state.until = until
    return total


def _adopt(record: Record, tick: Tick) -> int:
    """Record a simulation's tick: many moves in the files they were worked out in, few as one."""
    files = tick.files()
    count = sum(pq.read_metadata(file).num_rows for file in files)
    if count >= _MANY:
        record.adopt(tick.span[1], files)
    elif count:
        record.append(tick.span[1], lambda target: tick.join(files, target))
    return count
