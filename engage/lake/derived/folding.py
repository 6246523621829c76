"""Keeping derived tables in step with the lake: new files are folded in, small parts merged.

Everything happens in commits of the lake's storage: killed at any instant, a table is as it was or a step further, or
is found stale and made anew. Whoever calls holds the writer's lock.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

import duckdb

from engage.errors import LandingError
from engage.lake.derived.manifest import Manifest, Part, Stamp, Survey, folder, manifest_file, stamp, survey
from engage.lake.derived.table import State, Table
from engage.lake.derived.tables import TABLES
from engage.lake.encoding import copy_options
from engage.lake.scratch import scratch, text
from engage.lake.storage import Batch, Storage
from engage.settings import Settings

__all__ = ["drop", "fold", "keep_up", "replaced", "stage_manifest", "tidy"]

_log = logging.getLogger(__name__)

_BYTES = 16 * 2**20  # of fresh files, worth a fold after a landing
_FILES = 200
_ROW_GROUP = 61_440  # rows; what one event or label has is read by several threads
_DELTAS = 8  # young parts of a year that are merged


def keep_up(storage: Storage, settings: Settings) -> None:
    """Fold after a landing, when enough has come together; what goes wrong is left to the next compaction.

    Args:
        storage: The lake's; its writer's lock is held.
        settings: The workspace.
    """
    try:
        for table in TABLES:
            found = survey(settings, table)
            if len(found.fresh) >= _FILES or found.size(fresh=True) >= _BYTES:
                fold(storage, settings, table)
    except (duckdb.Error, OSError, LandingError) as error:  # the rows have landed, which is what was asked
        _log.warning("derived tables could not be brought up to date: %s", type(error).__name__)


def fold(storage: Storage, settings: Settings, table: Table | State, *, most: int = 256 * 2**20) -> int:
    """Fold files of the lake into a table; make it anew where it is missing or stale.

    Args:
        storage: The lake's; its writer's lock is held.
        settings: The workspace.
        table: Which.
        most: Bytes to fold, one file at least.

    Returns:
        How many files are still to be folded.
    """
    found = survey(settings, table)
    manifest = found.manifest or Manifest(settings.timezone)
    taken: dict[str, Stamp] = {}
    size = 0
    for name, stamped in found.fresh.items():
        if taken and size + stamped[0] > most:
            break
        taken[name] = stamped
        size += stamped[0]
    if taken or found.manifest is None:
        with storage.batch() as batch, scratch(settings) as connection:
            covered = {**manifest.covered, **taken}
            parts = manifest.parts
            if taken and isinstance(table, State):
                parts = (_renew(connection, batch, settings, table, manifest, taken),)
            elif taken and isinstance(table, Table):
                known = {part.year for part in parts}
                parts = (*parts, *_fold(connection, batch, settings, table, taken, known))
            stage_manifest(batch, table, replace(manifest, covered=covered, parts=parts))
            batch.commit()
    return len(found.fresh) - len(taken)


def tidy(storage: Storage, settings: Settings, table: Table | State) -> None:
    """Merge the young parts of each year, and take away files that are no part of a table.

    Args:
        storage: The lake's; its writer's lock is held.
        settings: The workspace.
        table: Which.
    """
    manifest = survey(settings, table).manifest
    parts = list(manifest.parts) if manifest else []
    root = folder(settings, table)
    with storage.batch() as batch, scratch(settings) as connection:
        for year in sorted({part.year for part in parts}):
            own = [part for part in parts if part.year == year]
            if isinstance(table, Table) and (merged := _to_merge(own)):
                is_base = len(merged) == len(own)
                source = f"({table.merge(_read(root / part.name for part in merged))})"
                parts = [part for part in parts if part not in merged]
                parts.append(_write(connection, batch, table, source, year, is_base))
        kept = {part.name for part in parts}
        swept = [path for path in root.rglob("*.parquet") if str(path.relative_to(root)) not in kept]
        for path in swept:
            batch.remove(path)
        if manifest and tuple(parts) != manifest.parts:
            stage_manifest(batch, table, replace(manifest, parts=tuple(parts)))
        elif not swept:
            return
        batch.commit()


def drop(batch: Batch, settings: Settings) -> None:
    """Take all derived tables away in a commit (erasure): they hold ids of people, and are made anew."""
    for table in TABLES:
        for path in [manifest_file(settings, table), *folder(settings, table).rglob("*.parquet")]:
            if path.exists():
                batch.remove(path)


def replaced(found: Survey, gone: Collection[Path], staged: Path) -> Survey:
    """The survey after files of the dataset that are all folded in, or all fresh, became one (compaction).

    Args:
        found: The survey before.
        gone: The files that are merged away, of one date.
        staged: The new file as it lies in the batch; it goes to the folder of the old ones.
    """
    names = [f"{path.parent.name}/{path.name}" for path in gone]
    new = f"{next(iter(gone)).parent.name}/{staged.name}"
    files = {name: stamped for name, stamped in found.files.items() if name not in names} | {new: stamp(staged)}
    manifest = found.manifest
    if manifest and all(name in manifest.covered for name in names):
        covered = {name: stamped for name, stamped in manifest.covered.items() if name not in names}
        manifest = replace(manifest, covered=covered | {new: files[new]})
    fresh = {name: stamped for name, stamped in files.items() if not manifest or name not in manifest.covered}
    return Survey(manifest, files, fresh)


def stage_manifest(batch: Batch, table: Table | State, manifest: Manifest) -> None:
    """Let a commit replace a table's manifest."""
    target = batch.folder / "derived" / f"{table.name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(manifest.to_json(), encoding="utf-8")


