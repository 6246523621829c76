"""Every operator on properties of every type, against a plain-Python reference."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import engage
from engage.analysis.segment_conditions import Did, Profile
from tests.examples import tried

KEYS = ("plan", "a.b", "$x", "a/b", "~", "q'\"")
VALUES = (
    None, 5, 20, -3, 2.5, True, False, "x", "5", "5.0", "X", "true", "", "2026-03-01", "aéb", [1, 2], {"a": 1}, "no 5",
)  # fmt: skip


@cache
def workspace() -> engage.Workspace:
    """Somebody with each of the values, under each of the keys, in their profile and in an event of theirs."""
    made = engage.Workspace.create(Path(tempfile.mkdtemp(prefix="engage-conditions-")) / "w")
    people = [{"user_id": f"u{index}", "properties": dict.fromkeys(KEYS, value)} for index, value in enumerate(VALUES)]
    made.land_profiles(people)
    clock = datetime(2026, 3, 1, tzinfo=UTC)
    made.land_events([{**person, "event_name": "Rated", "event_time": clock} for person in people])
    made.compact()
    return made


def as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"))


def number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def equal(text: str | None, wanted: Any) -> bool:
    if text is None or wanted is None:
        return text is wanted
    if isinstance(wanted, bool):
        return text == as_text(wanted)
    return number(text) == wanted if isinstance(wanted, (int, float)) else text == wanted


def compared(operator: str, text: str, wanted: Any) -> bool:
    found: Any = text.encode()
    if isinstance(wanted, (int, float)):
        found = number(text)
    else:
        wanted = wanted.encode()
    if found is None:
        return False
    return bool({"gt": found > wanted, "gte": found >= wanted, "lt": found < wanted, "lte": found <= wanted}[operator])


def holds(operator: str, wanted: Any, text: str | None) -> bool:
    match operator:
        case "is_set" | "is_not_set":
            return (text is not None) == (operator == "is_set")
        case "eq" | "ne":
            return equal(text, wanted) == (operator == "eq")
        case "in" | "not_in":
            return any(equal(text, each) for each in wanted) == (operator == "in")
        case "not_contains":
            return text is None or wanted not in text
    if text is None:
        return False
    match operator:
        case "contains":
            return wanted in text
        case "starts_with":
            return text.startswith(wanted)
        case "ends_with":
            return text.endswith(wanted)
        case "between":
            return compared("gte", text, wanted[0]) and compared("lte", text, wanted[1])
    return compared(operator, text, wanted)


anything = st.sampled_from([5, 20, 2.5, "x", "5", "", True, False, "b"])
conditions = st.one_of(
    st.tuples(st.sampled_from(["eq", "ne"]), anything),
    st.tuples(st.sampled_from(["gt", "gte", "lt", "lte"]), st.sampled_from([5, 20, 2.5, "x", "5", "b"])),
    st.tuples(st.sampled_from(["in", "not_in"]), st.lists(anything | st.none(), min_size=1, max_size=3)),
    st.tuples(
        st.sampled_from(["contains", "not_contains", "starts_with", "ends_with"]), st.sampled_from(["x", "5", "é", ""])
    ),
    st.tuples(st.sampled_from(["is_set", "is_not_set"]), st.none()),
    st.tuples(st.just("between"), st.sampled_from([[5, 20], ["5", "x"]])),
)


@tried(25)
@given(conditions, st.sampled_from(KEYS))
def test_it_holds_of_whom_it_should(condition: tuple[str, Any], key: str) -> None:
    operator, wanted = condition
    want = [f"u{index}" for index, value in enumerate(VALUES) if holds(operator, wanted, as_text(value))]
    for asked in (Profile({key: {operator: wanted}}), Did("Rated", where={key: {"op": operator, "value": wanted}})):
        people = workspace().people(workspace().build_segment(asked))
        assert sorted(people.users()["user_id"].to_list()) == sorted(want), people.sql
        assert people.count() == len(want)
