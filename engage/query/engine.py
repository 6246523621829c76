"""The engine that answers: DuckDB over the lake, read-only and locked in."""

from __future__ import annotations

import os
import threading
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import duckdb
import polars as pl
import pyarrow as pa

from engage.errors import MissingParameterError, QueryError, ReadOnlyError, UnknownParameterError
from engage.lake.landing import Lake
from engage.query.connection import connect, readable
from engage.query.derived import Derived, find_derived
from engage.query.derived_reading import DerivedReading
from engage.query.faults import explained, located
from engage.query.files import literal, with_literals
from engage.query.people_sql import over_derived
from engage.query.views import ViewSet
from engage.settings import Settings

__all__ = ["Engine"]

_Taken = TypeVar("_Taken")
_QUESTIONS = 10_000  # until what is remembered of files that may be gone is forgotten
_READS = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}


class Engine:
    """DuckDB over one workspace's lake.

    The connection can neither write, attach, install nor read outside the workspace: external access is limited to
    the workspace's folders of data, the configuration is locked, and only selects are run.

    Relations are the files of ``sql/lake/`` (``events``, ``profiles`` …) and ``sql/segments/`` (``segments.lapsed`` …).
    Every lake relation ends at `as_of`: a row at that very instant is already beyond it.

    Args:
        settings: The workspace.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        lake = Lake(settings)
        lake.seed()
        self._storage = lake.storage
        self._lock = threading.Lock()
        self._open(readable(settings))

    @property
    def threads(self) -> int:
        """How many threads a question may take."""
        return int(self.settings.options.get("threads") or os.cpu_count() or 1)

    def frame(
        self,
        query: str,
        params: Mapping[str, object] | None = None,
        *,
        as_of: datetime | None = None,
        known_at: datetime | None = None,
    ) -> pl.DataFrame:
        """Run one select.

        Args:
            query: SQL with ``$name`` parameters.
            params: A value for each of them; no others.
            as_of: Answer as of then: rows from that instant on are not seen. Needs a time zone.
            known_at: See only what had been received by then.

        Returns:
            The result.

        Raises:
            QueryError: The SQL is wrong; line and column are told.
            ReadOnlyError: It would write, attach or read outside the workspace.
            MissingParameterError: A parameter has no value.
            UnknownParameterError: A value has no parameter.
        """
        return self._ask(query, params, lambda relation: relation.pl(), as_of, known_at)

    def table(
        self, query: str, params: Mapping[str, object] | None = None, *, as_of: datetime | None = None
    ) -> pa.Table:
        """Run one select as :meth:`frame` does, and leave the result as DuckDB gives it.

        Args:
            query: As for :meth:`frame`.
            params: As for :meth:`frame`.
            as_of: As for :meth:`frame`.

        Raises:
            QueryError: As for :meth:`frame`.
        """
        return self._ask(query, params, lambda relation: relation.to_arrow_table(), as_of, None)

    def _ask(
        self,
        query: str,
        params: Mapping[str, object] | None,
        take: Callable[[duckdb.DuckDBPyRelation], _Taken],
        as_of: datetime | None,
        known_at: datetime | None,
    ) -> _Taken:
        with self._storage.reading():
            cursor = self._cursor(query, params or {}, as_of, known_at)
            try:
                return take(cursor.sql(query, params=dict(params) if params else None))
            except duckdb.Error as error:
                raise explained(located(cursor, query, params or {}, error), self._views) from error
            finally:
                cursor.close()

    @contextmanager
    def derived(self, as_of: datetime | None = None, *, with_labels: bool = True) -> Iterator[DerivedReading | None]:
        """Open the derived tables, where they give the same answer as the lake itself.

        All that is asked of what is opened is answered from the same files, whatever lands meanwhile.

        Args:
            as_of: As for :meth:`frame`.
            with_labels: Whether anything is asked of messages; else only the table of events is opened.

        Yields:
            The tables; None where they are missing, stale or far behind: ask the lake then.
        """
        with self._storage.reading():
            found = find_derived(self.settings, as_of, None, with_labels=with_labels)
            if found is None:
                yield None
                return
            with closing(self._as_of(as_of)) as cursor:
                yield DerivedReading(found, partial(self._told, cursor))

    def derived_frame(
        self,
        build: Callable[[Derived], str | None],
        params: Mapping[str, object],
        *,
        as_of: datetime | None = None,
        with_labels: bool = True,
    ) -> pl.DataFrame | None:
        """Run one select over the derived tables.

        Args:
            build: Makes the select, or None where it cannot be asked of them; may still put values into `params`.
            params: As for :meth:`frame`.
            as_of: As for :meth:`frame`.
            with_labels: As for :meth:`derived`.

        Returns:
            The result; None where the tables cannot answer.
        """
        with self.derived(as_of, with_labels=with_labels) as reading:
            query = build(reading.tables) if reading else None
            return reading.frame(query, params) if reading and query is not None else None

    def people_frame(
        self, query: str, params: Mapping[str, object] | None = None, *, as_of: datetime | None = None
    ) -> pl.DataFrame:
        """Run one select about people, over the derived tables as far as they give the same answer.

        Args:
            query: As for :meth:`frame`.
            params: As for :meth:`frame`.
            as_of: As for :meth:`frame`.

        Raises:
            QueryError: As for :meth:`frame`, of which all errors are.
        """
        with suppress(QueryError):  # whatever is wrong with it is told of the query itself
            text = with_literals(query, params or {})
            is_asked = self.parameters(query) == set(params or {})
            found = (
                self.derived_frame(lambda derived: over_derived(text, derived), {}, as_of=as_of) if is_asked else None
            )
            if found is not None:
                return found
        return self.frame(query, params, as_of=as_of)

    def copy(
        self,
        query: str,
        params: Mapping[str, object] | None,
        path: Path,
        *,
        as_of: datetime | None = None,
        known_at: datetime | None = None,
        compression: Literal["zstd", "lz4_raw"] = "zstd",
    ) -> None:
        """Run one select and write the result as one Parquet file, whole or not at all, without holding it in memory.

        Args:
            query: As for :meth:`frame`.
            params: As for :meth:`frame`.
            path: The file, inside the workspace.
            as_of: As for :meth:`frame`.
            known_at: As for :meth:`frame`.
            compression: ``zstd`` for what is kept, ``lz4_raw`` for what is read once and thrown away.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        with self._storage.reading():
            cursor = self._cursor(query, params or {}, as_of, known_at)
            try:
                cursor.execute(
                    f"copy ({query}) to {literal(str(temporary))} (format parquet, compression {compression})",
                    dict(params or {}),
                )
                temporary.replace(path)
            except duckdb.Error as error:
                raise explained(error, self._views) from error
            finally:
                cursor.close()
                temporary.unlink(missing_ok=True)

    def relations(self) -> dict[str, Path]:
        """The relations that can be queried, each with the file that defines it."""
        with self._storage.reading(), self._lock:
            self._refresh()
            return dict(self._views.names)

    def fault(self, relation: str) -> str | None:
        """Why a relation's file is not usable, or None when it is."""
        with self._storage.reading(), self._lock:
            self._refresh()
            return self._views.broken.get(relation)

    def columns(self, query: str, params: Mapping[str, object] | None = None) -> dict[str, str]:
        """The result's columns and DuckDB types, without running the query."""
        rows = self.frame(f"describe {query}", params)
        return dict(zip(rows["column_name"], rows["column_type"], strict=True))

    def parameters(self, query: str) -> set[str]:
        """The names of a select's ``$name`` parameters.

        Raises:
            QueryError: It cannot be read.
            ReadOnlyError: It is not one select.
        """
        try:
            query.encode()
            with self._lock:
                statements = self._connection.extract_statements(query)
        except duckdb.Error as error:
            raise explained(error, self._views) from error
        except UnicodeEncodeError:
            raise QueryError("the SQL holds a character that is none", hint="take out lone surrogates") from None
        if len(statements) != 1 or statements[0].type not in _READS:
            kinds = ", ".join(statement.type.name.lower() for statement in statements) or "nothing"
            raise ReadOnlyError(
                f"only one select can be run here, not {kinds}", hint="the lake is written by `engage import` and sends"
            )
        return set(statements[0].named_parameters)

    def _cursor(
        self, query: str, params: Mapping[str, object], as_of: datetime | None, known_at: datetime | None
    ) -> duckdb.DuckDBPyConnection:
        names = self.parameters(query)
        if missing := names - set(params):
            name = sorted(missing)[0]
            raise MissingParameterError(f"parameter ${name} has no value", hint=f"give {name}=…")
        if unknown := set(params) - names:
            name = sorted(unknown)[0]
            raise UnknownParameterError(f"there is no parameter ${name}", hint=f"there are: {sorted(names) or 'none'}")
        return self._as_of(as_of, known_at)

    def _as_of(self, as_of: datetime | None, known_at: datetime | None = None) -> duckdb.DuckDBPyConnection:
        """A cursor that sees what was there by then."""
        with self._lock:
            self._refresh()
            cursor = self._connection.cursor()
        # A variable belongs to its cursor, so queries as of different times can run side by side.
        for name, value in (("as_of", as_of), ("known_at", known_at)):
            if value is not None:
                cursor.execute(f"set variable {name} = {literal(value)}")
        return cursor

    def _told(
        self, cursor: duckdb.DuckDBPyConnection, query: str, params: Mapping[str, object] | None = None
    ) -> pl.DataFrame:
        """The answer of the derived tables, whose SQL is ours: where a fault stands in it is of no use to anybody."""
        try:
            return cursor.sql(query, params=dict(params) if params else None).pl()
        except duckdb.Error as error:
            raise explained(error, self._views) from error

    def _open(self, folders: list[str]) -> None:
        self._readable = folders
        self._asked = 0
        self._views = ViewSet(self.settings.sql)
        self._connection = connect(self.settings, folders)
        # With a function of ours in it, a connection that is left to the interpreter's end is told of as a leak.
        self._close = weakref.finalize(self, self._connection.close)

    def _refresh(self) -> None:
        folders = readable(self.settings)
        self._asked += 1
        if folders != self._readable or self._asked > _QUESTIONS:  # one came or went, and what may be read is locked
            self._close.detach()  # it ends with the last of its cursors, which would end with it if it were closed
            self._open(folders)
        self._views.refresh(self._connection)
