"""What is asked wrongly is told in one line, and never answered as something else."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

import engage
from engage.errors import QueryError


@pytest.fixture
def workspace(workspace: engage.Workspace) -> engage.Workspace:
    workspace.land_events(
        [{"user_id": "a", "event_name": "x", "event_time": datetime(2026, 3, day, tzinfo=UTC)} for day in range(1, 9)]
    )
    return workspace


@pytest.mark.parametrize(
    ("method", "question", "told"),
    [
        ("label_retention", {"label": "Winter", "group": "control"}, "not one of sent, held_out, rest"),
        ("label_retention", {"label": "Winter", "days": -1}, "-1 days"),
        ("retention", {"periods": 1_000_000}, "outside the years 1 to 9999"),
        ("retention", {"periods": 1_000_000, "period": "month"}, "outside the years 1 to 9999"),
        ("retention", {"periods": 100_000_000, "period": "hour"}, "outside the years 1 to 9999"),
        ("stickiness", {"periods": 1_000_000}, "outside the years 1 to 9999"),
        ("funnel", {"steps": "xy"}, "a list of events"),
        ("funnel_times", {"steps": ["x", "y"], "bins": 10**12}, "1 to 1000 bins"),
        ("trends", {"events": []}, "needs an event"),
        ("trends", {"events": "x", "as_of": 20260301}, "is not a time"),
        ("active_users", {"start": "0001-01-01"}, "outside the years 1900 to 9998"),
        ("active_users", {"end": date(9999, 12, 31)}, "outside the years 1900 to 9998"),
        ("trends", {"events": "x", "end": "20260301T1:"}, "is not a time"),
    ],
)
def test_it_is_told(workspace: engage.Workspace, method: str, question: dict[str, Any], told: str) -> None:
    with pytest.raises(QueryError, match=told) as caught:
        getattr(workspace, method)(**question)
    assert "\n" not in str(caught.value)


def test_sql_with_a_character_that_is_none_is_told(workspace: engage.Workspace) -> None:
    with pytest.raises(QueryError, match="a character that is none"):
        workspace.sql("select '\ud800'")


def test_one_event_may_stand_for_a_list_of_one(workspace: engage.Workspace) -> None:
    assert workspace.trends("x").equals(workspace.trends(["x"]))
    assert workspace.trends({"event": "x"})["value"].sum() == 8
    assert workspace.trends(None)["event_name"].unique().to_list() == ["any activity"]


@pytest.mark.parametrize("end", ["2026-03-04", "20260304", "2026-W10-3", date(2026, 3, 4), "2026-03-05T00:00"])
def test_a_day_is_included_whole_however_it_is_written(workspace: engage.Workspace, end: str | date) -> None:
    assert workspace.trends("x", end=end)["value"].sum() == 4
