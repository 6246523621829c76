"""Drafts of segments: counted and looked at before they are kept, and kept as files under ``sql/segments/``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import polars as pl
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from engage.errors import QueryError
from engage.lake.storage import write_atomically
from engage.query.check import check_text, require_reproducible
from engage.query.engine import Engine
from engage.query.files import read_sql

__all__ = ["count_draft", "sample_draft", "save_segment"]

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_DRAFT = Path("draft.sql")


def count_draft(
    engine: Engine, sql: str, params: Mapping[str, object] | None = None, *, as_of: datetime | None = None
) -> int:
    """How many people a select of ``user_id`` finds.

    Args:
        engine: What answers.
        sql: The select, saved or not.
        params: A value for each of its ``$name`` parameters.
        as_of: As of then; None for now.

    Raises:
        QueryError: It is wrong, not reproducible, or has no ``user_id``.
    """
    require_reproducible(sql, _DRAFT)
    query = f"select count(distinct user_id) as users from ({_body(sql)}\n)"
    users = engine.people_frame(query, params or None, as_of=as_of)
    return int(users.item())


def sample_draft(
    engine: Engine,
    sql: str,
    size: int = 20,
    params: Mapping[str, object] | None = None,
    *,
    as_of: datetime | None = None,
) -> pl.DataFrame:
    """Some of the people a select finds, the same ones each time.

    Args:
        engine: What answers.
        sql: As for :func:`count_draft`.
        size: How many at most.
        params: As for :func:`count_draft`.
        as_of: As for :func:`count_draft`.

    Returns:
        `user_id`, `email`, `phone`, `name`, `country`, `language`, `updated_at`: one row a user, ordered by user_id.
    """
    require_reproducible(sql, _DRAFT)
    some = engine.people_frame(
        f"select distinct user_id::varchar as user_id from ({_body(sql)}\n) order by user_id limit {int(size)}",
        params or None,
        as_of=as_of,
    )
    people = engine.people_frame(
        "select user_id, email, phone, name, country, language, updated_at from profiles "
        "where user_id in (select unnest($users::varchar[]))",
        {"users": some["user_id"].to_list()},
        as_of=as_of,
    )
    return some.join(people, on="user_id", how="left").sort("user_id")


def save_segment(engine: Engine, sql: str, name: str, title: str, *, replace: bool = False) -> Path:
    """Keep a select as a segment.

    Args:
        engine: What checks it.
        sql: One select with a column ``user_id``; a header above it is left out in favour of the new one.
        name: The file's name: small letters, digits and _.
        title: What the segment is, in one sentence.
        replace: Whether a segment of that name may be replaced.

    Returns:
        The file.

    Raises:
        QueryError: The name or title will not do, it is there already, or the SQL is wrong, not reproducible, has no
            ``user_id`` or needs the very segment it defines.
    """
    title = " ".join("".join(letter if letter.isprintable() else " " for letter in title).split())
    if not _NAME.fullmatch(name):
        raise QueryError(f"{name[:40]!r} is not a segment's name", hint="use small letters, digits and _")
    if not title:
        raise QueryError("a segment needs a title", where=f"segment {name}", hint="say in one sentence who is in it")
    folder = engine.settings.sql / "segments"
    path = folder / f"{name}.sql"
    if path.exists() and not replace:
        raise QueryError(f"there is a segment {name} already", hint="choose another name, or replace it")
    body = _without_header(sql)
    if findings := check_text(body, _DRAFT):
        raise QueryError(findings[0].what, where=f"line {findings[0].line}", hint=findings[0].hint)
    engine.parameters(body)  # refuses what is not one select
    if "user_id" not in engine.columns(body):
        raise QueryError("has no column user_id", where=f"segment {name}", hint="a segment is a list of user_id")
    if name in _segments_behind(body, folder):
        raise QueryError("would need itself", where=f"segment {name}", hint="choose another name")
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, f"-- Title: {title}\n-- grain: user_id\n{body}\n")
    return path


def _body(sql: str) -> str:
    return sql.rstrip().rstrip(";")


def _without_header(sql: str) -> str:
    lines = _body(sql).splitlines(keepends=True)
    while lines and (not lines[0].strip() or re.match(r"--\s*(title|grain)\s*:", lines[0], re.IGNORECASE)):
        lines.pop(0)
    return "".join(lines).rstrip()


def _segments_behind(sql: str, folder: Path, seen: frozenset[str] = frozenset()) -> frozenset[str]:
    """Every segment a select reads, through others too."""
    try:
        tables = list(sqlglot.parse_one(sql, read="duckdb").find_all(exp.Table))
    except SqlglotError:
        return seen
    names = {table.name for table in tables if table.db.lower() == "segments"} - seen
    for name in sorted(names):
        seen |= {name}
        file = folder / f"{name}.sql"
        if file.is_file():
            seen = _segments_behind(read_sql(file).text, folder, seen)
    return seen
