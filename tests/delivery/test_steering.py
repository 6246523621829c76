"""Runs steered from Python and the command line: paused, resumed, retried, resolved."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

import engage
from engage.cli import main
from engage.errors import PlanError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def said(capsys: pytest.CaptureFixture[str], workspace: engage.Workspace, *arguments: str) -> str:
    capsys.readouterr()
    main(["-w", str(workspace.root), *arguments])
    return capsys.readouterr().out


@pytest.fixture
def ready(workspace: engage.Workspace, edge: Any) -> engage.Workspace:
    """A campaign to an endpoint, of ten people, with a short patience."""
    file = workspace.root / "pyproject.toml"
    file.write_text(
        file.read_text() + f'\n[tool.engage.channels.webhook]\nprovider = "webhook"\nurl = "{edge.url}"\n'
        "allow_private = true\n[tool.engage.delivery]\nbackoff_base = 0.01\nattempts = 2\nconcurrency = 1\n"
    )
    space = engage.Workspace.open(workspace.root)
    space.land_profiles([{"user_id": f"u{i}", "email": f"u{i}@example.com"} for i in range(10)], now=NOON)
    space.create_campaign("news", {"title": "News", "channel": "webhook", "everyone": True, "content": {}})
    return space


def test_failed_people_are_listed_exported_and_tried_again(
    ready: engage.Workspace, edge: Any, says: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    edge.answers = [says(400), says(204), says(400)]
    unlucky: list[bytes] = []

    def answer(connection: Any, key: bytes) -> None:
        unlucky.append(key)
        says(500 if key == unlucky[0] else 204)(connection, key)

    edge.answer = answer
    assert ready.campaign("news").send().counts() == {
        "sent": 7, "failed:content_rejected": 2, "failed:gave_up": 1,
    }  # fmt: skip
    lost = ready.unsent("news-once")
    assert sorted(lost["outcome"]) == ["failed:content_rejected", "failed:content_rejected", "failed:gave_up"]
    lines = said(capsys, ready, "delivery", "failed", "news-once", "--format", "csv").splitlines()
    assert lines[0] == "user_id,message_id,outcome"
    assert len(lines) == 4
    edge.seen.clear()
    edge.answer = says(204)
    planned = ready.retry_run("news-once", "gave_up")
    assert (planned.run_id, planned.counts.send) == ("news-once-retry1", 1)
    with pytest.raises(PlanError, match="exists with other recipients"):
        ready.retry_run("news-once")
    assert "sent 1" in said(capsys, ready, "delivery", "retry", "news-once", "--reason", "gave_up")
    assert "sent 1" in said(capsys, ready, "delivery", "resume", "news-once-retry1"), "harmless to repeat"
    assert len(edge.seen) == 1
    [user] = lost.filter(outcome="failed:gave_up")["user_id"]
    outcomes = ready.sql("select run_id, user_id, outcome from outcomes where run_id like '%retry%'")
    assert outcomes.rows() == [("news-once-retry1", user, "sent")]


def test_a_run_that_is_not_over_is_not_retried(ready: engage.Workspace) -> None:
    ready.campaign("news").plan()
    with pytest.raises(PlanError, match="it is planned, not over"):
        ready.retry_run("news-once")
    with pytest.raises(PlanError, match="no-such"):
        ready.send_run("no-such")


def test_a_pause_from_outside_stops_a_send_and_resuming_skips_and_repeats_nobody(
    ready: engage.Workspace, edge: Any, says: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def pauses(connection: Any, key: bytes) -> None:
        assert said(capsys, ready, "delivery", "pause", "news-once").strip() == "news-once is paused"
        says(204)(connection, key)

    edge.answers = [says(204), says(204), pauses]
    assert ready.campaign("news").send().state == "paused"
    before = len(edge.seen)
    assert 3 <= before < 10
    assert "paused" in said(capsys, ready, "delivery", "status")
    assert "pending" in said(capsys, ready, "delivery", "status", "news-once")
    assert "completed: sent 10" in said(capsys, ready, "delivery", "resume", "news-once")
    assert len(edge.seen) == len(set(edge.seen)) == 10
    assert "completed: sent 10" in said(capsys, ready, "delivery", "watch", "news-once")
    assert "no run is under way" in said(capsys, ready, "delivery", "watch")
