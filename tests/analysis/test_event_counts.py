from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl

import engage
from engage.analysis.cohorts import all_together, by_week
from engage.analysis.event_counts import suggested_steps

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def land(workspace: engage.Workspace, people: dict[str, int], days_ago: int = 0) -> None:
    workspace.land_events(
        {"event_id": f"{name}-{n}-{days_ago}", "user_id": f"u{n}", "event_name": name,
         "event_time": NOON - timedelta(days=days_ago), "properties": {}}
        for name, count in people.items()
        for n in range(count)
    )  # fmt: skip


def test_events_are_counted_in_all_and_people_lately(workspace: engage.Workspace) -> None:
    assert workspace.event_counts().is_empty()
    assert workspace.suggest_funnel() == []
    land(workspace, {"App Launched": 9, "Product Viewed": 6, "Charged": 2})
    land(workspace, {"Charged": 8, "Gone": 1}, days_ago=100)
    rows = [("App Launched", 9, 9), ("Product Viewed", 6, 6), ("Charged", 10, 2), ("Gone", 1, 0)]
    assert workspace.event_counts().rows() == rows
    assert workspace.event_counts(200)["people"].to_list() == [9, 8, 6, 1]
    assert workspace.suggest_funnel() == ["App Launched", "Product Viewed", "Charged"]


def test_a_funnel_is_suggested_from_the_most_common_to_the_purchase() -> None:
    def steps(*names: str) -> list[str]:
        count = len(names)
        people = {"event_name": names, "events": [9] * count, "people": range(count, 0, -1)}
        return suggested_steps(pl.DataFrame(people, schema_overrides={"event_name": pl.String}))

    assert steps() == []
    assert steps("Notification Sent", "Journey Step") == []
    assert steps("Charged", "Viewed") == ["Charged", "Charged"]
    assert steps("Notification Sent", "Opened", "Read") == ["Opened", "Read"]
    assert steps("A", "B", "C", "D", "Charged", "E") == ["A", "C", "D", "Charged"]


def test_weeks_follow_everyone_from_their_own_day() -> None:
    days = pl.DataFrame(
        {
            "cohort": [date(2026, 3, 2)] * 3 + [date(2026, 3, 8)] * 3 + [date(2026, 3, 9)] * 3,
            "size": [10] * 3 + [30] * 3 + [5] * 3,
            "period": [0, 1, 2] * 3,
            "users": [10, 4, 3, 30, 6, None, 5, None, None],
            "rate": [1.0, 0.4, 0.3, 1.0, 0.2, None, 1.0, None, None],
        }
    )
    assert by_week(days).rows() == [
        (date(2026, 3, 2), 40, 0, 40, 1.0),
        (date(2026, 3, 2), 40, 1, 10, 0.25),
        (date(2026, 3, 2), 10, 2, 3, 0.3),  # of the ten for whom the second day has come
        (date(2026, 3, 9), 5, 0, 5, 1.0),
        (date(2026, 3, 9), 0, 1, 0, None),
        (date(2026, 3, 9), 0, 2, 0, None),
    ]
    days = days.with_columns(is_ongoing=pl.col("users") == 6)  # the thirty are in the midst of it
    assert by_week(days).row(1) == (date(2026, 3, 2), 10, 1, 4, 0.4)


def test_cohorts_are_put_together_without_what_is_not_over() -> None:
    table = pl.DataFrame(
        {
            "period": [0, 1, 2, 0, 1, 2],
            "size": [10, 10, 10, 40, 40, 40],
            "users": [10, 5, 2, 40, 8, None],
            "is_ongoing": [False, False, True, False, False, None],
        }
    )
    assert all_together(table).rows() == [(0, 50, 50, 1.0), (1, 50, 13, 0.26)]
    assert all_together(table.drop("is_ongoing")).rows()[2] == (2, 10, 2, 0.2)
    endless = table.with_columns(is_ongoing=pl.col("period") > 0)  # whenever somebody comes back it counts
    assert all_together(endless).rows()[1:] == [(1, 50, 13, 0.26), (2, 10, 2, 0.2)]
