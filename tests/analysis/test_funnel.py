"""Funnels against a plain-Python reference that tries every chain of events, over random histories."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import engage
from engage.analysis.funnel import _asked, _by_statement
from engage.errors import QueryError
from tests.examples import tried
from tests.lakes import empty

START = datetime(2026, 3, 1, tzinfo=UTC)
Events = Sequence[tuple[str, str, int]]


@cache
def shared() -> engage.Workspace:
    return engage.Workspace.create(Path(tempfile.mkdtemp(prefix="engage-funnel-")) / "w")


def land(workspace: engage.Workspace, events: Events) -> None:
    """Land (user, event, minute) in an emptied lake."""
    empty(workspace, "events")
    workspace.land_events(
        [
            {"event_id": f"{i:04}", "user_id": u, "event_name": n, "event_time": START + timedelta(minutes=m)}
            for i, (u, n, m) in enumerate(events)
        ]
    )


def deepest(
    mine: list[tuple[int, str]], steps: list[str], within: int, order: str, excluded: tuple[str, int, int] | None
) -> int:
    """The most steps that any attempt of a user fills; 0 without a clean attempt."""

    def chains(index: int, filled: list[int], left: list[str]) -> list[list[int]]:
        """Every chain that goes on from an event, its indexes."""
        found = [filled]
        candidates = range(index + 1, len(mine))
        if order == "strict":
            candidates = candidates[:1]
        for i in candidates:
            wanted = left if order == "any" else left[:1]
            if mine[i][1] in wanted and mine[i][0] <= mine[filled[0]][0] + within:
                rest = list(left)
                rest.remove(mine[i][1])
                found += chains(i, [*filled, i], rest)
        return found

    best = 0
    for i, (moment, name) in enumerate(mine):
        if name not in (steps if order == "any" else steps[:1]):
            continue
        rest = list(steps)
        rest.remove(name)
        # Of the longest chains the earliest counts: its times are the least, step by step.
        found = chains(i, [i], rest)
        size = max(len(chain) for chain in found)
        times = min([mine[j][0] for j in chain] for chain in found if len(chain) == size)
        if excluded:
            bad, low, high = excluded
            chain = min((c for c in found if len(c) == size), key=lambda c: [mine[j][0] for j in c])
            if low < size:
                until = times[high] if high < size else moment + within
                if any(n == bad and k > chain[low] and m <= until for k, (m, n) in enumerate(mine)):
                    continue
        best = max(best, size)
    return best


histories = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("wxyz"), st.integers(0, 40)), max_size=24)
chosen = st.lists(st.sampled_from("wxy"), min_size=2, max_size=4)


@tried(30)
@given(histories, chosen, st.integers(1, 30), st.sampled_from(["ordered", "strict", "any"]), st.booleans(), st.data())
def test_it_agrees_with_the_reference(
    events: Events, steps: list[str], within: int, order: str, is_excluding: bool, data: st.DataObject
) -> None:
    if order == "any":
        steps = list(dict.fromkeys(steps)) if len(set(steps)) > 1 else ["w", "x"]
    low, high = 0, len(steps) - 1
    if is_excluding and order == "ordered":
        low = data.draw(st.integers(0, len(steps) - 2))
        high = data.draw(st.integers(low + 1, len(steps) - 1))
    excluded = ("z", low, high) if is_excluding else None
    workspace = shared()
    land(workspace, events)
    exclude = [{"event": "z", "from_step": low, "to_step": high}] if is_excluding else []
    table = workspace.funnel(steps, f"{within} minutes", order=order, exclude=exclude)
    rank = {name: i for i, name in reversed(list(enumerate(steps)))}
    depths = []
    for user in {user for user, _, _ in events}:
        own = [(m, rank.get(n, len(steps)), i, n) for i, (u, n, m) in enumerate(events) if u == user]
        depths.append(deepest([(m, n) for m, _, _, n in sorted(own)], steps, within, order, excluded))
    assert table["users"].to_list() == [sum(depth >= k for depth in depths) for k in range(1, len(steps) + 1)]
    binder, asked = _asked(workspace.engine, steps, f"{within} minutes", order, exclude)
    stated = _by_statement(workspace.engine, binder, asked, None)
    medians = [stated[f"m{k}"].to_list() for k in range(1, len(steps) + 1)]
    assert table["median_seconds"].to_list() == [found[0] if found else None for found in medians]
    reached = [workspace.funnel_users(steps, k, f"{within} minutes", order=order, exclude=exclude) for k in (1, 2)]
    dropped = workspace.funnel_users(steps, 2, f"{within} minutes", order=order, exclude=exclude, is_dropped=True)
    sql = workspace.funnel_segment(steps, 2, f"{within} minutes", order=order, exclude=exclude)
    assert workspace.engine.frame(f"{sql} order by user_id")["user_id"].equals(reached[1]["user_id"])
    assert sorted([*reached[1]["user_id"], *dropped["user_id"]]) == reached[0]["user_id"].to_list()


def test_a_breakdown_is_by_the_first_step_of_the_best_attempt(workspace: engage.Workspace) -> None:
    def event(user: str, name: str, minute: int, plan: str) -> dict[str, object]:
        return {
            "user_id": user, "event_name": name, "event_time": START + timedelta(minutes=minute),
            "properties": {"plan": plan},
        }  # fmt: skip

    workspace.land_events(
        [
            event("a", "view", 0, "free"), event("a", "view", 100, "pro"), event("a", "buy", 110, "x"),
            event("b", "view", 0, "free"), event("c", "view", 0, "free"), event("c", "buy", 3, "x"),
        ]
    )  # fmt: skip
    table = workspace.funnel(["view", "buy"], "1 hour", breakdown="plan")
    assert table.rows() == [
        ("free", 1, "view", 2, 1.0, None), ("free", 2, "buy", 1, 0.5, 180.0),
        ("pro", 1, "view", 1, 1.0, None), ("pro", 2, "buy", 1, 1.0, 600.0),
    ]  # fmt: skip
    spread = workspace.funnel_times(["view", "buy"], within="1 hour", bins=2)
    assert spread.rows() == [(0.0, 300.0, 1), (300.0, 600.0, 1)]


def test_only_those_sent_a_label(workspace: engage.Workspace) -> None:
    sent = {"channel": "email", "campaign_id": "c", "message_id": "m", "labels": ["Spring"]}
    workspace.land_events(
        [
            {"user_id": "a", "event_name": "Notification Sent", "event_time": START, "properties": sent},
            *(
                {"user_id": user, "event_name": name, "event_time": START + timedelta(minutes=1)}
                for user in "abc"
                for name in ("view", "buy")
            ),
        ]
    )
    assert workspace.funnel(["view", "buy"])["users"].to_list() == [3, 3]
    assert workspace.funnel(["view", "buy"], label="Spring")["users"].to_list() == [1, 1]
    assert workspace.funnel(["Notification Sent", "view", "buy"])["users"].to_list() == [1, 1, 1]
    assert workspace.funnel(["Notification Sent", None], order="strict")["users"].to_list() == [1, 1]
    assert workspace.funnel(["view", "buy"], as_of=START + timedelta(seconds=30))["users"].to_list() == [0, 0]


@pytest.mark.parametrize(
    "question",
    [
        {"steps": ["x"]},
        {"steps": ["x", "y"], "order": "sideways"},
        {"steps": ["x", "y"], "exclude": [{"event": "z", "from_step": 1, "to_step": 2}]},
        {"steps": ["x", "y", "w"], "order": "any", "exclude": [{"event": "z", "from_step": 0, "to_step": 1}]},
    ],
)
def test_what_cannot_be_asked(workspace: engage.Workspace, question: dict[str, object]) -> None:
    with pytest.raises(QueryError):
        workspace.funnel(**question)  # type: ignore[arg-type]
