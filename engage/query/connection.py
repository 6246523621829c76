"""The connection that can neither write, attach, install nor read what is not the workspace's data."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import duckdb

from engage.lake.wall_clock import wall_clock
from engage.query.files import literal
from engage.query.functions import add_functions
from engage.settings import Settings

__all__ = ["connect", "readable"]

_KEPT = {"audit", "callbacks", "dead_letters", "drafts", "journal", "outbox", "reports"}


def readable(settings: Settings) -> list[str]:
    """The folders that SQL may read: the lake, and whatever folders the workspace's owner has put beside it.

    Not the files in the workspace's folder and in ``data/`` themselves, some of which hold accounts, addresses or keys,
    nor hidden folders, nor those that this product keeps for itself: what people did with it, and what is on its way.

    Args:
        settings: The workspace.
    """
    found = [folder for folder in _folders(settings.root) if folder != str(settings.data)]
    return sorted(found + [folder for folder in _folders(settings.data) if Path(folder).name not in _KEPT])


def _folders(path: Path) -> list[str]:
    with os.scandir(path) as entries:
        return [entry.path for entry in entries if entry.is_dir() and not entry.name.startswith(".")]


def connect(settings: Settings, folders: Sequence[str]) -> duckdb.DuckDBPyConnection:
    """Open DuckDB for one workspace: its time zone, limits, macros and functions set, then locked.

    Args:
        settings: The workspace; `threads` and `memory_limit` (``"4GB"``) of its options hold for this connection.
        folders: What it can read, see :func:`readable`.

    Returns:
        The connection, in memory, without relations.
    """
    connection = duckdb.connect()
    zone = literal(settings.timezone)
    spill = settings.lake / ".spill"
    # Analyses ask wall_clock in every zone, ten times as fast as ICU. In a macro for everybody it would ask a subquery
    # that it is given as often as the zone's offset changes.
    local = wall_clock("t", "UTC") if settings.timezone == "UTC" else f"(t at time zone {zone})"
    add_functions(connection, settings.country)
    for statement in (
        f"set global TimeZone = {zone}",
        f"set temp_directory = {literal(str(spill))}",
        # A partition filter can make the planner pick a nested loop that never ends. What is not set globally holds for
        # this connection and not for its cursors, which are what asks.
        "set global asof_loop_join_threshold = 0",
        # Memory that is not used any more goes back: after planning a million people 0.4 instead of 1.2 GiB are kept.
        "set allocator_background_threads = true",
        # Footers of files that compaction takes away stay, 14 kB each: whoever asks opens a new connection at times.
        "set global parquet_metadata_cache = true",
        f"set threads = {int(settings.options['threads'])}" if "threads" in settings.options else "",
        f"set memory_limit = {literal(str(settings.options['memory_limit']))}"
        if "memory_limit" in settings.options
        else "",
        f"create macro lake(dataset) as {literal(str(settings.lake))} || '/' || dataset || '/*/*.parquet'",
        f"create macro workspace_file(path) as {literal(str(settings.root))} || '/' || path",
        "create macro as_of() as coalesce(getvariable('as_of'), current_timestamp)",
        "create macro visible(t) as getvariable('as_of') is null or t < getvariable('as_of')",
        "create macro known(t) as getvariable('known_at') is null or t <= getvariable('known_at')",
        f"create macro local_time(t) as {local}",
        # One event with an amount of "NaN" must not be the sum of all: what is summed is finite, and small enough for
        # cents.
        "create macro as_number(t) as case when abs(try_cast(t as double)) < 1e15 then try_cast(t as double) end",
        f"create macro local_date(t) as {local}::date",
        f"set allowed_directories = [{', '.join(map(literal, folders))}]",
        "set enable_external_access = false",
        "set lock_configuration = true",
    ):
        if statement:
            connection.execute(statement)
    return connection
