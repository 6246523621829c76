"""Import mappings: how the rows of a file become rows of the lake, written as SQL over the relation `input`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import duckdb

from engage.errors import ImportFileError
from engage.lake.schema import DATASETS

__all__ = ["Mapped", "own_shape", "read_mapping"]

_INTO = re.compile(r"^\s*--\s*into\s*:\s*(\w+)\s*$", re.IGNORECASE | re.MULTILINE)
_EVENT = ("event_id", "user_id", "anonymous_id", "event_name", "event_time", "source")


@dataclass(frozen=True, slots=True)
class Mapped:
    """One select of a mapping.

    Args:
        dataset: Where its rows go.
        select: The SQL, over `input`.
    """

    dataset: str
    select: str


def read_mapping(path: Path) -> list[Mapped]:
    """Read a mapping file.

    Args:
        path: One or more selects, each preceded by a line ``-- into: events`` (or another dataset).

    Raises:
        ImportFileError: It cannot be read, holds something other than selects, or says no dataset.
    """
    try:
        text = path.read_text(encoding="utf-8")
        statements = duckdb.extract_statements(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ImportFileError(f"the mapping cannot be read: {error}", where=str(path)) from error
    except duckdb.Error as error:
        raise ImportFileError(str(error).replace("\n", " "), where=str(path), hint="mend the mapping") from error
    selects = [statement for statement in statements if statement.type == duckdb.StatementType.SELECT]
    if not selects or len(selects) < len(statements):
        raise ImportFileError("a mapping holds selects and nothing else", where=str(path), hint="take the rest out")
    datasets = [match[1].lower() for match in _INTO.finditer(text)] or ["events"]
    if len(datasets) != len(selects):
        raise ImportFileError(
            f"{len(selects)} selects but {len(datasets)} lines `-- into: …`",
            where=str(path),
            hint="put one above each select",
        )
    if unknown := sorted(set(datasets) - set(DATASETS)):
        raise ImportFileError(f"there is no dataset {unknown[0]!r}", where=str(path), hint=f"use {', '.join(DATASETS)}")
    return [Mapped(name, statement.query) for name, statement in zip(datasets, selects, strict=True)]


def own_shape(columns: list[str], path: Path) -> list[Mapped]:
    """The mapping of a file that already has an event's columns; what else it has becomes properties.

    Args:
        columns: The file's columns.
        path: The file, for the error.

    Raises:
        ImportFileError: `event_name`, `event_time`, or both of `user_id` and `anonymous_id` are missing.
    """
    for name in ("event_name", "event_time"):
        if name not in columns:
            raise _missing(name, columns, path)
    if not {"user_id", "anonymous_id"} & set(columns):
        raise _missing("user_id", columns, path)
    kept = [name for name in _EVENT if name in columns]
    rest = [name for name in columns if name not in {*_EVENT, "properties", "row_number"}]
    quoted = {name: '"' + name.replace('"', '""') + '"' for name in rest}
    extra = "{" + ", ".join(f"{value}: {value}" for value in quoted.values()) + "}" if rest else ""
    properties = "properties" if "properties" in columns else f"to_json({extra})" if extra else "null"
    if extra and "properties" in columns:  # what stands in properties wins; what is no object is left to be refused
        object_ = "json_type(try_cast(properties as json)) = 'OBJECT'"
        merged = f"json_merge_patch(to_json({extra}), case when {object_} then properties::json else '{{}}' end)"
        properties = f"case when properties is null or {object_} then {merged}::varchar else properties::varchar end"
    return [Mapped("events", f"select row_number, {', '.join(kept)}, {properties} as properties from input")]


def _missing(name: str, columns: list[str], path: Path) -> ImportFileError:
    there = ", ".join(column for column in columns if column != "row_number")
    return ImportFileError(
        f"column {name!r} is missing", where=str(path), hint=f"it has {there}; write a mapping under sql/imports/"
    )
