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
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import engage
from engage.analysis.bitmaps import pair_counts
from engage.analysis.followed import bit_counts, first_counts, followed_counts
from engage.analysis.retention_days import latest
from engage.lake.derived.folding import fold
from engage.lake.derived.manifest import survey
from engage.lake.derived.tables import TABLES
from engage.lake.schema import DATASETS
from engage.query.people_sql import over_derived
from tests.examples import tried

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
            person = {"anonymous_id": f"anon-{dice.randrange(3)}"}
        name = dice.choice((*NAMES, "Notification Sent", "Notification Held Out"))
        if name.startswith("Notification"):  # visitors are sent messages too
            person = {"user_id": dice.choice((f"u{dice.randrange(5)}", f"anon-{dice.randrange(3)}"))}
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
                "anonymous_id": [f"anon-{dice.randrange(3)}"],
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
            question |= {
                "date_from": dice.choice(("2025-12-01", "2025-12-22")),
                "date_to": dice.choice(("2026-01-10", "2026-03-20", "2026-04-20")),
            }
        if dice.random() < 0.5:
            question["cohorts"] = dice.choice((1, 3, 20))
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
    for group in ("sent", "held_out", "rest"):
        label = {"label": dice.choice(LABELS), "days": dice.choice((0, 7, 100)), "group": group}
        asked.append(("label_retention", label | {"as_of": dice.choice((None, midnight))}))
    return asked


@tried(4)
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


def told(name: str, day: int, label: str = "Winter") -> list[dict[str, Any]]:
    """A message with the label, and coming back the day after."""
    clock = datetime(2026, 1, day, 12, tzinfo=UTC)
    sent = {"event_name": "Notification Sent", "properties": {"labels": [label], "channel": "email"}}
    return [
        {"user_id": name, "event_time": clock, **sent},
        {"user_id": name, "event_time": clock + timedelta(days=1), "event_name": "Viewed"},
    ]


@pytest.mark.parametrize("is_folded", [False, True])
def test_what_lands_while_a_label_is_asked_about_is_left_to_the_next_time(
    workspace: engage.Workspace, monkeypatch: pytest.MonkeyPatch, *, is_folded: bool
) -> None:
    workspace.land_events([*told("ada", 1), *told("bob", 3)])
    if is_folded:
        fold_all(workspace)
    assert is_used(workspace) == is_folded
    before = workspace.label_retention("Winter", 5)

    def then_landed(*args: Any, **kwargs: Any) -> datetime | None:
        last = latest(*args, **kwargs)
        workspace.land_events([*told("cleo", 9), told("ada", 4)[1]])
        return last

    monkeypatch.setattr("engage.analysis.label_retention.latest", then_landed)
    assert workspace.label_retention("Winter", 5).equals(before)
    monkeypatch.undo()
    assert workspace.label_retention("Winter", 5)["people"].to_list() == [3, 3, 2, 2, 2, 2]


def learn(workspace: engage.Workspace, dice: random.Random) -> None:
    """Land some words on people's properties, some of them under a name they had before."""
    for _ in range(dice.randrange(4)):
        clock = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=dice.randrange(200))
        rows = [
            (f"u{dice.randrange(7)}", "import") if dice.random() < 0.7 else (f"anon-{dice.randrange(3)}", "anonymous")
            for _ in range(3)
        ]
        changed = {
            "change_id": [str(dice.random()) for _ in rows],
            "user_id": [name for name, _ in rows],
            "changed_at": [clock + timedelta(hours=dice.randrange(3)) for _ in rows],
            "received_at": [clock] * len(rows),
            "properties": [
                json.dumps({dice.choice(("country", "plan")): dice.choice(("DE", "FR", None))}) for _ in rows
            ],
            "source": [source for _, source in rows],
        }
        workspace.lake.land("profiles", pa.table(changed).cast(DATASETS["profiles"].schema))


def segments(dice: random.Random) -> list[str]:
    """Selects that the tables answer, and some that only look like it."""
    zone = dice.choice(("2026-03-05 00:00:00+00:00", "2025-12-31 23:30:00+01:00"))
    time = dice.choice((f"cast('{zone}' as timestamptz)", "as_of() - interval '20' day", f"timestamptz '{zone}'"))
    sign, edge = dice.choice((">=", "<")), dice.choice(("min", "max"))
    name = dice.choice((*NAMES, "Notification Sent", "it's"))
    quoted = "'" + name.replace("'", "''") + "'"
    source = dice.choice(("user_events", "activity", "events"))
    count = f"count(*) {dice.choice(('>=', '=', '<=', '<', '>'))} {dice.randrange(1, 4)}"
    labels = " or ".join(f"list_contains(labels, '{label}')" for label in dice.sample(LABELS, dice.randrange(1, 3)))
    steps = [
        f"select distinct user_id from {source} where event_name = {quoted}",
        f"select distinct user_id from {source} where event_time {sign} {time}",
        f"select distinct user_id from {source} where event_name = {quoted} and event_time {sign} {time}",
        f"select user_id from {source} where event_name = {quoted} group by user_id having {count}",
        f"select user_id from {source} group by user_id having {edge}(event_time) {sign} {time} and {count}",
        f"select distinct user_id from notifications where event_name = 'Notification Sent' and ({labels})",
        f"select user_id from notifications where list_contains(labels, 'Winter') group by user_id having {count}",
        f"select distinct user_id from notifications where event_time {sign} {time}",
        f"select distinct user_id from {source} where event_time >= {time} and event_time < {time} + interval 3 day",
        f"select distinct user_id from {source} where event_name = {quoted} or event_time < {time}",
        "select user_id from profiles where (properties ->> '$.country') = 'DE'",
        "select p.user_id from profiles as p where p.country is null and p.updated_at is not null",
    ]
    everyone = "select user_id from events union select user_id from profiles"
    some = dice.sample(steps, 3)
    return [
        *steps,
        f"{everyone} -- all of them, 'twice'",
        f"select user_id from events except select user_id from profiles union {steps[-1]}",
        f"with first as ({some[0]}), second as (\n{some[1]}\n) select user_id from first where user_id not in "
        f"(select user_id from second) or user_id in ({some[2]})",
        f"with profiles as ({some[0]}) select distinct user_id from profiles",
        f"select user_id from ({everyone}) where user_id not in (select user_id from activity)",
    ]


