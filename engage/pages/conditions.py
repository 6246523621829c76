"""The rows of the audience builder's form, as conditions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any as Anything

from engage.analysis.segment_conditions import All, Any, Condition, Did, InSegment, Not, Profile, Sent
from engage.errors import QueryError

__all__ = ["GROUPS", "KINDS", "OCCURRENCES", "OPERATORS", "REACTIONS", "condition_of", "rows_condition", "value_of"]

_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,15})?")

KINDS = {
    "did an event": "did",
    "did not do an event": "did_not",
    "has a property": "profile",
    "was sent a message": "sent",
    "was not sent a message": "not_sent",
    "is in a segment": "segment",
    "is not in a segment": "not_segment",
}
"""What a row may ask of a person, in words."""

OCCURRENCES = {"at any time": "any", "for the first time": "first", "for the last time": "latest"}
"""Which time of an event must lie in the window, in words."""

GROUPS = ("A", "B", "C", "D")
"""What rows are put together by."""

OPERATORS = {
    "is": "eq",
    "is not": "ne",
    "is more than": "gt",
    "is at least": "gte",
    "is less than": "lt",
    "is at most": "lte",
    "is between": "between",
    "is one of": "in",
    "is none of": "not_in",
    "contains": "contains",
    "does not contain": "not_contains",
    "starts with": "starts_with",
    "ends with": "ends_with",
    "matches": "regex",
    "is set": "is_set",
    "is not set": "is_not_set",
}
"""How a property is compared, in words."""

REACTIONS = {
    "whatever they did": "",
    "and viewed it": "viewed",
    "and clicked it": "clicked",
    "and converted": "converted",
    "and did not view it": "not_viewed",
    "and did not click it": "not_clicked",
    "and did not convert": "not_converted",
}
"""What followed a message, in words."""


def value_of(text: str) -> Anything:
    """What somebody typed: a number where it is one, else a text."""
    given = text.strip()
    if _NUMBER.fullmatch(given):
        return float(given) if "." in given else int(given)
    return {"true": True, "false": False}.get(given.lower(), given)


def condition_of(kind: str, row: Mapping[str, Anything]) -> Condition | None:
    """One row as a condition.

    Args:
        kind: One of :data:`KINDS`' values.
        row: What was chosen: `event`, `occurrence`, `times`, `count`, `since`, `before`, `property`, `operator`,
            `value`, `label`, `campaign`, `channel`, `reaction`, `segment`; what does not belong to the kind is not
            looked at.

    Returns:
        None where the row is not filled in yet.
    """
    window = {name: row[name] for name in ("since", "before") if row.get(name)}
    if kind in ("did", "did_not"):
        where = _where(row)
        event = row.get("event")
        if not event:
            return None
        if kind == "did_not":
            return Did(event, where, exactly=0, **window)
        given = row.get("count")
        count = {str(row.get("times") or "at_least"): 1 if given is None else int(given)}
        return Did(event, where, **window, **count, occurrence=row.get("occurrence") or "any")  # type: ignore[arg-type]
    if kind == "profile":
        wanted = _where(row)
        return Profile(wanted) if wanted else None
    if kind in ("sent", "not_sent"):
        message = {name: row[name] for name in ("label", "campaign", "channel") if row.get(name)}
        if not message:
            return None
        if kind == "not_sent":
            return Not(Sent(**message, **window))
        reaction = str(row.get("reaction") or "")
        reacted = not reaction.startswith("not_")
        done: Anything = reaction.removeprefix("not_")
        return Sent(**message, **window, reaction=done or None, reacted=reacted)
    found = InSegment(row["segment"]) if row.get("segment") else None
    return Not(found) if found and kind == "not_segment" else found


def rows_condition(rows: Sequence[tuple[str, Mapping[str, Anything]]], *, match: str = "all") -> Condition:
    """The rows of a form as one condition.

    Args:
        rows: Kind and what was chosen; those not filled in yet are left out. Rows of one `group` stand together, as in
            "A or B, and C": where all must hold, one of a group is enough, and where one is enough, all of a group
            must hold.
        match: ``all`` where every row must hold, ``any`` where one is enough.

    Raises:
        QueryError: No row is filled in.
    """
    outer, inner = (Any, All) if match == "any" else (All, Any)
    found: list[list[Condition]] = []
    places: dict[str, list[Condition]] = {}
    for kind, row in rows:
        condition = condition_of(kind, row)
        if condition is None:
            continue
        group = row.get("group")
        if group in places:
            places[group].append(condition)
            continue
        found.append([condition])
        if group:
            places[group] = found[-1]
    if not found:
        raise QueryError("nothing is asked of anybody yet", hint="choose an event, a property, a message or a segment")
    parts = [group[0] if len(group) == 1 else inner(*group) for group in found]
    return parts[0] if len(parts) == 1 else outer(*parts)


def _where(row: Mapping[str, Anything]) -> dict[str, Anything]:
    name, operator = str(row.get("property") or "").strip(), str(row.get("operator") or "eq")
    if not name:
        return {}
    if operator in ("is_set", "is_not_set"):
        return {name: {operator: True}}
    given = str(row.get("value") or "")
    if not given.strip():
        return {}
    if operator in ("in", "not_in", "between"):
        return {name: {operator: [value_of(part) for part in given.split(",")]}}
    if operator in ("contains", "not_contains", "starts_with", "ends_with", "regex"):
        return {name: {operator: given.strip()}}
    return {name: {operator: value_of(given)}}
