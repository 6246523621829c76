"""Segments: named lists of users, each one SQL file with one row a user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from engage.errors import MissingParameterError, QueryError, UnknownParameterError, UnknownSegmentError
from engage.query.check import require_reproducible
from engage.query.engine import Engine
from engage.query.files import SqlFile, read_sql

__all__ = ["Segment", "draft_segment", "find_segment", "list_segments", "segment_file"]


@dataclass(frozen=True, slots=True)
class Segment:
    """Who is in a segment, at a time and with parameters.

    Args:
        engine: What answers.
        file: The SQL file.
        params: A value for each of its parameters.
        as_of: The time; None for now.
    """

    engine: Engine
    file: SqlFile
    params: Mapping[str, object] = field(default_factory=dict)
    as_of: datetime | None = None

    @property
    def name(self) -> str:
        """The file's name."""
        return self.file.name

    @property
    def title(self) -> str:
        """What it is, in a sentence."""
        return self.file.title

    @property
    def sql(self) -> str:
        """The SQL, with its parameters as ``$name``."""
        return self.file.text

    def count(self) -> int:
        """How many users are in it."""
        return int(self._frame("select count(distinct user_id) as users from ({}\n)").item())

    def users(self) -> pl.DataFrame:
        """Who is in it.

        Returns:
            ``user_id``, one row a user, sorted.

        Raises:
            QueryError: The SQL is wrong, gives no ``user_id``, or more than one row for a user.
        """
        users = self._frame("select user_id::varchar as user_id from ({}\n) order by user_id")
        if users["user_id"].is_duplicated().any():
            raise QueryError("gives a user more than once", where=str(self.file.path), hint="add select distinct")
        return users

    def frame(self) -> pl.DataFrame:
        """The SQL's whole result, with whatever columns it has beside ``user_id``."""
        return self._frame("{}")

    def ask(self, around: str) -> pl.DataFrame:
        """Run a select over the people in it.

        Args:
            around: SQL over the relation ``people``: one row a user, ``user_id`` as text, never null.
        """
        people = "with people as materialized (\nselect distinct user_id::varchar as user_id from (\n{}\n)\n"
        return self._frame(f"{people}where user_id is not null\n)\n", around)

    def _frame(self, around: str, after: str = "") -> pl.DataFrame:
        require_reproducible(self.file.text, self.file.path)
        body = self.file.text.rstrip().rstrip(";")
        try:
            return self.engine.people_frame(around.format(body) + after, self.params or None, as_of=self.as_of)
        except QueryError as error:
            where = f"{self.file.path}" + (f": {error.where}" if error.where else "")
            raise type(error)(error.what, where=where, hint=error.hint) from error


def segment_file(engine: Engine, name: str) -> Path:
    """The file of a segment.

    Raises:
        UnknownSegmentError: There is none of that name; it suggests one that is near.
    """
    folder = engine.settings.sql / "segments"
    path = folder / f"{name}.sql"
    names = sorted(file.stem for file in folder.glob("*.sql"))
    if name not in names:
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names) or 'none yet'}"
        raise UnknownSegmentError(f"no segment {name!r} under sql/segments/", hint=hint)
    return path


def find_segment(
    engine: Engine, name: str, *, as_of: datetime | None = None, params: Mapping[str, object] | None = None
) -> Segment:
    """Open a segment by name.

    Args:
        engine: What answers.
        name: The file's name under ``sql/segments/``, without ``.sql``.
        as_of: Who was in it then; None for now.
        params: Values for its parameters, in place of the defaults in its header.

    Raises:
        UnknownSegmentError: There is none of that name.
        MissingParameterError: A parameter has neither value nor default.
        UnknownParameterError: A value has no parameter.
    """
    file = read_sql(segment_file(engine, name))
    try:
        names = engine.parameters(file.text)
    except QueryError as error:
        raise type(error)(error.what, where=str(file.path), hint=error.hint) from error
    given = dict(params or {})
    if unknown := sorted(set(given) - names):
        known = ", ".join(sorted(names)) or "none"
        raise UnknownParameterError(
            f"there is no parameter {unknown[0]}", where=f"segment {name}", hint=f"it has: {known}"
        )
    values = {**file.params, **given}
    if missing := sorted(names - set(values)):
        raise MissingParameterError(
            f"parameter ${missing[0]} has no value", where=str(file.path), hint=f"add -- params: {missing[0]}=…"
        )
    return Segment(engine, file, {key: values[key] for key in names}, as_of)


def draft_segment(
    engine: Engine, sql: str, *, as_of: datetime | None = None, params: Mapping[str, object] | None = None
) -> Segment:
    """A select of ``user_id`` that is not kept as a file, as a segment.

    Args:
        engine: What answers.
        sql: The select.
        as_of: Who is in it then; None for now.
        params: A value for each of its ``$name`` parameters.
    """
    return Segment(engine, SqlFile(Path("draft.sql"), "", "user_id", sql), dict(params or {}), as_of)


def list_segments(engine: Engine) -> list[SqlFile]:
    """Every segment of the workspace, by name."""
    return [read_sql(path) for path in sorted((engine.settings.sql / "segments").glob("*.sql"))]
