from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import engage
from engage.errors import LandingError
from engage.lake.compaction import Compacted, compact
from engage.lake.derived.manifest import stamp
from engage.query.derived import find_derived
from tests.examples import times

START = datetime(2026, 1, 1, tzinfo=UTC)
FACTS = "select count(*), count(distinct event_id), bit_xor(hash(events)) from events"


def land(workspace: engage.Workspace, batches: int, *, days: int = 3, start: int = 0) -> None:
    for batch in range(start, start + batches):
        workspace.land_events(
            [
                {
                    "event_id": f"{batch}-{i}",
                    "user_id": f"u{i % 5}",
                    "event_name": ("Charged", "Viewed")[i % 2],
                    "event_time": START + timedelta(days=i % days, seconds=i),
                    "properties": {"n": i},
                }
                for i in range(60)
            ]
        )


def files(workspace: engage.Workspace) -> list[Path]:
    return [path for path in workspace.lake.folder("events").glob("*/*.parquet") if path.name != "seed.parquet"]


def test_small_files_become_one_a_date_and_nothing_else_changes(workspace: engage.Workspace) -> None:
    land(workspace, 5)
    workspace.land_profiles([{"user_id": "u1", "country": "NZ"}], now=START)
    workspace.land_profiles([{"user_id": "u1", "country": "AU"}], now=START + timedelta(hours=1))
    before = workspace.sql(FACTS).row(0)
    assert len(files(workspace)) == 15
    told: list[tuple[str, int, int | None]] = []
    done = compact(workspace.lake, progress=lambda *step: told.append(step))
    assert done == Compacted(dates=4, files_before=17, files_after=4)
    assert told[-1] == ("done", 4, 4)
    assert len(files(workspace)) == 3
    assert workspace.sql(FACTS).row(0) == before
    assert workspace.sql("select country from profiles").item() == "AU"
    for file in files(workspace):
        rows = pq.read_table(file, partitioning=None).to_pylist()
        assert rows == sorted(rows, key=lambda row: (row["event_name"], row["user_id"], row["event_time"]))
    assert compact(workspace.lake) == Compacted()


def test_what_has_landed_before_is_still_known(workspace: engage.Workspace) -> None:
    land(workspace, 2)
    compact(workspace.lake)
    land(workspace, 3)
    assert workspace.sql("select count(*), count(distinct event_id) from events").row(0) == (180, 180)


def test_an_empty_lake_is_left_alone(workspace: engage.Workspace) -> None:
    assert compact(workspace.lake) == Compacted()
    assert workspace.sql("select count(*) from events").item() == 0


def test_a_file_with_a_column_more_keeps_it(workspace: engage.Workspace) -> None:
    land(workspace, 2, days=1)
    odd = files(workspace)[0]
    table = pq.read_table(odd, partitioning=None)
    pq.write_table(table.append_column("note", [["kept"] * table.num_rows]), odd)
    compact(workspace.lake)
    [file] = files(workspace)
    assert pq.read_table(file, partitioning=None)["note"].to_pylist().count("kept") == 60


def test_queries_beside_compaction_and_landing_see_every_row_once(workspace: engage.Workspace) -> None:
    land(workspace, 4)
    faults: list[object] = []
    seen = 0
    ended = threading.Event()
    other = engage.Workspace.open(workspace.root)

    def ask() -> None:
        nonlocal seen
        while not ended.is_set():
            try:
                # The relation is read twice, so its files are listed at two moments.
                rows, ids, twice = other.sql(
                    "select count(*), count(distinct event_id), (select count(*) from activity) from events"
                ).row(0)
                if rows != ids or rows % 20 or rows < 240 or twice < rows:
                    faults.append((rows, ids, twice))
                seen += 1
            except Exception as error:
                faults.append(error)

    readers = [threading.Thread(target=ask) for _ in range(2)]
    for reader in readers:
        reader.start()
    for start in range(4, 16, 2):
        land(workspace, 2, start=start)
        compact(workspace.lake)
    ended.set()
    for reader in readers:
        reader.join()
    assert faults == []
    assert seen > 5
    assert len(files(workspace)) == 3


