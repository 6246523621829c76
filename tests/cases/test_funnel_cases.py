"""Funnels against published cases.

The facts (events and expected counts) follow the test suite of PostHog (MIT outside its ee/ folder; facts transcribed,
no code copied).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import engage

CASES = json.loads((Path(__file__).parent / "funnel.json").read_text())["cases"]


def selector(step: dict[str, Any]) -> dict[str, Any]:
    where = {item["key"]: {"op": item["op"], "value": item["value"]} for item in step["properties"]}
    return {"event": step["event"], "where": where}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_case(tmp_path: Path, case: dict[str, Any]) -> None:
    asked, expected = case["params"], case["expected"]
    workspace = engage.Workspace.create(tmp_path / "w")
    names = ("user_id", "event_name", "event_time", "properties")
    workspace.land_events([{name: event[name] for name in names} for event in case["events"]])
    steps = [selector(step) for step in asked["steps"]]
    question: dict[str, Any] = {
        "within": f"{asked['window']['value']} {asked['window']['unit']}s",
        "order": asked["order"],
        "exclude": [
            {**selector(item), "from_step": item["from_step"], "to_step": item["to_step"]}
            for item in asked["exclusions"]
        ],
        "start": asked["date_from"],
        "end": asked["date_to"],
    }
    counts = workspace.funnel(steps, **question)["users"].to_list()
    asserted = [(got, want) for got, want in zip(counts, expected["counts"], strict=True) if want is not None]
    assert [got for got, _ in asserted] == [want for _, want in asserted]
    for step, users in (expected["users_at_step"] or {}).items():
        assert workspace.funnel_users(steps, int(step), **question)["user_id"].to_list() == sorted(users)
    for step, (average, median) in (expected["conversion_seconds"] or {}).items():
        seconds = workspace.funnel_users(steps, int(step), **question)["seconds"]
        assert (seconds.mean(), seconds.median()) == (average, median)
        assert workspace.funnel(steps, **question)["median_seconds"][int(step) - 1] == median
