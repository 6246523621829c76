"""Playbooks: each fits itself to a lake, makes files that pass every check, and would have reached the right people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import engage
from engage.errors import PlanError
from engage.playbooks.playbook import list_playbooks

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
NAMES = [playbook.name for playbook in list_playbooks()]


def event(user: str, name: str, days_ago: float, **properties: Any) -> dict[str, Any]:
    at = NOW - timedelta(days=days_ago)
    return {"user_id": user, "event_name": name, "event_time": at, "properties": properties}


@pytest.fixture
def shop(workspace: engage.Workspace) -> engage.Workspace:
    users = ["new", "cooling", "gone", "back", "old", "latest"]
    workspace.land_profiles(
        [{"user_id": u, "email": f"{u}@example.com", "changed_at": NOW - timedelta(days=90)} for u in users]
    )
    workspace.land_events(
        [
            event("new", "App Launched", 0.5, app_version="2.10.0"),
            *(event("cooling", "App Launched", 30 + n, app_version="2.10.0") for n in range(20)),
            event("cooling", "App Launched", 1, app_version="2.10.0"),
            event("gone", "App Launched", 60, app_version="2.10.0"),
            event("gone", "App Uninstalled", 25),
            event("back", "App Uninstalled", 27),
            event("back", "App Installed", 26),
            event("old", "App Launched", 40, app_version="2.9.9"),
            event("latest", "App Launched", 40, app_version="2.10.0"),
            event("latest", "Charged", 39, amount=5),
        ]
    )
    return workspace


@pytest.mark.parametrize("name", NAMES)
def test_makes_a_journey_without_faults(shop: engage.Workspace, name: str) -> None:
    made = shop.create_from_playbook(name, now=NOW)
    assert made.journey.check() == []
    assert made.journey.definition.status == "draft"
    assert made.journey.definition.control_percent == 10
    for segment in made.filled.segments:
        assert shop.segment(segment, as_of=NOW).count() == made.filled.reach[segment]
    with pytest.raises(PlanError, match="there already"):
        shop.create_from_playbook(name, now=NOW)


@pytest.mark.parametrize("name", NAMES)
def test_fits_an_empty_lake_too(workspace: engage.Workspace, name: str) -> None:
    made = workspace.create_from_playbook(name, now=NOW)
    assert made.journey.check() == []
    assert made.simulation.entries == 0


def test_versions_are_compared_as_versions(shop: engage.Workspace) -> None:
    filled = shop.fill_playbook("remind_to_upgrade", as_of=NOW)
    assert filled.answers["latest"] == "2.10.0"
    shop.create_from_playbook("remind_to_upgrade", now=NOW)
    assert shop.segment("on_old_version", as_of=NOW).users()["user_id"].to_list() == ["old"]


def test_the_uninstalled_are_won_back_on_channels_that_reach_them(shop: engage.Workspace) -> None:
    made = shop.create_from_playbook("win_back_uninstalled", answers={"wait_days": 2}, now=NOW)
    assert made.filled.reach == {"uninstalled": 1}
    counts = dict(made.simulation.nodes.select("node", "entered").rows())
    assert (counts["entry"], counts["_exit"], counts["sorry"], counts["offer"]) == (2, 1, 1, 1)


def test_new_and_cooling_people(shop: engage.Workspace) -> None:
    shop.create_from_playbook("convert_new_users", now=NOW)
    assert shop.segment("newly_acquired", as_of=NOW).users()["user_id"].to_list() == ["new"]
    shop.create_from_playbook("use_more_often", answers={"window_days": 28}, now=NOW)
    assert "cooling" in shop.segment("cooling_down", as_of=NOW).users()["user_id"].to_list()


def counted(workspace: engage.Workspace, name: str, **answers: Any) -> dict[str, int]:
    """Who would have reached each node, told before anything is written."""
    found = workspace.preview_playbook(workspace.fill_playbook(name, answers, as_of=NOW), NOW)
    assert not list(workspace.settings.journeys.glob("*.toml"))
    return dict(found.nodes.group_by("node").sum().select("node", "entered").rows())


def test_two_weeks_go_by_what_new_people_do(workspace: engage.Workspace) -> None:
    came = [event(user, "App Launched", 20) for user in ("quick", "late", "never")]
    daily = [event("quick", "App Launched", 20 - day) for day in range(1, 19)]
    did = [event("quick", "Charged", 19.5), event("late", "Charged", 16)]
    workspace.land_events([*came, *daily, *did])
    counts = counted(workspace, "onboard_two_weeks", key_event="Charged", wait_days=2, channel="push")
    assert {name: counts.get(name, 0) for name in ("welcome", "praise", "tip", "help", "regular", "more", "done")} == {
        "welcome": 3,
        "praise": 1,  # quick bought within two days
        "tip": 2,
        "help": 1,  # late bought before it was asked
        "regular": 3,
        "more": 2,  # quick came daily
        "done": 3,
    }


def test_a_countdown_ends_with_the_purchase(workspace: engage.Workspace) -> None:
    users = ["buyer", "waits", "bought", "gone"]
    workspace.land_events(
        [event(user, "App Launched", 200 if user == "gone" else 40) for user in users]
        + [event("bought", "Charged", 31), event("buyer", "Charged", 29)]
    )
    filled = workspace.fill_playbook("promotional_countdown", {"days": 8, "rest_days": 5}, as_of=NOW)
    assert (filled.answers["middle_days"], filled.answers["last_days"]) == (4, 3)
    assert filled.journey["nodes"]["begin"]["content"]["body"].startswith("For 8 days.")
    counts = counted(workspace, "promotional_countdown", days=8, rest_days=5)
    assert {name: counts.get(name, 0) for name in ("begin", "_goal", "middle", "last", "done")} == {
        "begin": 2,
        "_goal": 1,
        "middle": 1,
        "last": 1,
        "done": 1,
    }


def test_the_silent_climb_step_by_step_until_they_answer(workspace: engage.Workspace) -> None:
    users = ["mute", "wakes", "gone", "once"]
    workspace.land_profiles(
        [{"user_id": u, "email": f"{u}@example.com", "changed_at": NOW - timedelta(days=90)} for u in users]
    )
    visits = [event(user, "App Launched", 43 - day) for user in users[:3] for day in range(3)]
    gone = [event("once", "App Launched", 41), event("gone", "App Uninstalled", 40), event("wakes", "App Launched", 22)]
    workspace.land_events([*visits, *gone])
    counts = counted(workspace, "reengage_in_steps", silent_days=14, channel="email")
    steps = ("hello", "news_email", "offer_email", "farewell", "_goal")
    assert {name: counts.get(name, 0) for name in steps} == {
        "hello": 2,
        "news_email": 2,
        "offer_email": 1,  # the other came back two days after the news
        "farewell": 1,
        "_goal": 1,
    }


def test_a_dropped_price_is_told_to_who_looked(workspace: engage.Workspace) -> None:
    workspace.land_events(
        [
            *(event(user, "Product Viewed", 12, product="p1") for user in ("buys", "waits")),
            *(event(user, "Price Dropped", 10, product="p1") for user in ("buys", "waits", "stranger")),
            event("buys", "Charged", 9),
        ]
    )
    counts = counted(workspace, "price_drop", channel="push")
    assert {name: counts.get(name, 0) for name in ("drop", "tell", "_goal")} == {"drop": 2, "tell": 1, "_goal": 1}


def test_an_unknown_answer_is_refused(shop: engage.Workspace) -> None:
    with pytest.raises(PlanError, match="does not ask 'colour'"):
        shop.fill_playbook("use_more_often", {"colour": "red"})
