"""Conditions on an event's properties as people write them: comparisons as in SQL, joined by ``and``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from engage.errors import QueryError

__all__ = ["read_conditions"]

_COMPARED = {exp.EQ: "eq", exp.NEQ: "ne", exp.GT: "gt", exp.GTE: "gte", exp.LT: "lt", exp.LTE: "lte"}
_FUNCTIONS = {
    exp.Contains: "contains",
    exp.StartsWith: "starts_with",
    exp.EndsWith: "ends_with",
    exp.RegexpLike: "regex",
}
_HINT = "write e.g. amount >= 10 and plan in ('pro', 'team')"


def read_conditions(text: str) -> dict[str, Any]:
    """Read conditions on properties.

    Args:
        text: Comparisons of a property with constants, joined by ``and``: ``=``, ``<>``, ``<``, ``<=``, ``>``, ``>=``,
            ``in``, ``not in``, ``between``, ``is null``, ``is not null``, ``contains``, ``starts_with``, ``ends_with``,
            ``regexp_matches``.

    Returns:
        What :func:`engage.analysis.events.property_condition` takes, by property.

    Raises:
        QueryError: It is anything else.

    >>> read_conditions("amount >= 10 and amount < 20 and plan in ('pro', 'team')")
    {'amount': {'gte': 10, 'lt': 20}, 'plan': {'in': ['pro', 'team']}}
    """
    found: dict[str, dict[str, Any]] = {}
    try:
        parsed = list(_parts(sqlglot.parse_one(text, dialect="duckdb")))
    except (SqlglotError, RecursionError):
        raise QueryError(f"{text!r} is not understood", hint=_HINT) from None
    for part in parsed:
        name, operator, value = _condition(part)
        operators = found.setdefault(name, {})
        if operator in operators:
            raise QueryError(f"{name!r} is compared by {operator!r} twice", hint=_HINT)
        operators[operator] = value
    return found


def _parts(whole: exp.Expr) -> Iterator[exp.Expr]:
    whole = whole.unnest()
    if isinstance(whole, exp.And):
        yield from _parts(whole.left)
        yield from _parts(whole.right)
    else:
        yield whole


def _condition(part: exp.Expr) -> tuple[str, str, Any]:
    if isinstance(part, exp.Not):
        inner = part.this.unnest()
        if isinstance(inner, exp.In):
            return _property(inner.this), "not_in", [_constant(one) for one in inner.expressions]
        if isinstance(inner, exp.Is) and isinstance(inner.expression, exp.Null):
            return _property(inner.this), "is_set", True
        if isinstance(inner, exp.Contains):
            return _property(inner.this), "not_contains", _constant(inner.expression)
    if isinstance(part, exp.In) and part.expressions:
        return _property(part.this), "in", [_constant(one) for one in part.expressions]
    if isinstance(part, exp.Between):
        return _property(part.this), "between", [_constant(part.args["low"]), _constant(part.args["high"])]
    if isinstance(part, exp.Is) and isinstance(part.expression, exp.Null):
        return _property(part.this), "is_not_set", True
    for kind, operator in (_COMPARED | _FUNCTIONS).items():
        if type(part) is kind:
            return _property(part.this), operator, _constant(part.expression)
    raise QueryError(f"{part.sql('duckdb')!r} is no condition on a property", hint=_HINT)


def _property(part: exp.Expr) -> str:
    if isinstance(part, exp.Column) and not part.table:
        return str(part.name)
    raise QueryError(f"{part.sql('duckdb')!r} is no property", hint=_HINT)


def _constant(part: exp.Expr) -> object:
    if isinstance(part, exp.Neg):
        value = _constant(part.this)
        if isinstance(value, int | float):
            return -value
    if isinstance(part, exp.Boolean):
        return bool(part.this)
    if isinstance(part, exp.Literal):
        if part.is_string:
            return str(part.this)
        return int(part.this) if part.is_int else float(part.this)
    if isinstance(part, exp.Cast) and part.is_type("date") and isinstance(part.this, exp.Literal):
        with suppress(ValueError):
            return date.fromisoformat(str(part.this.this))
    raise QueryError(f"{part.sql('duckdb')!r} is no constant", hint=_HINT)
