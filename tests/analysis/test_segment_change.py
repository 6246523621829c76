from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

import engage
from engage.errors import QueryError


@pytest.fixture
def bought(workspace: engage.Workspace) -> engage.Workspace:
    """a buys on 1 and 10 March, b on 5 March, c on 20 March; a and b live in DE, c's country is not known."""
    days = [("a", 1), ("a", 10), ("b", 5), ("c", 20)]
    workspace.land_events(
        [{"user_id": u, "event_name": "Charged", "event_time": datetime(2026, 3, d, tzinfo=UTC)} for u, d in days]
    )
    workspace.land_profiles(
        [{"user_id": "a", "country": "DE", "a/b~c": 'x"\n, y'}, {"user_id": "b", "country": "DE"}, {"user_id": "c"}]
    )
    return workspace


def test_size_over_time(bought: engage.Workspace) -> None:
    sizes = bought.segment_sizes("new_customers", "2026-03-01", "2026-03-22", "week", days=10)
    zone = ZoneInfo("UTC")
    monday = [datetime(2026, 3, d, tzinfo=zone) for d in (2, 9, 16)]
    assert sizes["as_of"].to_list() == monday
    assert sizes["users"].to_list() == [1, 2, 0]  # a's first was on the 1st, b's on the 5th; c comes on the 20th
    day = bought.segment_sizes("select distinct user_id from events", "2026-03-05", "2026-03-06T12:00", "day")
    assert day.rows() == [(datetime(2026, 3, 5, tzinfo=zone), 1), (datetime(2026, 3, 6, tzinfo=zone), 2)]
    assert bought.segment_sizes("everyone", "2026-03-05", "2026-03-04", "day").height == 0
    with pytest.raises(QueryError, match="points are too many"):
        bought.segment_sizes("everyone", "2020-01-01", "2026-01-01", "hour")


def test_overlap_and_who_moved(bought: engage.Workspace) -> None:
    both = bought.segment_overlap("repeat_buyers", "select user_id from profiles where country = 'DE'")
    assert both.rows() == [("first", 0, 0.0), ("both", 1, 0.5), ("second", 1, 0.5)]
    nobody = bought.segment_overlap("select 'x' as user_id where false", "select 'x' as user_id where false")
    assert nobody["rate"].to_list() == [None, None, None]
    recent = "select distinct user_id from events where event_time >= as_of() - interval 7 day"
    moved = bought.segment_moved(recent, "2026-03-08", "2026-03-21")
    assert moved.rows() == [("a", "dropped_out"), ("b", "dropped_out"), ("c", "came_in")]


def test_breakdown_counts_everybody_once(bought: engage.Workspace) -> None:
    everyone = "select user_id from events -- all"
    assert bought.segment_breakdown(everyone, "country").rows() == [("DE", 2, 2 / 3), (None, 1, 1 / 3)]
    assert bought.segment_breakdown(everyone, "a/b~c")["value"].to_list() == ['x"\n, y', None]
    assert bought.segment_breakdown(everyone, "it's")["value"].to_list() == [None]
    bought.land_profiles([{"user_id": f"u{n}", "country": f"C{n % 4}"} for n in range(10)])
    table = bought.segment_breakdown("select user_id from profiles", "country", top=2)
    assert table.select("value", "users").rows() == [("C0", 3), ("C1", 3), ("other values", 6), (None, 1)]
    assert table["rate"].sum() == pytest.approx(1)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_export(bought: engage.Workspace, tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"people.{ending}"
    assert bought.export_people("everyone", file, ["country", "a/b~c"]) == 3
    read = pl.read_csv(file) if ending == "csv" else pl.read_parquet(file)
    assert read.columns == ["user_id", "country", "a/b~c"]
    assert read.rows() == [("a", "DE", 'x"\n, y'), ("b", "DE", None), ("c", None, None)]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [file.name]


def test_what_cannot_be_exported_is_told(bought: engage.Workspace, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match=r"'\.xlsx' is no kind of export"):
        bought.export_people("everyone", tmp_path / "a.xlsx")
    with pytest.raises(QueryError, match="named twice"):
        bought.export_people("everyone", tmp_path / "a.csv", ["user_id"])
