"""Trends, active users, stickiness, paths, RFM and uninstalls: known answers, and plain-Python references."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

import engage
from engage.analysis.paths import END, OTHER
from engage.errors import QueryError
from tests.examples import tried
from tests.lakes import empty

START = datetime(2026, 3, 25, tzinfo=UTC)  # summer time begins in Berlin on 29 March
BERLIN = ZoneInfo("Europe/Berlin")
Events = Sequence[tuple[str, str, int]]
slow = tried(20)
histories = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from("xyz"), st.integers(0, 60 * 24)), min_size=1, max_size=40
)


@cache
def shared() -> engage.Workspace:
    return engage.Workspace.create(Path(tempfile.mkdtemp(prefix="engage-behaviour-")) / "w", timezone="Europe/Berlin")


def land(events: Events) -> engage.Workspace:
    """Land (user, event, hour) in an emptied lake in Berlin."""
    workspace = shared()
    empty(workspace, "events")
    workspace.land_events(
        [
            {
                "event_id": f"{i:04}", "user_id": u, "event_name": n, "event_time": START + timedelta(hours=h),
                "properties": {"amount": h},
            }
            for i, (u, n, h) in enumerate(events)
        ]
    )  # fmt: skip
    return workspace


def day(hour: int) -> date:
    return (START + timedelta(hours=hour)).astimezone(BERLIN).date()


@slow
@given(histories, st.sampled_from(["count", "users", "sum"]))
def test_trends_agree_with_the_reference(events: Events, measure: str) -> None:
    table = land(events).trends(["x", "y"], measure=measure, amount="amount" if measure == "sum" else None)
    for name in "xy":
        mine = [(day(h), u, h) for u, n, h in events if n == name]
        want: dict[date, float] = {}
        for d in {d for d, _, _ in mine}:
            there = [(u, h) for e, u, h in mine if e == d]
            want[d] = {"count": len(there), "users": len({u for u, _ in there}), "sum": sum(h for _, h in there)}[
                measure
            ]
        got = {d: value for n, d, value, _ in table.rows() if n == name}
        assert {d: value for d, value in got.items() if value} == {d: value for d, value in want.items() if value}
    both = sorted({day(h) for _, n, h in events if n in "xy"})
    if both:
        days = [both[0] + timedelta(days=i) for i in range((both[-1] - both[0]).days + 1)]
        assert table["period"].to_list() == days * 2


@slow
@given(histories, st.sampled_from([None, "2026-04-10"]))
def test_active_users_agree_with_the_reference(events: Events, start: str | None) -> None:
    table = land(events).active_users(start=start)
    seen = {(u, day(h)) for u, _, h in events}
    for d, *counts, _ in table.rows():
        want = [len({u for u, other in seen if d - timedelta(days=length - 1) <= other <= d}) for length in (1, 7, 30)]
        assert counts == want
    shown = {d for _, d in seen if start is None or d >= date.fromisoformat(start)}
    assert shown <= set(table["date"])


@slow
@given(histories, st.integers(1, 30))
def test_stickiness_agrees_with_the_reference(events: Events, periods: int) -> None:
    table = land(events).stickiness(periods=periods)
    last = max(day(h) for _, _, h in events)
    days = {(u, day(h)) for u, _, h in events if day(h) > last - timedelta(days=periods)}
    times = Counter(Counter(u for u, _ in days).values())
    assert dict(table.select("times", "users").rows()) == {n: times[n] for n in range(1, periods + 1)}
    assert table["users_at_least"][0] == len({u for u, _ in days})


@slow
@given(histories, st.sampled_from(["after", "before"]), st.integers(1, 4), st.integers(1, 100))
def test_paths_agree_with_the_reference(events: Events, direction: str, depth: int, within: int) -> None:
    events = [(u, n, h) for i, (u, n, h) in enumerate(events) if (u, h) not in {(a, c) for a, _, c in events[:i]}]
    table = land(events).paths("x", direction=direction, depth=depth, within=f"{within} hours", top=9)
    want: Counter[tuple[int, str, str]] = Counter()
    for user, name, hour in events:
        if name != "x":
            continue
        sign = 1 if direction == "after" else -1
        later = sorted((sign * (h - hour), n) for u, n, h in events if u == user and 0 < sign * (h - hour) <= within)
        walk = ["x", *(n for _, n in later)][: depth + 1]
        walk += [END] * (len(walk) <= depth)
        want.update((k, walk[k - 1], walk[k]) for k in range(1, len(walk)))
    assert {(k, a, b): times for k, a, b, times, _ in table.rows()} == want


def test_paths_name_the_most_frequent_only(workspace: engage.Workspace) -> None:
    workspace.land_events(
        [
            {"user_id": f"u{i}", "event_name": name, "event_time": START + timedelta(minutes=minute)}
            for i, nxt in enumerate(["a", "a", "a", "b", "b", "c", "d"])
            for minute, name in enumerate(["go", nxt])
        ]
    )
    table = workspace.paths("go", depth=1, top=2)
    assert table.rows() == [(1, "go", "a", 3, 3), (1, "go", "(other)", 2, 2), (1, "go", "b", 2, 2)]
    assert OTHER in table["to_event"]


def test_a_trend_by_property_and_label(workspace: engage.Workspace) -> None:
    sent = {"channel": "email", "campaign_id": "c", "message_id": "m", "labels": ["Spring"]}
    workspace.land_events(
        [
            {"user_id": "a", "event_name": "Notification Sent", "event_time": START, "properties": sent},
            *(
                {"user_id": u, "event_name": "buy", "event_time": START + timedelta(days=d), "properties": {"kind": k}}
                for u, d, k in [("a", 0, "pen"), ("a", 2, "pen"), ("b", 2, "cup"), ("b", 2, "pen")]
            ),
        ]
    )
    table = workspace.trends(["buy"], breakdown="kind", as_of="2026-03-27T12:00+00:00")
    first = date(2026, 3, 25)
    assert table.rows() == [
        ("buy", "pen", first + timedelta(days=d), value, d < 2) for d, value in enumerate([1.0, 0.0, 2.0])
    ] + [("buy", "cup", first + timedelta(days=d), value, d < 2) for d, value in enumerate([0.0, 0.0, 1.0])]
    assert workspace.trends(["buy"], label="Spring")["value"].to_list() == [1.0, 0.0, 1.0]
    assert workspace.trends(["Notification Sent", "buy"], period="month")["value"].to_list() == [1.0, 4.0]
    assert workspace.active_users(label="Spring")["dau"].to_list() == [1, 0, 1]
    assert workspace.stickiness(label="Spring", periods=3)["users"].to_list() == [0, 1, 0]
    assert workspace.paths("Notification Sent", depth=1)["to_event"].to_list() == ["buy"]
    assert workspace.trends(["nothing"]).height == 0
    for wrong in ({"measure": "sum"}, {"measure": "mean"}, {"period": "year"}):
        with pytest.raises(QueryError):
            workspace.trends(["buy"], **wrong)


def test_customers_are_scored_by_fifths(workspace: engage.Workspace) -> None:
    """Ten customers, each better than the one before in everything: two of them in each fifth."""
    workspace.land_events(
        [
            {
                "user_id": f"u{i}", "event_name": "Charged", "event_time": START + timedelta(days=i, minutes=n),
                "properties": {"amount": 10},
            }
            for i in range(10)
            for n in range(i + 1)
        ]
    )  # fmt: skip
    users = workspace.rfm_users(as_of=START + timedelta(days=11))
    assert users["recency_score"].to_list() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert users["frequency_score"].to_list() == users["monetary_score"].to_list() == users["recency_score"].to_list()
    assert users.row(9)[2:4] == (10, 100.0)
    assert users["recency_days"][0] == 11.0
    assert users["name"].to_list() == [
        *["Hibernating"] * 4, *["Needing Attention"] * 2, *["Loyal Users"] * 2, *["Champions"] * 2,
    ]  # fmt: skip
    grid = workspace.rfm(as_of=START + timedelta(days=11))
    assert (grid.height, grid["users"].sum(), grid["monetary"].sum()) == (25, 10, 550.0)
    assert workspace.rfm(as_of=START)["users"].sum() == 0


def test_uninstalls_by_period_and_after_messages(workspace: engage.Workspace) -> None:
    def sent(user: str, label: str, hour: int) -> dict[str, object]:
        properties = {"channel": "push", "campaign_id": label.lower(), "message_id": user + label, "labels": [label]}
        return {
            "user_id": user, "event_name": "Notification Sent", "event_time": START + timedelta(hours=hour),
            "properties": properties,
        }  # fmt: skip

    def did(user: str, name: str, hour: int) -> dict[str, object]:
        return {"user_id": user, "event_name": name, "event_time": START + timedelta(hours=hour)}

    workspace.land_events(
        [
            did("a", "App Installed", 0), did("b", "App Installed", 1), did("c", "App Installed", 49),
            sent("a", "Spring", 2), sent("b", "Spring", 2), sent("b", "Sale", 3), sent("c", "Sale", 50),
            did("a", "App Uninstalled", 26), did("b", "App Uninstalled", 2 + 24 * 8), did("c", "App Uninstalled", 49),
        ]
    )  # fmt: skip
    table = workspace.uninstalls(end="2026-03-28")
    assert table.select("installs", "uninstalls").rows() == [(2, 0), (0, 1), (1, 1)]
    assert workspace.uninstalls(label="Spring", end="2026-03-28")["uninstalls"].to_list() == [0, 1]
    after = workspace.uninstalls_after("label", within="1 day")
    assert after.select("label", "sent", "uninstalled", "rate").rows() == [("Spring", 2, 1, 0.5), ("Sale", 2, 0, 0.0)]
    assert all(low <= rate <= high for rate, low, high in after.select("rate", "low", "high").rows())
    by_campaign = workspace.uninstalls_after("campaign", within="8 days")
    assert by_campaign.select("campaign_id", "uninstalled").rows() == [("spring", 2), ("sale", 1)]
