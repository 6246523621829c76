"""Pieces of SQL as text: values as literals, words in lower case, lines indented."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import date, datetime

import sqlglot
from sqlglot import exp

from engage.analysis.events import Binder
from engage.errors import QueryError

__all__ = ["clause", "conjuncts", "indented", "literal", "lower_case", "slug"]

_SIMPLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def slug(text: str) -> str:
    """A text as a short name of small letters, digits and ``_``."""
    return re.sub(r"[^a-z0-9]+", "_", text[:200].lower()).strip("_")[:40].rstrip("_") or "that"


def indented(text: str) -> str:
    """Indent lines of SQL, but not those inside a text value."""
    pieces = re.split(r"('(?:[^']|'')*')", text)
    return "".join(piece if piece.startswith("'") else piece.replace("\n", "\n    ") for piece in pieces)


def clause(word: str, conditions: Sequence[str]) -> str:
    """A clause on a line of its own with its conditions below each other; nothing without any."""
    return f"\n{word} " + "\n    and ".join(conditions) if conditions else ""


def conjuncts(condition: str, binder: Binder) -> list[str]:
    """The parts of a conjunction, with literals in the places of its parameters."""
    tree = sqlglot.parse_one(condition, read="duckdb")
    for place in list(tree.find_all(exp.Placeholder)):
        value = binder.params[place.name]
        if isinstance(place.parent, exp.JSONExtractScalar) and _SIMPLE.fullmatch(str(value)[1:]):
            value = f"$.{str(value)[1:]}"  # reads better than a pointer, and other engines know it too
        place.replace(literal(value))
    return [lower_case(part) for part in _parts(tree)]


def _parts(tree: exp.Expr) -> list[exp.Expr]:
    if isinstance(tree, exp.Paren) and not isinstance(tree.this, exp.Or):
        return _parts(tree.this)
    if isinstance(tree, exp.And):
        return _parts(tree.left) + _parts(tree.right)
    return [] if isinstance(tree, exp.Boolean) and tree.this else [tree]


def literal(value: object) -> exp.Expr:
    """A value as a node of the syntax tree.

    Args:
        value: A truth, a finite number, a text, a date or a time (with its zone).

    Returns:
        Its literal; dates and times as a cast to ``timestamptz``.

    Raises:
        QueryError: It is of another type, not finite, or holds characters that are none.
    """
    if isinstance(value, bool):
        return exp.Boolean(this=value)
    if isinstance(value, (int, float)):
        if not math.isfinite(value):
            raise QueryError(f"{value} is not a number to compare with")
        number = exp.Literal.number(repr(abs(value)))
        return exp.Neg(this=number) if value < 0 else number
    if isinstance(value, date):
        return exp.cast(
            exp.Literal.string(value.isoformat(" ") if isinstance(value, datetime) else str(value)), "timestamptz"
        )
    if not isinstance(value, str):
        raise QueryError(f"a {type(value).__name__} cannot be compared with")
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise QueryError("a text value holds a character that is none", hint="take out NUL and lone surrogates")
    return exp.Literal.string(value)


def lower_case(tree: exp.Expr) -> str:
    """A piece of SQL with its words in lower case, as all SQL here; texts stay as they are."""
    text = tree.sql(dialect="duckdb", normalize_functions="lower")
    for token in reversed(sqlglot.tokenize(text, read="duckdb")):
        if text[token.start] not in "'\"":
            text = text[: token.start] + text[token.start : token.end + 1].lower() + text[token.end + 1 :]
    return text
