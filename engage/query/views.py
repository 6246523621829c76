"""SQL files as relations: ``sql/lake/events.sql`` is ``events``, ``sql/segments/lapsed.sql`` is ``segments.lapsed``."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

import duckdb

from engage.errors import QueryError
from engage.query.files import SqlFile, read_sql, with_literals

__all__ = ["VIEW_FOLDERS", "ViewSet"]

VIEW_FOLDERS = {"lake": "main", "segments": "segments"}
"""Folders under ``sql/`` whose files are relations, and the schema they are in."""


_COMMENT = re.compile(r"--.*")
_NAMED = re.compile(r"(?:from|join)\s+(?:\w+\.)?\"?(\w+)", re.IGNORECASE)
_MISSING = re.compile(r"Table with name ([\w.\"]+) does not exist")


class ViewSet:
    """The relations of a workspace, kept in step with their files.

    A file that does not bind is left out, and its fault told when it is asked for: one analyst's broken draft must not
    stop everybody's queries.

    Args:
        sql: The workspace's ``sql/`` folder.
    """

    def __init__(self, sql: Path) -> None:
        self._sql = sql
        self._seen: tuple[tuple[str, str, int, int], ...] | None = None
        self.broken: dict[str, str] = {}
        self.names: dict[str, Path] = {}

    def refresh(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make, replace and drop views so that they are what the files say."""
        seen = tuple(self._files())
        if seen == self._seen:
            return
        files = [(schema, Path(path)) for schema, path, _, _ in seen]
        for schema in VIEW_FOLDERS.values():
            if schema != "main":
                connection.execute(f'drop schema if exists "{schema}" cascade')
                connection.execute(f'create schema "{schema}"')
        for name in self.names:
            if not name.startswith("segments."):
                connection.execute(f'drop view if exists "{name}" cascade')
        self.names, self.broken = {}, {}
        waiting: list[tuple[str, SqlFile]] = []
        for schema, path in files:
            try:
                waiting.append((schema, read_sql(path)))
            except QueryError as error:
                self.broken[_qualified(schema, path.stem)] = str(error)
        self._create(connection, waiting)
        self._seen = seen

    def culprit(self, fault: str) -> tuple[str, str] | None:
        """The file to mend where a relation is missing, which may be one that the missing one selects from.

        Args:
            fault: What DuckDB says, e.g. that a table does not exist.

        Returns:
            The file, as in ``sql/lake/events.sql``, and its own fault; None where no file of ours is behind it.
        """
        found = None
        seen: set[str] = set()
        while match := _MISSING.search(fault):
            name = match[1].replace('"', "")
            name = name if name in self.broken else f"segments.{name}"
            if name not in self.broken or name in seen:
                break
            seen.add(name)
            fault = self.broken[name]
            folder = "segments" if name.startswith("segments.") else "lake"
            found = f"sql/{folder}/{name.removeprefix('segments.')}.sql", fault.split("\n", 1)[0]
        return found

    def _files(self) -> Iterable[tuple[str, str, int, int]]:
        """Each file's schema, path, time of change and size; asked before every query, so that it must be quick."""
        for folder, schema in VIEW_FOLDERS.items():
            with contextlib.suppress(FileNotFoundError), os.scandir(self._sql / folder) as entries:
                for entry in sorted((one for one in entries if one.name.endswith(".sql")), key=lambda one: one.name):
                    status = entry.stat()
                    yield schema, entry.path, status.st_mtime_ns, status.st_size

    def _create(self, connection: duckdb.DuckDBPyConnection, waiting: list[tuple[str, SqlFile]]) -> None:
        """Create views, those before that others name; in rounds, should a name have been missed."""
        waiting = _in_order(waiting)
        while waiting:
            left: list[tuple[str, SqlFile]] = []
            for schema, file in waiting:
                name = _qualified(schema, file.name)
                try:
                    _one_select(connection, file)
                    text = with_literals(file.text, file.params)
                    connection.execute(f'create or replace view "{schema}"."{file.name}" as {text}')
                    self.names[name] = file.path
                    self.broken.pop(name, None)
                except duckdb.Error as error:
                    self.broken[name] = str(error)
                    left.append((schema, file))
                except QueryError as error:
                    self.broken[name] = str(error)
            if len(left) == len(waiting):
                return
            waiting = left


def _qualified(schema: str, name: str) -> str:
    return name if schema == "main" else f"{schema}.{name}"


def _in_order(files: list[tuple[str, SqlFile]]) -> list[tuple[str, SqlFile]]:
    """Put files behind those whose names are in them: making a view in vain costs as much as making it."""
    words = [set(_NAMED.findall(_COMMENT.sub("", file.text))) for _, file in files]
    ordered: list[tuple[str, SqlFile]] = []
    begun: set[int] = set()

    def put(place: int) -> None:
        if place not in begun:
            begun.add(place)
            for other, (_, file) in enumerate(files):
                if file.name in words[place]:
                    put(other)
            ordered.append(files[place])

    for place in range(len(files)):
        put(place)
    return ordered


def _one_select(connection: duckdb.DuckDBPyConnection, file: SqlFile) -> None:
    statements = connection.extract_statements(file.text)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise QueryError("holds something other than one select", where=str(file.path), hint="leave one select in it")
