"""The rows of the audience builder's form, as conditions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any as Anything

from engage.analysis.segment_conditions import All, Any, Condition, Did, InSegment, Not, Profile, Sent
from engage.errors import QueryError

__all__ = ["KINDS", "OPERATORS", "REACTIONS", "condition_of", "rows_condition", "value_of"]

_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,15})?")

KINDS = {
    "did an event": "did",
    "did not do an event": "did_not",
    "has a property": "profile",
    "was sent a label": "sent",
    "was not sent a label": "not_sent",
    "is in a segment": "segment",
    "is not in a segment": "not_segment",
}
"""What a row may ask of a person, in words."""

OPERATORS = {
    "is": "eq",
    "is not": "ne",
    "is more than": "gt",
    "is at least": "gte",
    "is less than": "lt",
    "is at most": "lte",
    "is one of": "in",
    "contains": "contains",
    "starts with": "starts_with",
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
        row: What was chosen: `event`, `times`, `count`, `since`, `property`, `operator`, `value`, `label`, `reaction`,
            `segment`; what does not belong to the kind is not looked at.

    Returns:
        None where the row is not filled in yet.
    """
    since = row.get("since") or None
    if kind in ("did", "did_not"):
        where = _where(row)
        event = row.get("event")
        if not event:
            return None
        if kind == "did_not":
            return Did(event, where, exactly=0, since=since)
        count = {str(row.get("times") or "at_least"): int(row.get("count") or 1)}
        return Did(event, where, since=since, **count)  # type: ignore[arg-type]
    if kind == "profile":
        wanted = _where(row)
        return Profile(wanted) if wanted else None
    if kind in ("sent", "not_sent"):
        if not row.get("label"):
            return None
        if kind == "not_sent":
            return Not(Sent(label=row["label"], since=since))
        reaction = str(row.get("reaction") or "")
        reacted = not reaction.startswith("not_")
        done: Anything = reaction.removeprefix("not_")
        return Sent(label=row["label"], since=since, reaction=done or None, reacted=reacted)
    found = InSegment(row["segment"]) if row.get("segment") else None
    return Not(found) if found and kind == "not_segment" else found


def rows_condition(rows: Sequence[tuple[str, Mapping[str, Anything]]], *, match: str = "all") -> Condition:
    """The rows of a form as one condition.

    Args:
        rows: Kind and what was chosen; those not filled in yet are left out.
        match: ``all`` where every row must hold, ``any`` where one is enough.

    Raises:
        QueryError: No row is filled in.
    """
    found = [condition for kind, row in rows if (condition := condition_of(kind, row)) is not None]
    if not found:
        raise QueryError("nothing is asked of anybody yet", hint="choose an event, a property, a label or a segment")
    return found[0] if len(found) == 1 else Any(*found) if match == "any" else All(*found)


def _where(row: Mapping[str, Anything]) -> dict[str, Anything]:
    name, operator = str(row.get("property") or "").strip(), str(row.get("operator") or "eq")
    if not name:
        return {}
    if operator in ("is_set", "is_not_set"):
        return {name: {operator: True}}
    given = str(row.get("value") or "")
    if not given.strip():
        return {}
    wanted = [value_of(part) for part in given.split(",")] if operator == "in" else value_of(given)
    return {name: {operator: wanted}}
