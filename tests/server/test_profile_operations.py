"""Properties that are counted up and added to, through uploads and folds."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import engage
from engage.server.clevertap_api import translate
from engage.server.folding import fold
from engage.server.journal import Journal

TS = 1_771_000_000
NOW = datetime.fromtimestamp(TS, UTC) + timedelta(days=1)


def profile(data: dict[str, Any], ts: int | None = TS, **ids: str) -> dict[str, Any]:
    given = {"type": "profile", "profileData": data, **(ids or {"identity": "ada"})}
    return given if ts is None else given | {"ts": ts}


@pytest.fixture
def folded(workspace: engage.Workspace) -> Any:
    """Takes records as one request, folds them, and tells ada's properties."""
    clock = [NOW]

    def take(*records: dict[str, Any], of: str = "ada") -> dict[str, Any]:
        clock[0] += timedelta(seconds=1)
        journal = Journal(workspace.settings.data / "journal")
        lines = [line for record in records for line in translate(record, received_at=clock[0])]
        asyncio.run(journal.append("".join(json.dumps(line) + "\n" for line in lines).encode()))
        fold(journal, workspace.lake, workspace.engine, workspace.settings.data / "dead_letters")
        journal.close()
        found = workspace.engine.frame("select properties from profiles where user_id = $user", {"user": of})
        return json.loads(found.item())

    return take


def test_each_operation_builds_on_what_is_there(folded: Any) -> None:
    assert folded(profile({"Score": {"$incr": 3}, "Tags": {"$add": ["a", "b", "a"]}})) == {
        "Score": 3,
        "Tags": ["a", "b"],
    }
    assert folded(profile({"Score": {"$decr": 5}, "Tags": {"$remove": ["a", "x"]}})) == {"Score": -2, "Tags": ["b"]}
    assert folded(profile({"Score": 10, "Tags": "b", "Plan": "gold"})) == {"Score": -2, "Tags": ["b"], "Plan": "gold"}
    assert folded(profile({"Score": 10, "Tags": "b"}, ts=None)) == {"Score": 10, "Tags": "b", "Plan": "gold"}
    assert folded(profile({"Score": {"$incr": 0.5}, "Tags": {"$add": "c"}}), profile({"Score": {"$incr": 1}})) == {
        "Score": 11.5,
        "Tags": ["b", "c"],
        "Plan": "gold",
    }


def test_in_one_request_the_order_of_the_records_counts(folded: Any) -> None:
    records = [profile({"Score": {"$incr": n}}, ts=None) for n in (1, 2)]
    assert folded(*records, profile({"Score": 7}, ts=None), profile({"Score": {"$decr": 2}}, ts=None)) == {"Score": 5}
    assert folded(profile({"Score": {"$incr": 1}}, ts=None), profile({"Score": 0}, ts=None)) == {"Score": 0}


def test_a_record_that_comes_again_counts_once(folded: Any) -> None:
    again = profile({"Score": {"$incr": 3}})
    for _ in range(3):
        assert folded(again, again) == {"Score": 3}
    assert folded(again, profile({"Score": {"$incr": 1}}, ts=TS + 1)) == {"Score": 4}


def test_a_stranger_who_is_met_is_one_person(folded: Any) -> None:
    assert folded(profile({"Score": {"$incr": 1}}, objectId="o"), of="o") == {"Score": 1}
    assert folded(profile({"Score": {"$incr": 2}}, identity="ada", objectId="o")) == {"Score": 2}
    assert folded(profile({"Score": {"$incr": 4}}, objectId="o")) == {"Score": 6}


def test_what_does_not_fit_is_kept_with_its_reason_and_loses_nothing_else(
    folded: Any, workspace: engage.Workspace
) -> None:
    folded(profile({"Score": "high", "Tags": {"$add": ["a"]}}, ts=None))
    assert folded(profile({"Score": {"$incr": 1}, "Tags": {"$add": ["b"]}})) == {"Score": "high", "Tags": ["a", "b"]}
    [file] = (workspace.settings.data / "dead_letters").glob("*.ndjson")
    assert json.loads(file.read_text()) == {
        "rejected": "Score: it is not a number",
        "message": {"user_id": "ada", "Score": {"$incr": 1}},
    }


def test_however_requests_are_cut_the_sum_is_the_same(folded: Any) -> None:
    dice = random.Random(5)
    score, tags, batch = 0, list[str](), list[dict[str, Any]]()
    for n in range(120):
        tag, step = dice.choice("abcdef"), dice.randint(1, 9)
        match dice.choice(["$incr", "$decr", "$add", "$remove", "set"]):
            case "$incr":
                score, data = score + step, {"Score": {"$incr": step}}
            case "$decr":
                score, data = score - step, {"Score": {"$decr": step}}
            case "$add":
                tags, data = tags if tag in tags else [*tags, tag], {"Tags": {"$add": [tag]}}
            case "$remove":
                tags, data = [one for one in tags if one != tag], {"Tags": {"$remove": [tag]}}
            case _:
                score, data = step, {"Score": step}
        batch.append(profile(data, ts=None))
        if dice.random() < 0.15 or n == 119:
            state, batch = folded(*batch), []
            assert (state.get("Score", 0), state.get("Tags", [])) == (score, tags)
