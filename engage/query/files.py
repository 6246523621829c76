"""SQL files: one plain DuckDB select with a header that says what it is.

::

    -- Title: People who bought at least twice
    -- grain: user_id
    -- params: purchases=2, days=365
    select …
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from engage.errors import QueryError

__all__ = ["SqlFile", "literal", "parse_value", "read_params", "read_sql", "with_literals", "without_dollars"]

Value = str | int | float | bool | date | None

_HEADER = re.compile(r"^--\s*(title|grain|params|into)\s*:\s*(.*?)\s*$", re.IGNORECASE)
_PARAM = re.compile(r"\s*([A-Za-z_]\w*)\s*=\s*('(?:[^']|'')*'|[^,]*?)\s*(?:,|$)")
_TOKEN = re.compile(
    r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\$\$.*?\$\$|(?<![\w$])\$([A-Za-z_]\w*)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class SqlFile:
    """One SQL file.

    Args:
        path: Where it lies.
        title: One sentence saying what it answers.
        grain: What one row is, e.g. ``user_id``.
        params: Default values of its ``$name`` parameters.
        text: The whole text.
    """

    path: Path
    title: str
    grain: str
    text: str
    params: Mapping[str, Value] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The file's name without its ending: the name of its relation."""
        return self.path.stem


def read_sql(path: Path) -> SqlFile:
    """Read a SQL file and its header.

    Raises:
        QueryError: The file is not text, or its ``params`` line cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise QueryError(f"cannot be read: {error}", where=str(path)) from error
    header: dict[str, str] = {}
    for line in text.splitlines():
        if match := _HEADER.match(line):
            header.setdefault(match[1].lower(), match[2])
        elif line.strip() and not line.startswith("--"):
            break
    params = read_params(header.get("params", ""), path)
    return SqlFile(path, header.get("title", ""), header.get("grain", ""), text, params)


def read_params(line: str, path: Path) -> dict[str, Value]:
    """Read the values of a ``params`` line."""
    found: dict[str, Value] = {}
    position = 0
    while position < len(line):
        match = _PARAM.match(line, position)
        if not match or match.end() == position:
            raise QueryError(
                f"cannot read params {line[position:]!r}", where=str(path), hint="write -- params: days=30, name='x'"
            )
        found[match[1]] = parse_value(match[2])
        position = match.end()
    return found


def parse_value(text: str) -> Value:
    """Read a value as a header or a command line gives it: quoted text, a number, a date, true, false or null."""
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if text.lower() == "null":
        return None
    for kind in (int, float, date.fromisoformat):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def literal(value: object) -> str:
    """A value as SQL that DuckDB reads as that very value.

    Raises:
        QueryError: It is of a kind that has no literal.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, date):
        kind = "timestamptz" if hasattr(value, "hour") else "date"
        return f"{kind} '{value.isoformat()}'"
    if isinstance(value, str):
        if "\0" in value:
            raise QueryError("a text value holds a NUL character")
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    raise QueryError(f"a {type(value).__name__} cannot be a parameter")


def with_literals(text: str, values: Mapping[str, object]) -> str:
    """Put literals in the place of ``$name`` parameters, leaving strings, names and comments alone.

    Args:
        text: SQL.
        values: What to put in; parameters without a value stay.
    """

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        return literal(values[name]) if name and name in values else match[0]

    return _TOKEN.sub(replace, text)


def without_dollars(text: str) -> str:
    """SQL with each ``$name`` parameter as the word ``_name``, every letter where it was.

    sqlglot reads ``$a)=$b`` as a text in dollar quotes.
    """
    return _TOKEN.sub(lambda match: f"_{match[1]}" if match[1] else match[0], text)
