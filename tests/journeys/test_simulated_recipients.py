"""Whom a simulation says would be sent what, against whom the ticks of the same history then plan to send it."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

import engage

T0 = datetime(2026, 3, 2, tzinfo=UTC)
END = T0 + timedelta(days=6)
ZONES = ("UTC", "Asia/Tokyo", "Nowhere/Atlantis")
MAIL = {"subject": "Hi", "text": "Hello"}
WALK: dict[str, Any] = {
    "labels": ["Onboarding"],
    "control_percent": 20,
    "topic": "offers",
    "entry": {"event": "App Launched", "to": "first", "again_after": "2 days"},
    "nodes": {
        "first": {
            "kind": "message",
            "channel": "email",
            "content": MAIL,
            "fallback": [{"channel": "in_app", "content": {"body": "Hello"}}],
            "to": "hours",
        },
        "hours": {"kind": "wait", "for": "6 hours", "to": "second"},
        "second": {"kind": "message", "channel": "in_app", "content": {"body": "Hello"}, "to": "day"},
        "day": {"kind": "wait", "for": "24 hours", "to": "third"},
        "third": {"kind": "message", "channel": "email", "content": MAIL, "to": "out"},
        "out": {"kind": "exit"},
    },
}
LIMITS: list[dict[str, Any]] = [
    {"caps": {"week": 3, "channels": {"email": {"day": 1}}}, "quiet_hours": {"from": "21:00", "to": "08:00"}},
    {"caps": {"labels": {"onboarding": {"week": 2}}}, "quiet_hours": {"from": "21:00", "to": "08:00", "then": "skip"}},
]


def history(workspace: engage.Workspace, dice: random.Random) -> engage.Workspace:
    """Forty people with and without addresses and consent, who come at random times; some had messages before."""
    users = [f"u{n}" for n in range(40)]
    workspace.land_profiles(
        [
            {"user_id": user, "timezone": dice.choice(ZONES), "changed_at": T0 - timedelta(days=30)}
            | ({"email": f"{user}@example.com"} if dice.random() < 0.8 else {})
            for user in users
        ]
    )
    events: list[dict[str, Any]] = [
        {"user_id": user, "event_name": "App Launched", "event_time": T0 + timedelta(hours=6 * dice.randrange(10))}
        for user in users
        for _ in range(dice.randrange(1, 3))
    ]
    for user in dice.sample(users, 15):
        at = T0 + timedelta(hours=6 * dice.randrange(-10, 10))
        more = {
            "channel": dice.choice(("email", "push")),
            "campaign_id": "old",
            "labels": dice.choice(([], ["Onboarding"])),
        }
        events.append({"user_id": user, "event_name": "Notification Sent", "event_time": at, "properties": more})
    for user in dice.sample(users, 8):
        more = {"channel": "email", "topic": dice.choice(("", "offers"))}
        at = T0 - timedelta(days=3)
        events.append({"user_id": user, "event_name": "Channel Unsubscribed", "event_time": at, "properties": more})
    workspace.land_events(events)
    workspace.suppress("email", [f"{user}@example.com" for user in dice.sample(users, 4)], now=T0 - timedelta(days=1))
    return workspace


@pytest.mark.parametrize("limits", LIMITS, ids=["postponed", "skipped"])
def test_a_simulation_says_whom_the_ticks_then_send_to(workspace: engage.Workspace, limits: dict[str, Any]) -> None:
    made = history(workspace, random.Random(str(limits)))
    options = {**made.settings.options, "global_control_percent": 10, **limits}
    space = engage.Workspace(replace(made.settings, options=options))
    journey = space.create_journey("walk", WALK)
    found = journey.simulate(T0, END)

    moments = {*found.recipients["entered_at"], *found.recipients["send_at"]}
    running = journey.launch(T0)
    for moment in sorted(moments):
        ticked = running.tick(moment + timedelta(microseconds=1))
        assert not ticked.error
    done = space.sql(
        "select split_part(run_id, '-', 2) as node, channel, user_id, planned, reason, send_at, "
        "strptime(regexp_extract(run_id, 'x(\\d{8}T\\d{12})x(\\d{8}T\\d{12})', 2), '%Y%m%dT%H%M%S%f')"
        "::timestamptz - to_microseconds(1) as entered_at from audiences order by all"
    )
    told = found.recipients.with_columns(
        # A plan has no time for what leaves at once.
        pl.when((pl.col("planned") == "send") & (pl.col("send_at") > pl.col("entered_at"))).then("send_at")
    ).select(done.columns)
    assert told.sort(pl.all()).rows() == done.sort(pl.all()).rows()

    reasons = set(found.left_out["reason"])
    assert {"unsubscribed", "suppressed"} & reasons
    assert any(reason.startswith("cap:") for reason in reasons)
    assert ("quiet_hours" in reasons) == (limits.get("quiet_hours", {}).get("then") == "skip")
    assert set(found.messages["channel"]) == {"email", "in_app"}
    assert found.messages["excluded"].sum() == found.left_out["messages"].sum()
    assert found.messages["held_out"].sum() > 0
