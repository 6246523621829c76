"""The campaign report against a plain-Python reference, one campaign at a time, over random messages and purchases."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import engage
from tests.examples import tried
from tests.lakes import empty

START = datetime(2026, 3, 1, tzinfo=UTC)
COUNTED = {
    "sent": "Notification Sent",
    "delivered": "Notification Delivered",
    "viewed": "Notification Viewed",
    "clicked": "Notification Clicked",
    "failed": "Notification Failed",
    "in_doubt": "Notification In Doubt",
    "unsubscribed": "Channel Unsubscribed",
}
HELD_OUT = "Notification Held Out"


@dataclass(frozen=True)
class Message:
    """What happened to a message; one without an id of its own is told apart by the event's."""

    user: str
    name: str
    moment: datetime
    campaign: str
    message: str | None
    channel: str
    machine: str | None


@dataclass(frozen=True)
class Purchase:
    user: str
    moment: datetime
    amount: float | str | None


@cache
def workspace() -> engage.Workspace:
    return engage.Workspace.create(Path(tempfile.mkdtemp(prefix="engage-report-")) / "w")


def land(messages: Sequence[Message], purchases: Sequence[Purchase]) -> None:
    """Land all of it in an emptied lake."""
    empty(workspace(), "events", "notifications")
    rows: list[dict[str, object]] = []
    for index, one in enumerate(messages):
        told = {"campaign_id": one.campaign, "channel": one.channel, "machine": one.machine, "message_id": one.message}
        properties = {name: value for name, value in told.items() if value is not None}
        row = {"event_id": f"e{index}", "user_id": one.user, "event_name": one.name, "event_time": one.moment}
        rows.append(row | {"properties": properties})
    for index, paid in enumerate(purchases):
        row = {"event_id": f"p{index}", "user_id": paid.user, "event_name": "Charged", "event_time": paid.moment}
        rows.append(row | {"properties": {} if paid.amount is None else {"amount": paid.amount}})
    workspace().land_events(rows)


moments = st.integers(0, 40 * 24 * 60).map(lambda minutes: START + timedelta(minutes=minutes))
users = st.sampled_from("abcd")
told = st.builds(
    Message, users, st.sampled_from([*COUNTED.values(), HELD_OUT, *["Notification Sent"] * 4]), moments,
    st.sampled_from(["spring", "autumn"]), st.sampled_from([None, "m1", "m2", "m3"]),
    st.sampled_from(["email", "push"]), st.sampled_from([None, "proxy"]),
)  # fmt: skip
paid = st.builds(Purchase, users, moments, st.sampled_from([None, 5, 7.5, "x", "NaN"]))


@tried(20)
@given(st.lists(told, max_size=25), st.lists(paid, max_size=15))
def test_it_agrees_with_the_reference(messages: list[Message], purchases: list[Purchase]) -> None:
    land(messages, purchases)
    report = {row["campaign_id"]: row for row in workspace().campaign_report().iter_rows(named=True)}
    for campaign in {one.campaign for one in messages}:
        mine = [(one.message or f"e{i}", one) for i, one in enumerate(messages) if one.campaign == campaign]
        row = report[campaign]
        for column, name in COUNTED.items():
            assert row[column] == len({key for key, one in mine if one.name == name}), column
        for column in ("viewed", "clicked"):
            seen = {key for key, one in mine if one.name == COUNTED[column] and one.machine is None}
            assert row[f"{column}_by_people"] == len(seen), column
        sent = [one for _, one in mine if one.name == "Notification Sent"]
        assert row["users_sent"] == len({one.user for one in sent})
        assert row["held_out"] == len({one.user for _, one in mine if one.name == HELD_OUT})
        converted, revenue = 0, 0.0
        for user in {one.user for one in sent}:
            begun = min(
                one.moment for _, one in mine if one.user == user and one.name in ("Notification Sent", HELD_OUT)
            )
            goals = [p for p in purchases if p.user == user and begun <= p.moment < begun + timedelta(days=14)]
            converted += bool(goals)
            revenue += sum(goal.amount for goal in goals if isinstance(goal.amount, (int, float)))
        assert (row["converted"], row["revenue"]) == (converted, pytest.approx(revenue))
        times = [one.moment for one in sent]
        assert (row["first_sent_at"], row["last_sent_at"]) == ((min(times), max(times)) if times else (None, None))
        assert set(row["channel"].split(", ")) == {one.channel for _, one in mine}