def _fold(
    connection: duckdb.DuckDBPyConnection,
    batch: Batch,
    settings: Settings,
    table: Table,
    names: Iterable[str],
    known: set[int],
) -> tuple[Part, ...]:
    source = _read(settings.lake / table.dataset / name for name in names)
    connection.execute(f"create temp table folded as {table.aggregate(source, settings.timezone)}")
    years = connection.sql("select distinct year from folded order by year").fetchall()
    return tuple(
        _write(connection, batch, table, f"(from folded where year = {year})", year, year not in known)
        for (year,) in years
    )


def _renew(
    connection: duckdb.DuckDBPyConnection,
    batch: Batch,
    settings: Settings,
    table: State,
    manifest: Manifest,
    names: Iterable[str],
) -> Part:
    """The state after some files; that of before stays where it is until the table is tidied."""
    root, lake = folder(settings, table), settings.lake / table.dataset
    old = _read(root / part.name for part in manifest.parts) if manifest.parts else None
    every = dict.fromkeys([*manifest.covered, *names])
    fresh, everything = (_read(lake / name for name in files) for files in (names, every))
    name = f"state/{batch.batch_id}.parquet"
    target = _copied(connection, batch, table, f"({table.renew(old, fresh, everything)})", name)
    return _part(connection, target, name, 0, "is_anonymous", ("updated_at", "updated_at"), is_base=True)


def _write(
    connection: duckdb.DuckDBPyConnection, batch: Batch, table: Table, source: str, year: int, is_base: bool
) -> Part:
    name = f"year={year}/{batch.batch_id}{'-base' if is_base else ''}.parquet"
    target = _copied(connection, batch, table, source, name)
    return _part(connection, target, name, year, table.stranger, ("first_at", "last_at"), is_base=is_base)


def _part(
    connection: duckdb.DuckDBPyConnection,
    target: Path,
    name: str,
    year: int,
    stranger: str,
    times: tuple[str, str],
    *,
    is_base: bool,
) -> Part:
    """What the manifest says of a file."""
    spanned = f"coalesce(min(epoch_us({times[0]})), 0), coalesce(max(epoch_us({times[1]})), 0)"
    facts = f"count(*), count(*) filter (where {stranger}), {spanned}"
    rows, anonymous, first, last = connection.sql(f"select {facts} from {_read([target])}").fetchall()[0]
    return Part(name, year, int(rows), int(anonymous), int(first), int(last), is_base)


def _copied(connection: duckdb.DuckDBPyConnection, batch: Batch, table: Table | State, source: str, name: str) -> Path:
    target = batch.folder / "derived" / table.name / name
    target.parent.mkdir(parents=True, exist_ok=True)
    options = (
        copy_options("lz4_raw") if isinstance(table, State) else copy_options("uncompressed", row_group=_ROW_GROUP)
    )
    connection.execute(f"copy (select * from {source} order by {table.order}) to {text(target)} ({options})")
    return target


def _to_merge(parts: list[Part]) -> list[Part]:
    """Which parts of a year become one: all of them, or only the young ones while those are few beside the base."""
    young = [part for part in parts if not part.is_base]
    base = sum(part.rows for part in parts if part.is_base)
    if not young or (base and len(young) < 2 and young[0].rows * 8 < base):
        return []
    if sum(part.rows for part in young) * 8 >= base:
        return parts
    return young if len(young) >= _DELTAS else []


def _read(paths: Iterable[Path]) -> str:
    listed = ", ".join(text(path) for path in paths)
    return f"read_parquet([{listed}], hive_partitioning = false, union_by_name = true)"
