"""What an analyst's SQL may not do, told with line and column before it is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlglot
from sqlglot.errors import SqlglotError

from engage.errors import EngageError, QueryError
from engage.query.engine import Engine
from engage.query.files import SqlFile, without_dollars
from engage.query.reproducible import faults

__all__ = ["Finding", "check_file", "check_text", "require_reproducible"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of a SQL file.

    Args:
        path: The file.
        line: From 1.
        column: From 1.
        what: What is wrong.
        hint: What to write instead.
    """

    path: Path
    line: int
    column: int
    what: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.what}" + (f"; {self.hint}" if self.hint else "")


def check_text(text: str, path: Path) -> list[Finding]:
    """Find what makes a select not reproducible.

    Args:
        text: The SQL.
        path: Its file, for the findings.

    Returns:
        Clocks, chance, and whatever goes by an order of rows that is not given; see
        :func:`engage.query.reproducible.faults`.
    """
    text = without_dollars(text)
    try:
        tokens = sqlglot.tokenize(text, read="duckdb")
    except SqlglotError as error:
        return [Finding(path, 1, 1, f"cannot be read: {str(error).splitlines()[0]}")]
    found = [
        Finding(path, fault.token.line, fault.token.col - len(fault.token.text) + 1, fault.what, fault.hint)
        for fault in faults(tokens)
    ]
    return sorted(found, key=lambda finding: (finding.line, finding.column))


def check_file(engine: Engine, file: SqlFile, *, grain: str | None = None) -> list[Finding]:
    """Check one SQL file: header, reproducibility, read-only, columns, and one row a `grain`.

    Args:
        engine: Runs the query against the lake to see that it binds and that the grain holds.
        file: The file.
        grain: A column that must be there and unique; ``user_id`` for a segment.

    Returns:
        The faults, none when it may be used.
    """
    findings = check_text(file.text, file.path)
    if not file.title:
        findings.append(Finding(file.path, 1, 1, "has no title", "begin with -- Title: one sentence"))
    try:
        names = engine.parameters(file.text)
        if missing := sorted(names - set(file.params)):
            line, column = _position(file.text, f"${missing[0]}")
            hint = f"add -- params: {missing[0]}=…"
            findings.append(Finding(file.path, line, column, f"${missing[0]} has no default", hint))
            return findings
        if spare := sorted(set(file.params) - names):
            line, column = _position(file.text, spare[0])
            findings.append(Finding(file.path, line, column, f"the parameter {spare[0]} is not used", "take it out"))
        params = {name: file.params[name] for name in names}
        columns = engine.columns(file.text, params or None)
        if grain and grain not in columns:
            findings.append(Finding(file.path, 1, 1, f"has no column {grain}", f"a segment is a list of {grain}"))
        elif grain:
            findings += _grain(engine, file, grain, params)
    except EngageError as error:
        line, column = _told(error)
        findings.append(Finding(file.path, line, column, error.what, error.hint))
    return findings


def _grain(engine: Engine, file: SqlFile, grain: str, params: Mapping[str, object]) -> list[Finding]:
    body = file.text.rstrip().rstrip(";")
    query = f'select count(*) as n, count("{grain}") as given, count(distinct "{grain}") as people from (\n{body}\n)'
    rows, given, people = engine.frame(query, params or None).row(0)
    if given < rows:
        return [Finding(file.path, 1, 1, f"{rows - given} rows have no {grain}", f"add where {grain} is not null")]
    if people < rows:
        what = f"is not one row a {grain}: {rows} rows, {people} people"
        return [Finding(file.path, 1, 1, what, f"add select distinct, or group by {grain}")]
    return []


def _position(text: str, word: str) -> tuple[int, int]:
    offset = max(text.find(word), 0)
    return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1


def _told(error: EngageError) -> tuple[int, int]:
    numbers = [int(word) for word in error.where.replace(",", " ").split() if word.isdigit()]
    return (numbers[0] if numbers else 1), (numbers[1] if len(numbers) > 1 else 1)


def require_reproducible(text: str, path: Path) -> None:
    """Refuse SQL that would give another answer tomorrow.

    Raises:
        QueryError: With the first finding.
    """
    if findings := check_text(text, path):
        first = findings[0]
        raise QueryError(first.what, where=f"{path}:{first.line}:{first.column}", hint=first.hint)
