from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import engage
from engage.errors import LandingError
from engage.lake.records import event_rows, profile_rows
from tests.examples import tried

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def rows(count: int, *, prefix: str = "e") -> list[dict[str, Any]]:
    return [
        {
            "event_id": f"{prefix}{i}",
            "user_id": f"u{i % 7}",
            "event_name": "Charged",
            "event_time": NOON + timedelta(hours=i),
            "properties": {"amount": i},
        }
        for i in range(count)
    ]


def test_an_event_comes_back_as_it_went_in(workspace: engage.Workspace) -> None:
    landed = workspace.land_events(rows(1), now=NOON)
    assert (landed.rows, landed.duplicates) == (1, 0)
    [row] = workspace.sql("select * from events").to_dicts()
    assert row["event_time"] == NOON
    assert row["received_at"] == NOON
    assert json.loads(row["properties"]) == {"amount": 0}
    assert (row["event_id"], row["user_id"], row["source"]) == ("e0", "u0", "api")


def test_the_same_event_id_lands_once_wherever_it_falls(workspace: engage.Workspace) -> None:
    workspace.land_events(rows(50))
    moved = [{**row, "event_time": NOON - timedelta(days=400)} for row in rows(60)]
    again = workspace.land_events(moved)
    assert (again.rows, again.duplicates) == (10, 50)
    twice = workspace.land_events(rows(3, prefix="x") * 2)
    assert (twice.rows, twice.duplicates) == (3, 3)
    assert workspace.sql("select count(*) as n, count(distinct event_id) as ids from events").row(0) == (63, 63)


def test_events_without_an_id_are_new_each_time(workspace: engage.Workspace) -> None:
    row = {"user_id": "a", "event_name": "x", "event_time": NOON}
    workspace.land_events([row, row])
    workspace.land_events([row])
    assert workspace.sql("select count(*) from events").item() == 3


@pytest.mark.parametrize("kind", ["dicts", "polars", "lazy", "pyarrow", "pandas"])
def test_every_kind_of_table_lands_alike(workspace: engage.Workspace, kind: str) -> None:
    table = pl.DataFrame(
        {
            "user_id": ["a", "b"],
            "event_name": ["Charged", "Viewed"],
            "event_time": [datetime(2026, 3, 1, 12), datetime(2026, 3, 2)],  # noqa: DTZ001 - naive is UTC
            "properties": [{"amount": 2.5, "sku": None}, {"amount": None, "sku": "x"}],
        }
    )
    forms: dict[str, Any] = {
        "dicts": table.to_dicts(),
        "polars": table,
        "lazy": table.lazy(),
        "pyarrow": table.to_arrow(),
        "pandas": pd.DataFrame(table.to_dicts()),
    }
    workspace.land_events(forms[kind])
    got = workspace.sql("select user_id, event_time, properties from events order by user_id").rows()
    assert [(user, json.loads(properties)) for user, _, properties in got] == [
        ("a", {"amount": 2.5}),
        ("b", {"sku": "x"}),
    ]
    assert got[0][1] == NOON


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-03-01T12:00:00", NOON),
        ("2026-03-01 13:00:00+01:00", NOON),
        ("2026-03-01T12:00:00Z", NOON),
        (datetime(2026, 3, 1, 12), NOON),  # noqa: DTZ001
        (pd.Timestamp("2026-03-01T13:00", tz="Europe/Berlin"), NOON),
        (date(2026, 3, 1), NOON - timedelta(hours=12)),
    ],
)
def test_times_are_read_as_utc_unless_they_say_otherwise(value: object, expected: datetime) -> None:
    table = event_rows([{"user_id": "a", "event_name": "x", "event_time": value}], received_at=NOON)["events"]
    assert table["event_time"].to_pylist() == [expected]


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"event_time": "yesterday"}, "row 1: event_time 'yesterday' is not valid"),
        ({"event_time": None}, "row 1: event_time is empty"),
        ({"user_id": None}, "row 1: user_id is empty"),
        ({"event_name": ""}, "row 1: event_name is empty"),
        ({"properties": "[1]"}, "row 1: properties '[1]' is not valid"),
        ({"properties": "{oops"}, "row 1: properties '{oops' is not valid"),
    ],
)
def test_a_bad_row_is_named_and_nothing_lands(workspace: engage.Workspace, bad: dict[str, object], told: str) -> None:
    good = {"user_id": "a", "event_name": "x", "event_time": NOON, "properties": "{}"}
    with pytest.raises(LandingError, match=told.replace("[", r"\[").replace("{", r"\{")):
        workspace.land_events([good, {**good, **bad}])
    assert workspace.sql("select count(*) from events").item() == 0


@pytest.mark.parametrize("column", ["user_id", "event_name", "event_time"])
def test_a_missing_column_is_named(workspace: engage.Workspace, column: str) -> None:
    row = {"user_id": "a", "event_name": "x", "event_time": NOON}
    del row[column]
    with pytest.raises(LandingError, match=f"column '{column}' is missing"):
        workspace.land_events([row])