@tried(4)
@given(st.integers(0, 2**32), st.sampled_from(ZONES), st.sampled_from(("folded", "merged", "behind")))
def test_segments_are_the_same_people_on_both_roads(seed: int, zone: str, state: str) -> None:
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        workspace = engage.Workspace.create(Path(folder) / "workspace", timezone=zone)
        for turn in range(3):
            land(workspace, dice, zone, 12)
            learn(workspace, dice)
            if turn == 0 or state == "folded":
                fold_all(workspace)
            if turn == 1 and state == "merged":
                workspace.compact()
        as_of = dice.choice((None, datetime(2027, 1, 1, tzinfo=UTC), datetime(2026, 3, 9, tzinfo=UTC)))
        used = 0
        for sql in segments(dice):
            asked = workspace.engine.derived_frame(lambda derived, sql=sql: over_derived(sql, derived), {}, as_of=as_of)
            used += asked is not None
            expected = workspace.engine.frame(f"select user_id from ({sql}\n) order by all", as_of=as_of)
            found = workspace.engine.people_frame(f"select user_id from ({sql}\n) order by all", as_of=as_of)
            assert found.equals(expected), (sql, found, expected)
        assert used >= 8 or (as_of is not None and as_of.year == 2026)
        everything = "select * from profiles order by user_id"
        known = workspace.engine.frame(everything, as_of=as_of)
        assert workspace.engine.people_frame(everything, as_of=as_of).equals(known)


PEOPLE = st.lists(st.tuples(st.integers(0, 2**130 - 1), st.integers(0, 2**130 - 1)), max_size=150)


@pytest.mark.parametrize("until_the_end", [False, True])
@pytest.mark.parametrize(
    "spans",
    [
        [(1, 1), (2, 4), (60, 80)],
        [(1, 1), (2, 2), (3, 3)],
        [(1, 1), (2, 10**9)],
        [(k, k) for k in range(5, 75)],
        [(200, 200)],
        [],
    ],
)
@given(
    people=PEOPLE,
    periods=st.sampled_from([40, 70, 130]),
    often=st.sampled_from([1, 800]),
    threads=st.sampled_from([1, 2]),
)
def test_pairs_are_counted_as_one_by_one(
    people: list[tuple[int, int]],
    periods: int,
    often: int,
    threads: int,
    spans: list[tuple[int, int]],
    until_the_end: bool,
) -> None:
    people = [(start % 2**periods, returned % 2**periods) for start, returned in people]
    columns = [_words([person[side] for person in people] * often, periods) for side in (0, 1)]
    first = [(start & -start, returned) for start, returned in people if start]
    begun = np.array([start.bit_length() - 1 for start, _ in first] * often, np.int32)
    found = pair_counts(columns[0], columns[1], periods, spans, until_the_end=until_the_end, threads=threads)
    same = pair_counts(columns[1], columns[1], periods, spans, until_the_end=until_the_end, threads=threads)
    back = _words([returned for _, returned in first] * often, periods)
    found_first = first_counts(begun, back, periods, spans, until_the_end=until_the_end)
    days = len(spans) if spans == [(k, k) for k in range(1, len(spans) + 1)] else 0
    followed = followed_counts(begun, back, days)
    assert followed[0] == len(begun)
    assert until_the_end or not days or followed.tolist() == found_first.sum(axis=0).tolist()
    here = [returned for _, returned in people if returned]
    found_lowest = first_counts(None, _words(here * often, periods), periods, spans, until_the_end=until_the_end)
    lowest = [(returned & -returned, returned) for returned in here]
    returns = [(returned, returned) for _, returned in people]
    for counted, those in ((found, people), (found_first, first), (found_lowest, lowest), (same, returns)):
        for period in {0, 1, 9, 39, min(63, periods - 1), min(64, periods - 1), periods - 1}:
            started = [returned for start, returned in those if start >> period & 1]
            expected = [len(started)]
            for low, high in spans:
                last = periods if until_the_end else min(high, periods)
                expected.append(sum(any(r >> period + k & 1 for k in range(low, last + 1)) for r in started))
            assert counted[period].tolist() == [often * number for number in expected]


@given(people=st.lists(st.integers(0, 2**128 - 1), max_size=150), often=st.just(1000))
def test_bits_are_counted(people: list[int], often: int) -> None:
    assert bit_counts(_words(people * often, 100), 100).tolist() == [
        often * sum(one >> k & 1 for one in people) for k in range(100)
    ]


def _words(numbers: list[int], periods: int) -> list[npt.NDArray[np.uint64]]:
    return [np.array([number >> shift & 2**64 - 1 for number in numbers], np.uint64) for shift in range(0, periods, 64)]


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
