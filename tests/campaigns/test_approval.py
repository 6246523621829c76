from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import engage
from engage.campaigns.editing import create_campaign
from engage.errors import PlanError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def filled(workspace: engage.Workspace, **options: Any) -> engage.Workspace:
    settings = replace(workspace.settings, options={**workspace.settings.options, **options})
    changed = engage.Workspace(settings)
    rows = [{"user_id": f"u{i}", "email": f"u{i}@example.com", "name": f"N{i}"} for i in range(20)]
    changed.land_profiles(rows, now=NOON - timedelta(days=1))
    values = {"channel": "email", "everyone": True, "throttle_per_second": 4, "control_percent": 10}
    content = {"subject": "Hi {{ profile.name }}", "text": "Hello"}
    create_campaign(settings, "news", {**values, "content": content}, {})
    return changed


def test_a_large_send_is_the_plan_that_was_looked_at(workspace: engage.Workspace) -> None:
    space = filled(workspace, approval_above=5)
    found = space.campaign("news").dry_run(NOON)
    assert found.estimate.needs_approval
    with pytest.raises(PlanError, match=f"--approve {found.plan.plan_id}"):
        space.campaign("news").send(NOON)
    with pytest.raises(PlanError, match="is not the one there is"):
        space.campaign("news").send(NOON, approve="0" * 12)
    space.land_profiles([{"user_id": "late", "email": "late@example.com"}], now=NOON - timedelta(hours=1))
    space.suppress("email", "u3@example.com", now=NOON - timedelta(hours=1))
    summary = space.campaign("news").send(NOON, approve=found.plan.plan_id)
    assert summary.audience == 20, "what is sent is what was looked at"
    assert space.campaign("news").send(NOON).audience == 20, "once begun it goes on without"


def test_a_large_launch_needs_approval_and_a_larger_run_waits(workspace: engage.Workspace) -> None:
    space = filled(workspace, approval_above=5)
    file = space.settings.campaigns / "news" / "campaign.toml"
    file.write_text(file.read_text() + '\n[schedule]\ncron = "0 18 * * *"\n')
    with pytest.raises(PlanError, match="approval"):
        space.campaign("news").launch(NOON)
    plan_id = space.campaign("news").plan(now=NOON).plan_id
    space.campaign("news").launch(NOON, approve=plan_id)
    [done] = space.tick_campaigns(NOON + timedelta(hours=7))
    assert done.error == ""
    more = [{"user_id": f"v{i}", "email": f"v{i}@example.com"} for i in range(30)]
    space.land_profiles(more, now=NOON + timedelta(hours=8))
    [done] = space.tick_campaigns(NOON + timedelta(hours=31))
    assert "without approval" in done.error
    assert done.summary is None


def test_a_dry_run_tells_time_cost_and_samples(workspace: engage.Workspace) -> None:
    space = filled(workspace)
    (space.settings.data / "prices.toml").write_text('currency = "EUR"\n[channels]\nemail = 0.5\n')
    found = space.campaign("news").dry_run(NOON)
    assert not found.estimate.needs_approval, "the outbox reaches nobody"
    send = found.plan.run.counts.send
    assert (found.estimate.seconds, found.estimate.cost, found.estimate.currency) == (send / 4, send / 2, "EUR")
    assert len(found.samples) == 10
    assert space.sql("select count(*) as n from notifications").item() == 0


def test_preview_and_test_send_use_a_real_person(workspace: engage.Workspace) -> None:
    space = filled(workspace)
    [shown] = space.campaign("news").preview(user="u7")
    assert (shown["subject"], shown["address"]) == ("Hi N7", "u7@example.com")
    with pytest.raises(PlanError, match="nothing is known of user 'nobody'"):
        space.campaign("news").preview(user="nobody")
    outcome = space.campaign("news").test_send("me@example.com", user="u7")
    assert outcome.status == "sent"
    assert space.sql("select count(*) as n from notifications").item() == 0
    assert space.runs() == []
    written = b"".join(path.read_bytes() for path in space.settings.outbox.rglob("*") if path.is_file())
    assert b"me@example.com" in written


def test_who_unsubscribes_after_the_plan_is_not_written_to(workspace: engage.Workspace) -> None:
    space = filled(workspace)
    plan = space.campaign("news").plan()
    victim = space.sql("select min(user_id) as u from audiences where planned = 'send'").item()
    space.suppress("email", f"{victim}@example.com")
    space.campaign("news").send(approve=plan.plan_id)
    outcome = space.sql("select outcome from outcomes where user_id = $u", u=victim).item()
    assert outcome == "failed:unsubscribed"


def test_sending_works_where_a_loop_is_running(workspace: engage.Workspace) -> None:
    space = filled(workspace)
    told: list[tuple[int, bool]] = []
    here = threading.current_thread()

    async def notebook() -> int:
        told_here = lambda progress: told.append((progress.done, threading.current_thread() is here))  # noqa: E731
        return space.campaign("news").send(NOON, report=told_here).sent

    assert asyncio.run(notebook()) == told[-1][0] > 0
    assert all(in_caller for _, in_caller in told)
