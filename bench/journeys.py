"""How long journeys take: ``python bench/journeys.py [events] [people waiting]``.

A twelve-node onboarding journey: a simulation of ninety days over made-up events in one tick, then one-minute ticks
with everyone waiting in it.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

import engage
from engage.journeys.advance import advance
from engage.journeys.record import Record, State, Version

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
END = BEGIN + timedelta(days=90)
NAMES = (
    "['App Launched', 'App Launched', 'Product Viewed', 'Product Viewed', 'Product Viewed', 'Added To Cart', 'Charged']"
)
IN_APP = {"kind": "message", "channel": "in_app", "content": {"body": "Hello"}}
VALUES = {
    "entry": {"event": "App Launched", "to": "welcome"},
    "goal": {"event": "Charged", "ends": False},
    "nodes": {
        "welcome": {**IN_APP, "to": "day"},
        "day": {"kind": "wait", "for": "1 day", "to": "viewed"},
        "viewed": {
            "kind": "branch",
            "cases": [{"port": "yes", "event": "Product Viewed"}],
            "to": {"yes": "praise", "else": "show"},
        },
        "praise": {**IN_APP, "to": "buy"},
        "show": {**IN_APP, "to": "buy"},
        "buy": {"kind": "wait", "event": "Charged", "timeout": "3 days", "to": {"next": "thanks", "timeout": "split"}},
        "split": {"kind": "split", "weights": {"a": 1, "b": 1}, "to": {"a": "offer", "b": "week"}},
        "thanks": {**IN_APP, "to": "week"},
        "offer": {**IN_APP, "to": "week"},
        "week": {"kind": "wait", "for": "7 days", "to": "bye"},
        "bye": {**IN_APP, "to": "out"},
        "out": {"kind": "exit"},
    },
}


def fill(lake: Path, events: int, users: int) -> None:
    """Made-up events, as evenly spread as a hash is."""
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    for day in range(90):
        folder = lake / "events" / f"date={(BEGIN + timedelta(days=day)).date()}"
        folder.mkdir(parents=True)
        numbers = f"range({day * (events // 90)}, {(day + 1) * (events // 90)})"
        at = f"{day} * 86400000000 + (hash(range + 1) % 86400000000)::bigint"
        connection.execute(
            f"copy (select 'e' || range as event_id, 'u' || (hash('u' || range) % {users}) as user_id, "
            f"null::varchar as anonymous_id, {NAMES}[1 + (hash('n' || range) % 7)::int] as event_name, "
            f"timestamptz '{BEGIN.isoformat()}' + to_microseconds({at}) as event_time, event_time as received_at, "
            f"null::varchar as properties, 'bench' as source from {numbers} order by event_name, user_id, event_time) "
            f"to '{folder}/e.parquet' (compression zstd)"
        )


def main(events: int = 10_000_000, waiting: int = 1_000_000) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = engage.Workspace.create(Path(folder) / "w")
        fill(workspace.settings.lake, events, 440_000)
        record = Record(workspace.settings, "onboarding")
        state = State([Version(1, BEGIN, VALUES)], BEGIN)
        begun = time.perf_counter()
        moves = advance(workspace.engine, record, state, END, ordered=False)
        print(f"90 days in one tick: {moves:,} moves in {time.perf_counter() - begun:.2f} s")
        begun = time.perf_counter()
        found = workspace.create_journey("onboarding", VALUES).simulate(BEGIN, END)
        print(f"simulated, with its {found.recipients.height:,} messages planned: {time.perf_counter() - begun:.2f} s")
        crowd = (
            f"select 'onboarding' as journey_id, 1::integer as version, 'w' || range as user_id, "
            f"timestamptz '{END.isoformat()}' - to_microseconds(1) as entry_at, 2::integer as seq, 'week' as node, "
            "'day' as came_from, 'next' as port, entry_at as entered_at, "
            "entry_at + to_microseconds(3 * 3600000000 + range * 60000) as due_at, null::varchar as detail "
            f"from range({waiting})"
        )
        end = END + timedelta(hours=3)
        record.append(end, lambda path: workspace.engine.copy(crowd, None, path) or waiting)
        record.tidy(workspace.engine, anyway=True)
        state.until, times = end, []
        for minute in range(1, 8):
            begun = time.perf_counter()
            moves = advance(workspace.engine, record, state, end + timedelta(minutes=minute))
            times.append(time.perf_counter() - begun)
        print(f"one-minute ticks with {waiting:,} waiting: {sorted(times)[3]:.2f} s, {moves:,} moves in the last")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"peak memory {peak:.2f} GiB")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
