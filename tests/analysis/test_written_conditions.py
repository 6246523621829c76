from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage.analysis.events import selector_name
from engage.analysis.written_conditions import read_conditions
from engage.errors import QueryError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("amount >= 10 and amount < 20", {"amount": {"gte": 10, "lt": 20}}),
        ("(a = 'x') and (b <> 1.5)", {"a": {"eq": "x"}, "b": {"ne": 1.5}}),
        ("plan in ('a, b', 'c') and n not in (1, -2)", {"plan": {"in": ["a, b", "c"]}, "n": {"not_in": [1, -2]}}),
        ("\"utm.source\" = 'and' and ok = true", {"utm.source": {"eq": "and"}, "ok": {"eq": True}}),
        ("((a = 1 and b = 2) and c = 3)", {"a": {"eq": 1}, "b": {"eq": 2}, "c": {"eq": 3}}),
        ("a is null and b is not null", {"a": {"is_not_set": True}, "b": {"is_set": True}}),
        ("n between -1 and 5 and d > date '2026-01-02'", {"n": {"between": [-1, 5]}, "d": {"gt": date(2026, 1, 2)}}),
        ("contains(a, 'x') and not contains(b, 'y')", {"a": {"contains": "x"}, "b": {"not_contains": "y"}}),
        (
            "starts_with(a, 'x') and ends_with(a, 'y') and regexp_matches(b, '^z')",
            {"a": {"starts_with": "x", "ends_with": "y"}, "b": {"regex": "^z"}},
        ),
    ],
)
def test_conditions_are_read(text: str, expected: dict[str, object]) -> None:
    assert read_conditions(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a =",
        "a = b",
        "a = 1 or b = 2",
        "a.b = 1",
        "a = 1 and a = 2",
        "a in (select 1)",
        "drop table x",
        "d = date '2026-02-30'",
        "(" * 5000,
    ],
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(QueryError):
        read_conditions(text)


WORDS = (
    "a",
    "=",
    "'x'",
    "and",
    "not",
    "in",
    "(",
    ")",
    "1",
    "-",
    "between",
    "null",
    "is",
    "date",
    ",",
    ";",
    '"',
    "case",
)


@given(st.one_of(st.text(), st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)))
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    try:
        found = read_conditions(text)
    except QueryError:
        return
    assert all(name and operators for name, operators in found.items())


def test_an_event_with_conditions_is_told_in_words() -> None:
    where = read_conditions("amount >= 10 and amount < 20 and plan in ('pro', 'team') and a is null and b <> 'x'")
    told = "amount >= 10 and amount < 20 and plan in pro, team and a is not set and b ≠ x"
    assert selector_name({"event": "Charged", "where": where}) == f"Charged ({told})"
    assert selector_name({"event": None, "where": {"plan": "pro", "a": None, "n": {"op": "gt", "value": 1}}}) == (
        "any activity (plan = pro and a is not set and n > 1)"
    )
    assert selector_name("Charged") == "Charged"
