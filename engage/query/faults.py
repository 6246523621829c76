"""What DuckDB says is wrong, told as one line with its place and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping

import duckdb

from engage.errors import QueryError, ReadOnlyError, UnknownSegmentError
from engage.query.views import ViewSet

__all__ = ["explained", "located"]

_WHERE = re.compile(r"LINE (\d+):")


def explained(error: duckdb.Error, views: ViewSet) -> QueryError:
    """The error as this product tells it.

    Args:
        error: What DuckDB raised.
        views: The workspace's relations: a fault in one of their files is told of that file.

    Returns:
        A QueryError, or the kind of it that fits; its `where` is line and column, or the file.
    """
    text = str(error)
    what = text.split("\n", 1)[0]
    where = ""
    if match := _WHERE.search(text):
        lines = text[match.start() :].split("\n")
        caret = lines[1].find("^") if len(lines) > 1 else -1
        where = f"line {match[1]}" + (f", column {caret - len(match[0])}" if caret > len(match[0]) else "")
    if isinstance(error, duckdb.PermissionException):
        return ReadOnlyError(what, where=where, hint="a query reads the lake and folders like data/warehouse/ only")
    if culprit := views.culprit(what):
        file, fault = culprit
        return QueryError(fault, where=file, hint="mend that file")
    if isinstance(error, duckdb.CatalogException) and "segments." in what and "does not exist" in what:
        return UnknownSegmentError(what, where=where)  # type: ignore[return-value]
    hint = ""
    if did := re.search(r"Did you mean \"?([^\"\n]+)\"?", text):
        hint = f"did you mean {did[1].rstrip('?')}?"
    return QueryError(what, where=where, hint=hint)


def located(
    cursor: duckdb.DuckDBPyConnection, query: str, params: Mapping[str, object], error: duckdb.Error
) -> duckdb.Error:
    """The same error with the line it concerns, which only a plain `execute` tells.

    Args:
        cursor: The connection the query ran on.
        query: The query.
        params: Its parameters.
        error: What it raised when asked as a relation.
    """
    try:
        cursor.execute(query, dict(params))
    except duckdb.Error as placed:
        return placed
    return error
