"""Charts of behaviour hold the figures of their tables, and every field they name is in their data."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import engage
from engage.analysis.charts import behaviour, funnel, retention

START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def lived(workspace: engage.Workspace) -> engage.Workspace:
    sent = {"channel": "push", "campaign_id": "c", "labels": ["Spring"]}
    did = [
        (f"u{i}", name, day, {"amount": 5 * i, "plan": "pro" if i % 2 else None, "message_id": f"{i}"} | sent)
        for i in range(12)
        for day, name in enumerate(
            ["App Installed", "Notification Sent", "view", "add", "Charged", "App Uninstalled"][: 2 + i % 5]
        )
    ]
    did += [(f"h{i}", "Notification Held Out", 1, {"message_id": f"h{i}"} | sent) for i in range(4)]
    did += [("h1", "view", 2, {})]
    workspace.land_events(
        [
            {"user_id": u, "event_name": n, "event_time": START + timedelta(days=d), "properties": p}
            for u, n, d, p in did
        ]
    )
    return workspace


STEPS = ["view", "add", "Charged"]
CHARTS: dict[str, Callable[[engage.Workspace], Any]] = {
    "funnel": lambda ws: funnel.funnel_bars(ws.funnel(STEPS), within="7 days"),
    "funnel by plan": lambda ws: funnel.funnel_bars(ws.funnel(STEPS, breakdown="plan")),
    "times": lambda ws: funnel.funnel_histogram(ws.funnel_times(STEPS)),
    "trends": lambda ws: behaviour.trend_lines(ws.trends(["view", "Charged"])),
    "trends by plan": lambda ws: behaviour.trend_lines(ws.trends(["view"], breakdown="plan")),
    "active": lambda ws: behaviour.active_users_lines(ws.active_users()),
    "stickiness": lambda ws: behaviour.stickiness_bars(ws.stickiness()),
    "paths": lambda ws: behaviour.path_flow(ws.paths("view", within="9 days")),
    "rfm": lambda ws: behaviour.rfm_grid(ws.rfm()),
    "uninstalls": lambda ws: behaviour.uninstall_bars(ws.uninstalls()),
    "after": lambda ws: behaviour.uninstall_rates(ws.uninstalls_after()),
    "cohorts": lambda ws: retention.retention_heat_map(ws.retention(start_event="view", with_ongoing=True)),
    "difference": lambda ws: retention.retention_difference(ws.retention_lift("Spring", 3)),
}


def fields(node: Any) -> Iterator[str]:
    """Every field that an encoding names."""
    if isinstance(node, dict):
        if isinstance(node.get("field"), str):
            yield node["field"]
        for value in node.values():
            yield from fields(value)
    elif isinstance(node, list):
        for value in node:
            yield from fields(value)


@pytest.mark.parametrize("name", CHARTS)
def test_every_field_is_in_the_data(lived: engage.Workspace, name: str) -> None:
    spec = json.loads(CHARTS[name](lived).to_json())
    assert spec["datasets"]
    for rows in spec["datasets"].values():
        assert rows
    known = {key for rows in spec["datasets"].values() for key in rows[0]}
    assert set(fields(spec)) <= known
    assert "title" in spec or all("title" in layer for layer in spec["layer"])


@pytest.mark.parametrize("name", CHARTS)
def test_an_empty_lake_is_drawn_too(workspace: engage.Workspace, name: str) -> None:
    assert CHARTS[name](workspace).to_dict()["$schema"]