def test_a_query_under_way_is_waited_for(workspace: engage.Workspace) -> None:
    land(workspace, 2)
    before = files(workspace)
    with workspace.lake.storage.reading():
        with workspace.lake.storage.writing(), workspace.lake.storage.batch() as batch:
            batch.remove(before[0])
            with pytest.raises(LandingError, match="queries are still running"):
                batch.commit(patience=0.1)
        assert files(workspace) == before
    assert workspace.sql("select count(*) from events").item() == 120
    assert not any(workspace.lake.storage.staging.iterdir())


COMPACT = """
import sys, engage
from engage.lake.compaction import compact
ws = engage.Workspace.open(sys.argv[1])
print("ready", flush=True)
compact(ws.lake)
"""


@pytest.mark.chance
def test_killed_anywhere_each_row_is_there_once(workspace: engage.Workspace) -> None:
    land(workspace, 3, days=40)
    before = workspace.sql(FACTS).row(0)
    chance = random.Random(3)
    for _ in range(times(3)):
        process = subprocess.Popen(
            [sys.executable, "-c", COMPACT, str(workspace.root)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(engage.__file__).parent.parent)},
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert workspace.sql(FACTS).row(0) == before
        if len(files(workspace)) == 40:
            land(workspace, 1, days=40, start=100 + chance.randrange(2**30))
            before = workspace.sql(FACTS).row(0)
    compact(workspace.lake)
    assert workspace.sql(FACTS).row(0) == before
    assert len(files(workspace)) == 40


@pytest.mark.parametrize("renamed", [0, 1, 2])
def test_a_switch_that_died_half_way_is_finished_by_the_next_query(workspace: engage.Workspace, renamed: int) -> None:
    """The very states a killed process leaves: the commit is written, and some of its steps are done."""
    land(workspace, 3)
    before = workspace.sql(FACTS).row(0)
    storage = workspace.lake.storage
    old = sorted(files(workspace))
    merged = {path.parent.name: pq.read_table(path, partitioning=None).slice(0, 0) for path in old}
    for path in old:
        table = pq.read_table(path, partitioning=None)
        merged[path.parent.name] = pa.concat_tables([merged[path.parent.name], table])
    staged = storage.staging / "0-dead"
    names = []
    for folder, table in merged.items():
        target = staged / "events" / folder / "merged.parquet"
        target.parent.mkdir(parents=True)
        pq.write_table(table, target)
        names.append(str(target.relative_to(staged)))
    removals = [str(path.relative_to(storage.root)) for path in old]
    (staged / "commit.json").write_text(json.dumps({"files": names, "removals": removals}))
    for path in old[: renamed * 4]:
        path.unlink()
    for name in names[:renamed]:
        (staged / name).replace(storage.root / name)
    assert workspace.sql(FACTS).row(0) == before
    assert len(files(workspace)) == 3
    assert not any(storage.staging.iterdir())


def test_the_files_without_rows_come_last_so_that_joins_are_planned_by_sizes(workspace: engage.Workspace) -> None:
    land(workspace, 1)
    plan = workspace.sql("explain (format json) select user_id from user_events").item(0, 1)
    guesses = [int(guess) for guess in re.findall(r'"Estimated Cardinality": "~?(\d+)', plan)]
    assert max(guesses) > 0


def test_a_lake_that_began_with_its_files_without_rows_is_put_in_order(workspace: engage.Workspace) -> None:
    land(workspace, 1)
    workspace.compact()
    events = workspace.lake.folder("events")
    old = events / "date=1970-01-01" / "seed.parquet"
    old.parent.mkdir()
    new = events / "date=9999-12-31" / "seed.parquet"
    new.rename(old)
    file = workspace.settings.lake / "derived" / "user_days.json"
    manifest = json.loads(file.read_text())
    manifest["covered"]["date=1970-01-01/seed.parquet"] = stamp(old)
    file.write_text(json.dumps(manifest))
    assert engage.Workspace.open(workspace.root).sql(FACTS).row(0) == (before := workspace.sql(FACTS).row(0))
    assert not new.exists()  # a lake that is only read is not written to
    derived = find_derived(workspace.settings, None, None)
    assert derived is not None
    assert not derived.days.fresh
    workspace.compact()
    assert not old.exists()
    assert new.exists()
    again = find_derived(workspace.settings, None, None)
    assert again is not None
    assert not again.days.fresh
    assert workspace.sql(FACTS).row(0) == before
