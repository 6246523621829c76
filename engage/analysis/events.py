"""Which events are meant: a name, any activity, or a name with conditions on properties, as SQL with bound values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from engage.errors import QueryError
from engage.vocabulary import MESSAGE_EVENTS

__all__ = [
    "OPERATORS",
    "Binder",
    "EventSet",
    "Selector",
    "operators_of",
    "property_condition",
    "select_events",
    "selector_name",
]

Selector = str | Mapping[str, Any] | None
"""An event's name; None for any activity; or ``{"event": name or None, "where": {property: condition}}``."""

_SYMBOLS = {"=": "eq", "==": "eq", "!=": "ne", "<>": "ne", ">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
_COMPARED = {"eq": "=", "ne": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
OPERATORS = (
    *_COMPARED,
    "in",
    "not_in",
    "between",
    "contains",
    "not_contains",
    "starts_with",
    "ends_with",
    "regex",
    "is_set",
    "is_not_set",
)
"""Every operator a condition may use; ``=``, ``!=``, ``>``, ``>=``, ``<``, ``<=`` are understood too."""


@dataclass(slots=True)
class Binder:
    """Gives every value a parameter name of its own, so that nothing is ever pasted into SQL.

    Args:
        params: The values so far, by name.
    """

    params: dict[str, object] = field(default_factory=dict)

    def bind(self, value: object) -> str:
        """Keep a value.

        Returns:
            Its ``$name``.
        """
        name = f"v{len(self.params)}"
        self.params[name] = value
        return f"${name}"


@dataclass(frozen=True, slots=True)
class EventSet:
    """Some events, as SQL.

    Args:
        relation: The relation they are in.
        condition: What holds of them, over that relation's columns.
    """

    relation: str
    condition: str


def select_events(
    selector: Selector,
    binder: Binder,
    where: Mapping[str, Any] | None = None,
) -> EventSet:
    """Turn a selector into SQL.

    Args:
        selector: What is meant; see :data:`Selector`.
        binder: Takes the values.
        where: Conditions on properties that must hold besides.

    Raises:
        QueryError: The selector or an operator is not one that there is.
    """
    if isinstance(selector, Mapping):
        if unknown := set(selector) - {"event", "where"}:
            raise QueryError(f"an event has no {sorted(unknown)[0]!r}", hint='write {"event": name, "where": {…}}')
        name, own = selector.get("event"), selector.get("where") or {}
    else:
        name, own = selector, {}
    conditions = [] if name is None else [f"event_name = {binder.bind(str(name))}"]
    for filters in (own, where or {}):
        conditions += [property_condition(key, value, binder) for key, value in filters.items()]
    relation = "activity" if name is None else "events" if name in MESSAGE_EVENTS else "user_events"
    return EventSet(relation, " and ".join(conditions) or "true")


def selector_name(selector: Selector) -> str:
    """What a selector means, in words."""
    name = selector.get("event") if isinstance(selector, Mapping) else selector
    where = selector.get("where") if isinstance(selector, Mapping) else None
    conditions = " and ".join(_in_words(key, value) for key, value in (where or {}).items())
    return (name or "any activity") + (f" ({conditions})" if conditions else "")


def _in_words(name: str, condition: Any) -> str:
    told = []
    for operator, value in operators_of(condition):
        sign = (_COMPARED | {"ne": "≠"}).get(operator, operator.replace("_", " "))
        values = [] if operator in ("is_set", "is_not_set") else value if _is_list(value) else [value]
        told.append(f"{name} {sign} {', '.join(map(str, values))}".strip())
    return " and ".join(told)


def operators_of(condition: Any) -> list[tuple[str, Any]]:
    """A condition on a property as operators, each one of :data:`OPERATORS` if there is such a one, and their values.

    Args:
        condition: As for :func:`property_condition`.
    """
    if condition is None:
        return [("is_not_set", True)]
    if not isinstance(condition, Mapping):
        return [("in" if _is_list(condition) else "eq", condition)]
    pairs = [(condition["op"], condition.get("value"))] if "op" in condition else condition.items()
    return [(_SYMBOLS.get(str(operator), str(operator)), value) for operator, value in pairs]


def property_condition(name: str, condition: Any, binder: Binder, properties: str = "properties") -> str:
    """Turn a condition on one property into SQL.

    Args:
        name: The property's key, whatever characters it has.
        condition: A value it equals; a list it is one of; None, in a list too, for not set; or ``{operator: value}`` or
            ``{"op": operator, "value": value}`` with one of :data:`OPERATORS`.
        binder: Takes the values.
        properties: SQL of the JSON object.

    Raises:
        QueryError: There is no such operator, or its value does not fit.
    """
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    text = f"json_extract_string({properties}, {binder.bind(pointer)})"
    parts = [_compare(text, operator, value, binder, name) for operator, value in operators_of(condition)]
    if isinstance(condition, Mapping) and "op" not in condition:
        return "(" + " and ".join(parts) + ")" if parts else "true"
    return parts[0]


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _compare(text: str, operator: str, value: Any, binder: Binder, name: str) -> str:
    if operator in ("is_set", "is_not_set"):
        is_set = (operator == "is_set") == (value is None or bool(value))
        return f"{text} is {'not ' if is_set else ''}null"
    if operator in ("in", "not_in"):
        if not _is_list(value) or not value:
            raise QueryError(f"{operator} on {name!r} needs a list of values", hint='write e.g. {"in": ["a", "b"]}')
        one_of = " or ".join(_compare(text, "eq", item, binder, name) for item in value)
        return f"({one_of})" if operator == "in" else f"not coalesce({one_of}, false)"  # of another type: none of them
    if operator == "between":
        if not _is_list(value) or len(value) != 2:
            raise QueryError(f"between on {name!r} needs two values", hint='write e.g. {"between": [1, 5]}')
        low, high = (_compare(text, op, bound, binder, name) for op, bound in zip(("gte", "lte"), value, strict=True))
        return f"({low} and {high})"
    if operator in _COMPARED:
        if value is None:
            return f"{text} is {'' if operator == 'eq' else 'not '}null"
        compared = f"{_typed(text, value)} {_COMPARED[operator]} {binder.bind(_plain(value))}"
        return f"coalesce({compared}, true)" if operator == "ne" else compared  # not set or of another type: not equal
    functions = {"contains": "contains", "starts_with": "starts_with", "ends_with": "ends_with"}
    if operator in functions:
        return f"{functions[operator]}({text}, {binder.bind(str(value))})"
    if operator == "not_contains":
        return f"({text} is null or not contains({text}, {binder.bind(str(value))}))"
    if operator == "regex":
        return f"regexp_matches({text}, {binder.bind(str(value))})"
    raise QueryError(
        f"there is no operator {operator!r}", where=f"property {name!r}", hint=f"use {', '.join(OPERATORS)}"
    )


def _is_cast(value: object) -> bool:
    """Whether what a property is compared with is of a type that its text is read as."""
    return isinstance(value, (int, float, date)) and not isinstance(value, bool)


def _typed(text: str, value: object) -> str:
    """The property as the type of what it is compared with; a value that is not of that type compares as null."""
    if not _is_cast(value):
        return text
    return f"try_cast({text} as {'double' if isinstance(value, (int, float)) else 'timestamptz'})"


def _plain(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, (int, float, date, datetime)) else str(value)
