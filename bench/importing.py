"""How fast NDJSON is imported, beside DuckDB's own reader: ``python bench/importing.py [events] [rounds]``.

Both read the same file in turns and write Parquet, a folder a date. This product also checks every row, tells it by its
`event_id` or its content, leaves out what is in the lake already, sorts the files and commits them all at once.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import duckdb
from made_lake import make

import engage

COLUMNS = (
    "{event_id: 'varchar', user_id: 'varchar', event_name: 'varchar', event_time: 'timestamptz', properties: 'json'}"
)


def _written(folder: Path, events: int) -> Path:
    """Events as one line of JSON each."""
    made = make(folder / "made", events)
    path = folder / "events.ndjson"
    rows = f"read_parquet('{made.settings.lake}/events/*/*.parquet', hive_partitioning = false)"
    duckdb.sql(
        "copy (select event_id, user_id, event_name, strftime(event_time at time zone 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ') "
        f"as event_time, properties::json as properties from {rows}) to '{path}' (format json)"
    )
    shutil.rmtree(folder / "made")
    return path


def _by_duckdb(source: Path, target: Path) -> int:
    with duckdb.connect() as connection:
        connection.execute("set threads = 2")
        connection.execute("set TimeZone = 'UTC'")
        read = f"read_json('{source}', format = 'newline_delimited', columns = {COLUMNS})"
        rows = connection.execute(
            f"copy (select *, event_time::date as date from {read}) to '{target}' "
            "(format parquet, compression zstd, partition_by (date))"
        ).fetchall()
        return int(rows[0][0])


def _by_engage(source: Path, target: Path) -> int:
    workspace = engage.Workspace.create(target)
    summary = workspace.import_file(source)
    assert not summary.rejected
    return summary.landed["events"].rows


def main(events: int, rounds: int) -> None:
    """Import the file by each in turns, print seconds and the ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = _written(folder, events)
        seconds: dict[str, list[float]] = {"duckdb": [], "engage": []}
        rows = set()
        for turn in range(rounds):
            for road, ask in (("duckdb", _by_duckdb), ("engage", _by_engage)):
                target = folder / f"{road}-{turn}"
                begun = time.perf_counter()
                rows.add(ask(source, target))
                seconds[road].append(time.perf_counter() - begun)
                shutil.rmtree(target)
        assert len(rows) == 1, rows
        (count,) = rows
        print(f"{count:,} events, {source.stat().st_size / 2**20:,.0f} MiB of NDJSON")
        for road, taken in seconds.items():
            print(f"{road:8} {median(taken):6.2f} s  {count / median(taken):12,.0f} events a second")
        ratios = [own / other for own, other in zip(seconds["duckdb"], seconds["engage"], strict=True)]
        print(f"engage is {median(ratios):.2f} times as fast as DuckDB alone (wanted: 0.5)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000, int(sys.argv[2]) if len(sys.argv) > 2 else 3)
