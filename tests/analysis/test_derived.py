"""Answers from the derived tables are those from the lake itself, whatever was landed, folded, merged and asked."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import engage
from engage.analysis.bitmaps import pair_counts, transposed
from engage.lake.derived.folding import fold
from engage.lake.derived.manifest import survey
from engage.lake.derived.tables import TABLES
from engage.lake.schema import DATASETS

ZONES = ("UTC", "Europe/Berlin", "America/Havana", "Pacific/Apia", "Asia/Kathmandu")
NAMES = ("Viewed", "Charged", "App Uninstalled")
LABELS = ("Winter", "Offers")


def is_used(workspace: engage.Workspace, as_of: datetime | None = None) -> bool:
    asked = workspace.engine.derived_frame(lambda derived: "select 1 as one", {}, as_of=as_of)
    return asked is not None


def fold_all(workspace: engage.Workspace, most: int = 2**30) -> None:
    with workspace.lake.storage.writing():
        for table in TABLES:
            while fold(workspace.lake.storage, workspace.settings, table, most=most):
                pass


def forget(workspace: engage.Workspace) -> None:
    shutil.rmtree(workspace.settings.lake / "derived", ignore_errors=True)


def land(workspace: engage.Workspace, dice: random.Random, zone: str, count: int) -> None:
    """Land some rows around a change of clocks and a change of year, in no order of time."""
    starts = [datetime(2025, 12, 20, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)]
    events: list[dict[str, Any]] = []
    for _ in range(count):
        moment = dice.choice(starts) + timedelta(days=dice.randrange(25), seconds=dice.randrange(86_400))
        if dice.random() < 0.3:  # at midnight, or a moment before
            local = moment.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, second=0)
            moment = local.astimezone(UTC) - timedelta(microseconds=dice.randrange(2))
        person = {"user_id": f"u{dice.randrange(5)}"}
        if dice.random() < 0.3:
            person = {"anonymous_id": f"a{dice.randrange(3)}"}
        name = dice.choice((*NAMES, "Notification Sent", "Notification Held Out"))
        if name.startswith("Notification"):
            person = {"user_id": f"u{dice.randrange(5)}"}
        row: dict[str, Any] = {**person, "event_name": name, "event_time": moment}
        if name.startswith("Notification"):
            row["properties"] = {"labels": dice.sample(LABELS, dice.randrange(3)), "channel": "email"}
        events.append(row)
    workspace.land_events(events)
    if dice.random() < 0.5:
        clock = dice.choice(starts) + timedelta(days=dice.randrange(25))
        person = pa.table(
            {
                "change_id": [str(dice.random())],
                "anonymous_id": [f"a{dice.randrange(3)}"],
                "user_id": [f"u{dice.randrange(5)}"],
                "changed_at": [clock],
                "received_at": [clock],
            },
        )
        workspace.lake.land("identities", person.cast(DATASETS["identities"].schema))


def questions(dice: random.Random, zone: str) -> list[tuple[str, dict[str, Any]]]:
    asked: list[tuple[str, dict[str, Any]]] = []
    for _ in range(6):
        midnight = datetime(2026, 3, dice.randrange(5, 25), tzinfo=ZoneInfo(zone)).astimezone(UTC)
        question: dict[str, Any] = {
            "period": dice.choice(("day", "day", "week", "month")),
            "periods": dice.choice((1, 5, 40)),
            "kind": dice.choice(("recurring", "first_time", "first_ever")),
            "as_of": dice.choice((None, midnight, midnight + timedelta(hours=5), datetime(2027, 1, 1, tzinfo=UTC))),
        }
        if dice.random() < 0.5:
            question |= {"date_from": "2025-12-22", "date_to": dice.choice(("2026-01-10", "2026-03-20", "2026-04-20"))}
        mode = dice.choice(("on", "on_or_after", "bracket"))
        question |= {"mode": mode} | ({"brackets": [1, 3, 30]} if mode == "bracket" else {})
        if dice.random() < 0.4:
            question["label"] = dice.choice(LABELS)
            question["kind"] = dice.choice((None, "first_time"))
        if dice.random() < 0.7:
            question["start_event"] = dice.choice((None, *NAMES))
        if dice.random() < 0.7:
            question["return_event"] = dice.choice((None, *NAMES))
        asked.append(("retention", question))
    for group in ("sent", "held_out"):
        label = {"label": dice.choice(LABELS), "days": dice.choice((0, 7, 100)), "group": group}
        asked.append(("label_retention", label | {"as_of": dice.choice((None, midnight))}))
    return asked


@settings(max_examples=10)
@given(st.integers(0, 2**32), st.sampled_from(ZONES), st.sampled_from(("folded", "merged", "behind", "made anew")))
def test_both_roads_give_the_same_answer(seed: int, zone: str, state: str) -> None:
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        workspace = engage.Workspace.create(Path(folder) / "workspace", timezone=zone)
        land(workspace, dice, zone, 30)
        fold_all(workspace)
        for _ in range(2):
            land(workspace, dice, zone, 10)
            if state in ("folded", "made anew"):
                fold_all(workspace, most=1)
        if state == "merged":
            workspace.compact()
            land(workspace, dice, zone, 10)
            workspace.compact()
        if state == "made anew":
            forget(workspace)
            fold_all(workspace)
        assert is_used(workspace)
        asked = questions(dice, zone)
        derived = [getattr(workspace, method)(**question) for method, question in asked]
        forget(workspace)
        assert not is_used(workspace)
        for (method, question), found in zip(asked, derived, strict=True):
            expected = getattr(workspace, method)(**question)
            assert found.equals(expected), (method, question, found, expected)


@given(st.lists(st.tuples(st.integers(0, 2**70 - 1), st.integers(0, 2**70 - 1)), max_size=150))
def test_pairs_are_counted_as_one_by_one(people: list[tuple[int, int]]) -> None:
    low = 2**64 - 1
    words = [
        [np.array([person[side] >> shift & low for person in people], np.uint64) for shift in (0, 64)]
        for side in (0, 1)
    ]
    spans = [(1, 1), (2, 4), (60, 80)]
    found = pair_counts(transposed(words[0]), transposed(words[1]), 70, spans)
    for period in (0, 1, 9, 63, 64, 69):
        started = [returned for start, returned in people if start >> period & 1]
        expected = [len(started)]
        expected += [sum(any(r >> period + k & 1 for k in range(a, b + 1)) for r in started) for a, b in spans]
        assert found[period].tolist() == expected


def test_times_of_receipt_and_own_views_are_answered_by_the_lake(workspace: engage.Workspace) -> None:
    land(workspace, random.Random(1), "UTC", 20)
    fold_all(workspace)
    assert is_used(workspace)
    assert is_used(workspace, datetime(2026, 3, 9, tzinfo=UTC))
    assert not is_used(workspace, datetime(2026, 3, 9, 1, tzinfo=UTC))
    view = workspace.settings.sql / "lake" / "activity.sql"
    view.write_text(view.read_text() + "-- mine\n")
    assert not is_used(workspace)


def test_a_file_that_is_gone_or_another_makes_the_tables_stale_and_compaction_makes_them_anew(
    workspace: engage.Workspace,
) -> None:
    land(workspace, random.Random(2), "UTC", 40)
    workspace.compact()
    next(path for path in workspace.lake.folder("events").glob("*/*.parquet") if path.name != "seed.parquet").unlink()
    assert not is_used(workspace)
    workspace.compact()
    assert is_used(workspace)
    found = workspace.retention(periods=40)
    kept = {path.name for path in (workspace.settings.lake / "derived").rglob("*.parquet")}
    assert kept == {part.name.split("/")[1] for table in TABLES for part in parts(workspace, table)}
    forget(workspace)
    assert found.equals(workspace.retention(periods=40))


def parts(workspace: engage.Workspace, table: Any) -> Any:
    manifest = survey(workspace.settings, table).manifest
    assert manifest is not None
    return manifest.parts


def test_nothing_of_an_erased_person_stays_in_the_tables(workspace: engage.Workspace) -> None:
    workspace.land_events(
        [
            {"user_id": name, "event_name": "Viewed", "event_time": datetime(2026, 1, day, tzinfo=UTC)}
            for name in ("gone", "here")
            for day in (1, 2)
        ]
    )
    workspace.compact()
    assert is_used(workspace)
    workspace.erase_user("gone")
    left = [pl.read_parquet(path) for path in (workspace.settings.lake / "derived").rglob("*.parquet")]
    assert not any("gone" in table["user_id"].to_list() for table in left)
    workspace.compact()
    assert is_used(workspace)
    assert workspace.retention(periods=2, date_to=date(2026, 1, 2))["users"].to_list() == [1, 1, 1, None]


KILLED = """
import os, signal, sys
import engage
from engage.lake import storage
workspace = engage.Workspace.open(sys.argv[1])
left = int(sys.argv[2])
def counted(function):
    def call(*args, **kwargs):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return call
