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
    assert made.simulation is not None
    assert made.simulation.entries == 0


def test_versions_are_compared_as_versions(shop: engage.Workspace) -> None:
    filled = shop.fill_playbook("remind_to_upgrade", as_of=NOW)
    assert filled.answers["latest"] == "2.10.0"
    shop.create_from_playbook("remind_to_upgrade", now=NOW)
    assert shop.segment("on_old_version", as_of=NOW).users()["user_id"].to_list() == ["old"]


def test_the_uninstalled_are_won_back_on_channels_that_reach_them(shop: engage.Workspace) -> None:
    made = shop.create_from_playbook("win_back_uninstalled", answers={"wait_days": 2}, now=NOW)
    assert made.filled.reach == {"uninstalled": 1}
    counts = dict(made.simulation.nodes.select("node", "entered").rows()) if made.simulation else {}
    assert (counts["entry"], counts["_exit"], counts["sorry"], counts["offer"]) == (2, 1, 1, 1)


def test_new_and_cooling_people(shop: engage.Workspace) -> None:
    shop.create_from_playbook("convert_new_users", now=NOW)
    assert shop.segment("newly_acquired", as_of=NOW).users()["user_id"].to_list() == ["new"]
    shop.create_from_playbook("use_more_often", answers={"window_days": 28}, now=NOW)
    assert "cooling" in shop.segment("cooling_down", as_of=NOW).users()["user_id"].to_list()


def test_an_unknown_answer_is_refused(shop: engage.Workspace) -> None:
    with pytest.raises(PlanError, match="does not ask 'colour'"):
        shop.fill_playbook("use_more_often", {"colour": "red"})