def test_message_events_get_typed_columns(workspace: engage.Workspace) -> None:
    sent = {"user_id": "a", "event_name": "Notification Sent", "event_time": NOON}
    workspace.land_events(
        [
            {
                **sent,
                "properties": {"labels": ["Onboarding", "Spring"], "campaign_id": "c1", "channel": "email", "x": 1},
            },
            {**sent, "user_id": "b", "properties": {"label": "Onboarding"}},
        ]
    )
    got = workspace.sql("select user_id, labels, campaign_id, channel, properties from notifications order by user_id")
    assert got.rows() == [
        ("a", ["Onboarding", "Spring"], "c1", "email", '{"x":1}'),
        ("b", ["Onboarding"], None, None, None),
    ]
    both = workspace.sql("select properties from events where event_name = 'Notification Sent' order by user_id")
    assert json.loads(both["properties"][0]) == {
        "labels": ["Onboarding", "Spring"],
        "campaign_id": "c1",
        "channel": "email",
        "x": 1,
    }


def test_profiles_keep_the_latest_word_on_each_property(workspace: engage.Workspace) -> None:
    workspace.land_profiles([{"user_id": "a", "email": "a@example.com", "age": 3}], now=NOON)
    workspace.land_profiles([{"user_id": "a", "age": 4, "city": "Ulm", "email": None}], now=NOON + timedelta(days=1))
    workspace.land_profiles([{"user_id": "a", "age": 2, "changed_at": NOON - timedelta(days=9)}], now=NOON)
    [row] = workspace.sql("select email, properties from profiles").to_dicts()
    assert row["email"] == "a@example.com"
    assert json.loads(row["properties"]) == {"email": "a@example.com", "age": 4, "city": "Ulm"}


def test_a_profile_is_known_from_its_first_word_on_and_before(workspace: engage.Workspace) -> None:
    workspace.land_profiles([{"user_id": "a", "email": "old@example.com"}], now=NOON)
    workspace.land_profiles([{"user_id": "a", "email": "new@example.com"}], now=NOON + timedelta(days=9))
    emails = [workspace.sql("select email from profiles", as_of=NOON + timedelta(days=d)).item() for d in (-99, 1, 10)]
    assert emails == ["old@example.com", "old@example.com", "new@example.com"]


def test_a_profile_without_a_user_is_refused(workspace: engage.Workspace) -> None:
    with pytest.raises(LandingError, match="row 1 has no user_id"):
        workspace.land_profiles([{"user_id": "a"}, {"user_id": None, "age": 1}])


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
free_names = names.filter(lambda name: name.lower() not in ("user_id", "changed_at", "properties"))
values = st.none() | st.booleans() | st.integers(-(2**50), 2**50) | names | st.floats(-1e9, 1e9)


@tried(20)
@given(
    st.lists(
        st.dictionaries(names.filter(lambda n: n not in ("user_id", "changed_at")), values, max_size=4), max_size=4
    )
)
def test_any_profile_properties_survive(found: list[dict[str, Any]]) -> None:
    table = profile_rows(
        [{"user_id": str(i), **row} for i, row in enumerate(found)] or [{"user_id": "0"}], received_at=NOON
    )
    for row, text in zip(found, table["properties"].to_pylist(), strict=False):
        assert json.loads(text) == pytest.approx({name: value for name, value in row.items() if value is not None})


def test_profile_properties_may_differ_in_case_alone() -> None:
    table = profile_rows([{"user_id": "1", "r": 1, "R": "x", "User_Id": "other"}], received_at=NOON)
    assert json.loads(table["properties"][0].as_py()) == {"r": 1, "R": "x", "User_Id": "other"}
    assert table["user_id"].to_pylist() == ["1"]


def test_anonymous_events_are_given_their_person(workspace: engage.Workspace) -> None:
    workspace.land_events([{"anonymous_id": "phone", "event_name": "x", "event_time": NOON}])
    assert workspace.sql("select user_id from events").item() == "phone"
    link = {
        "change_id": ["1"],
        "anonymous_id": ["phone"],
        "user_id": ["ada"],
        "changed_at": [NOON],
        "received_at": [NOON],
    }
    workspace.lake.land("identities", pa.table(link))
    assert workspace.sql("select user_id from events").item() == "ada"


WRITER = """
import sys, engage
from datetime import datetime, timedelta, UTC
ws = engage.Workspace.open(sys.argv[1])
start = datetime(2026, 1, 1, tzinfo=UTC)
print("ready", flush=True)
for batch in range(6):
    ws.land_events([{"event_id": f"{batch}-{i}", "user_id": str(i), "event_name": "x",
                     "event_time": start + timedelta(days=i % 40)} for i in range(400)])
"""


def test_killed_at_any_moment_it_loses_and_doubles_nothing(workspace: engage.Workspace) -> None:
    for pause in (0.02, 0.1, 0.2, 0.35, 0.5):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(workspace.root)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(engage.__file__).parent.parent)},
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        workspace.land_events([{"event_id": "mark", "user_id": "m", "event_name": "mark", "event_time": NOON}])
        sizes = workspace.sql(
            "select split_part(event_id, '-', 1) as batch, count(*) as n from events where event_name = 'x' group by 1"
        )
        assert set(sizes["n"]) <= {400}, "a landing is in the lake in part"
    subprocess.run(
        [sys.executable, "-c", WRITER, str(workspace.root)],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(engage.__file__).parent.parent)},
    )
    count = workspace.sql("select count(*), count(distinct event_id) from events where event_name = 'x'").row(0)
    assert count == (2400, 2400)
    assert not any((workspace.settings.lake / ".staging").iterdir())
