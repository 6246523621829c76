"""Retention against published cases.

The facts (events and expected counts) follow the test suite of PostHog (MIT outside its ee/ folder; facts transcribed,
no code copied).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import engage

FOLDER = Path(__file__).parent
CASES = json.loads((FOLDER / "retention.json").read_text())
MORE = json.loads((FOLDER / "retention_more.json").read_text())["cases"]


def matrix(table: pl.DataFrame) -> list[list[int | None]]:
    """Users by cohort and period, oldest cohort first."""
    return [rows["users"].to_list() for _, rows in table.group_by("cohort", maintain_order=True)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_case(tmp_path: Path, case: dict[str, Any]) -> None:
    workspace = engage.Workspace.create(tmp_path / "w", timezone=case["timezone"])
    workspace.land_events(case["events"])
    query = dict(case["query"])
    first = query.pop("first_cohort", None)
    table = workspace.retention(**query)
    rows = [[users for users in row if users is not None] for row in matrix(table)]
    assert rows == case["expect"]
    assert table["cohort"].is_sorted()
    assert table.filter(pl.col("period") == 0).select(pl.col("users") == pl.col("size")).to_series().all()
    if first:
        assert str(table["cohort"][0]) == first


@pytest.mark.parametrize("case", MORE, ids=lambda case: case["name"])
def test_more(tmp_path: Path, case: dict[str, Any]) -> None:
    asked = case["params"]
    workspace = engage.Workspace.create(tmp_path / "w", timezone=asked["tz"])
    workspace.land_events(
        [
            {name: event[name] for name in ("user_id", "event_name", "event_time", "properties")}
            for event in case["events"]
        ]
    )

    def selector(target: dict[str, Any]) -> dict[str, Any]:
        where = {item["key"]: {"op": item["op"], "value": item["value"]} for item in target["properties"]}
        return {"event": target["event"], "where": where}

    table = workspace.retention(
        start_event=selector(asked["target"]),
        return_event=selector(asked["returning"]),
        period=asked["period"],
        periods=asked["total_intervals"],
        date_from=asked["date_from"],
        date_to=asked["date_to"],
        kind=asked["retention_type"],
        week_start=asked["week_start"],
        window="24h" if asked["window_mode"] == "rolling_24h" else "calendar",
        mode="bracket" if asked["brackets"] else "on",
        brackets=asked["brackets"],
        minimum_occurrences=asked["min_occurrences"],
        breakdown=asked["breakdown"] and asked["breakdown"]["property"],
    )
    expected = case["expected"]
    for value, rows in expected.get("by_breakdown", {}).items():
        got = matrix(table.filter(pl.col("breakdown") == value))
        assert [[users or 0 for users in row] for row in got] == rows
    if "matrix" in expected:
        assert [[users or 0 for users in row] for row in matrix(table)] == expected["matrix"]
    for index, row in expected.get("partial_rows", {}).items():
        got_row = matrix(table)[int(index)]
        assert [users for users, asserted in zip(got_row, row, strict=False) if asserted is not None] == [
            users for users in row if users is not None
        ]
