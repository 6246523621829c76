"""A lost or outdated ledger sends nobody anything twice; what is known is told in OpenMetrics."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import engage
from engage.errors import PlanError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def ready(workspace: engage.Workspace, edge: Any) -> engage.Workspace:
    """Twenty people, a campaign to the endpoint, one request at a time."""
    file = workspace.root / "pyproject.toml"
    file.write_text(
        file.read_text() + f'\n[tool.engage.channels.webhook]\nprovider = "webhook"\nurl = "{edge.url}"\n'
        "allow_private = true\n[tool.engage.delivery]\nbackoff_base = 0.01\nconcurrency = 1\n"
    )
    space = engage.Workspace.open(workspace.root)
    space.land_profiles([{"user_id": f"u{i}", "email": f"u{i}@example.com"} for i in range(20)], now=NOON)
    space.create_campaign("news", {"title": "News", "channel": "webhook", "everyone": True, "content": {}})
    return space


def half_sent(ready: engage.Workspace, edge: Any, says: Any) -> int:
    def pauses(connection: Any, key: bytes) -> None:
        ready.pause_run("news-once")
        says(204)(connection, key)

    edge.answers = [says(204)] * 7 + [pauses]
    summary = ready.campaign("news").send()
    assert summary.state == "paused"
    ready.resume_run("news-once")
    return summary.sent


def lose(ready: engage.Workspace) -> None:
    for path in ready.settings.data.glob("ledger.sqlite*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize(("others", "outcome"), [("in_doubt", "in_doubt"), ("pending", "sent")])
def test_a_lost_ledger_stops_its_runs_until_somebody_decides(
    ready: engage.Workspace, edge: Any, says: Any, others: Any, outcome: str
) -> None:
    sent = half_sent(ready, edge, says)
    lose(ready)
    with pytest.raises(PlanError, match=r"news-once: it was begun with a ledger that is not here any more; .*recover"):
        ready.campaign("news").send()
    with pytest.raises(PlanError, match="not here any more"):
        ready.send_run("news-once")
    assert ready.deliver_due() == []
    assert len(edge.seen) == sent
    ready.recover_run("news-once", others)
    with pytest.raises(PlanError, match="nothing to recover"):
        ready.recover_run("news-once", others)
    summary = ready.send_run("news-once")
    expected = {"sent": sent, "in_doubt": 20 - sent} if outcome == "in_doubt" else {"sent": 20}
    assert summary.counts() == expected
    assert len(edge.seen) == len(set(edge.seen)) == expected["sent"]
    told = ready.sql("select outcome, count(*) as n from outcomes where run_id = 'news-once' group by 1")
    assert dict(told.rows()) == expected
    if outcome == "in_doubt":
        assert ready.resolve_run("news-once", "retry", users=["u0", "u1", "u2", "u3"]) <= 4
        assert ready.resolve_run("news-once", "retry") > 0
        assert ready.send_run("news-once").counts() == {"sent": 20}
        assert len(edge.seen) == len(set(edge.seen)) == 20


def test_an_old_copy_of_the_ledger_is_noticed(ready: engage.Workspace, edge: Any, says: Any, tmp_path: Path) -> None:
    sent = half_sent(ready, edge, says)
    shutil.copy(ready.settings.ledger, tmp_path / "copy")
    edge.answers = [says(204)] * 3 + [says(401)] * 9
    with pytest.raises(engage.errors.ConfigurationError):
        ready.send_run("news-once")
    lose(ready)
    shutil.copy(tmp_path / "copy", ready.settings.ledger)
    with pytest.raises(PlanError, match="older than what the lake knows was sent"):
        ready.send_run("news-once")
    assert ready.recover_run("news-once", "pending").sent == sent + 3
    edge.seen.clear()
    edge.answers = []
    assert ready.send_run("news-once").counts() == {"sent": 20}
    assert len(edge.seen) == 20 - sent - 3


def test_metrics_add_up_and_are_valid_openmetrics(ready: engage.Workspace, edge: Any, says: Any) -> None:
    assert ready.metrics().endswith("# EOF\n")
    edge.answers = [says(400), says(204, pause=0.03)]
    sent = half_sent(ready, edge, says) + 0
    text = ready.metrics()
    samples = dict(
        re.fullmatch(r"(\w+(?:\{[^}]*\})?) (\S+)", line).groups()  # type: ignore[union-attr]
        for line in text.splitlines() if not line.startswith("#")
    )  # fmt: skip
    assert len(samples) == sum(not line.startswith("#") for line in text.splitlines()), "each sample once"
    assert samples['engage_messages_total{channel="webhook",outcome="sent",reason=""}'] == str(sent)
    assert samples['engage_messages_pending{channel="webhook"}'] == str(20 - sent)
    assert samples['engage_runs{state="running"}'] == "1"
    asked = int(samples['engage_request_seconds_count{provider="webhook"}'])
    assert asked == len(edge.seen) == int(samples['engage_request_seconds_bucket{provider="webhook",le="+Inf"}'])
    buckets = [int(value) for name, value in samples.items() if "_bucket{" in name]
    assert buckets == sorted(buckets)
    assert float(samples['engage_request_seconds_sum{provider="webhook"}']) > 0
    assert "u1" not in text
    ready.send_run("news-once")
    assert f'outcome="sent",reason=""}} {20}' in ready.metrics()