storage.Path.replace = counted(storage.Path.replace)
storage.os.fsync = counted(storage.os.fsync)
workspace.compact()
"""


@pytest.mark.parametrize("steps", [1, 5, 9, 14])
def test_killed_while_folding_and_merging_the_answer_stays(workspace: engage.Workspace, steps: int) -> None:
    dice = random.Random(steps)
    land(workspace, dice, "UTC", 30)
    fold_all(workspace)
    land(workspace, dice, "UTC", 30)
    expected = workspace.retention(periods=40, date_to="2026-03-25")
    program = [sys.executable, "-c", KILLED, str(workspace.root), str(steps)]
    ended = subprocess.run(program, check=False, env={**os.environ}, timeout=120).returncode
    assert ended in (0, -signal.SIGKILL)
    assert workspace.retention(periods=40, date_to="2026-03-25").equals(expected)
    workspace.compact()
    assert is_used(workspace)
    assert workspace.retention(periods=40, date_to="2026-03-25").equals(expected)
    staging = workspace.settings.lake / ".staging"
    assert not staging.exists() or not list(staging.iterdir())


def test_a_broken_manifest_is_as_good_as_none(workspace: engage.Workspace) -> None:
    land(workspace, random.Random(3), "UTC", 20)
    fold_all(workspace)
    file = workspace.settings.lake / "derived" / "user_days.json"
    for text in ("", "[]", json.dumps({"version": "0"})):
        file.write_text(text)
        assert not is_used(workspace)
    fold_all(workspace)
    assert is_used(workspace)
