"""Files into the lake: through a mapping, whole or not at all, each row once."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb

from engage.lake.derived.folding import keep_up
from engage.lake.encoding import copy_options
from engage.lake.imported_rows import map_rows, type_rows
from engage.lake.landing import Lake, Landed
from engage.lake.mappings import Mapped, own_shape, read_mapping
from engage.lake.schema import DATASETS, Dataset
from engage.lake.sources import Fault, Source, open_source
from engage.lake.storage import Batch, write_atomically
from engage.lake.wall_clock import local_day

__all__ = ["ImportSummary", "import_file"]

Progress = Callable[[str, int, int | None], None]

_STEPS = 4


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What an import did.

    Args:
        path: The file.
        rows: Its rows, the rejected ones included.
        landed: What happened, by dataset.
        rejected: Rows that were not understood.
        rejects_file: Where they are told, with line and reason; None when there are none.
    """

    path: Path
    rows: int
    landed: dict[str, Landed] = field(default_factory=dict)
    rejected: int = 0
    rejects_file: Path | None = None


def import_file(
    lake: Lake, path: Path, mapping: Path | None, *, now: datetime, progress: Progress | None = None
) -> ImportSummary:
    """Import one file.

    Args:
        lake: Where to.
        path: CSV, NDJSON (both also gzipped) or Parquet.
        mapping: A file of selects over `input`; None for a file in an event's own shape.
        now: The clock, for `received_at`.
        progress: Called with what is being done, steps done and steps in all.

    Returns:
        What landed. Rows that cannot be understood are left out and told, with line and reason, in
        ``<file>.rejected.ndjson`` beside the file. A row without an `event_id` is known by its content and by how many
        like it stand before it, so the same file imported again adds nothing, and two equal rows are two events.

    Raises:
        ImportFileError: The file or the mapping cannot be used; nothing has landed.
    """
    tell = progress or (lambda stage, done, total: None)
    path = path.resolve()
    with duckdb.connect() as connection:
        _lock_down(connection, lake, path)
        source = open_source(path, connection)
        selects = read_mapping(mapping) if mapping else own_shape(list(source.columns), path)
        tell("reading", 0, _STEPS)
        source.create_input(connection)
        where = str(mapping) if mapping else str(path)
        for index, mapped in enumerate(selects):
            map_rows(connection, index, mapped, where)
        tell("checking", 1, _STEPS)
        rejected = _rejected(connection, source, selects)
        file_id = functools.cache(lambda: _digest(path))
        relations = [
            type_rows(connection, index, mapped, file_id, now, [earlier.dataset for earlier in selects[:index]])
            for index, mapped in enumerate(selects)
        ]
        tell("waiting for the lake", 2, _STEPS)
        landed: dict[str, Landed] = {}
        staged: dict[str, list[str]] = {}
        with lake.storage.writing():
            with lake.storage.batch() as batch:
                tell("landing", 3, _STEPS)
                for index, found in enumerate(relations):
                    for name, relation in found.items():
                        before = staged.setdefault(name, [])
                        done = _stage(connection, lake, batch, DATASETS[name], relation, index, before)
                        before.append(relation)
                        landed[name] = landed.get(name, Landed()) + done
                batch.commit()
            keep_up(lake.storage, lake.settings)
        (rows,) = connection.sql("select count(*) from input").fetchall()[0]
        broken = sum(1 for fault in rejected if fault.is_line)
    rejects_file = _write_rejects(path, [fault.fault for fault in rejected])
    tell("done", _STEPS, _STEPS)
    return ImportSummary(path, rows + broken, landed, len({fault.fault.line for fault in rejected}), rejects_file)


@dataclass(frozen=True, slots=True)
class _Rejected:
    fault: Fault
    is_line: bool  # the line is no row at all, so it is not in `input`


def _lock_down(connection: duckdb.DuckDBPyConnection, lake: Lake, path: Path) -> None:
    """Let a mapping read this one file and nothing else."""
    settings = lake.settings
    zone = settings.timezone.replace("'", "''")
    connection.execute(f"set TimeZone = '{zone}'")
    root, file = (str(item).replace("'", "''") for item in (settings.lake.resolve(), path))
    settings.lake.mkdir(parents=True, exist_ok=True)
    connection.execute(f"set temp_directory = '{root}/.spill'")
    connection.execute(f"set allowed_directories = ['{root}']")
    connection.execute(f"set allowed_paths = ['{file}']")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")


def _rejected(connection: duckdb.DuckDBPyConnection, source: Source, selects: list[Mapped]) -> list[_Rejected]:
    """Every row that cannot land, in file order."""
    reasons: dict[int, str] = {}
    for index in range(len(selects)):
        found = connection.sql(f"select row_number, fault from mapped{index} where fault is not null").fetchall()
        for number, told in found:
            reasons.setdefault(number, told)
    lines, faults = source.faults(connection, set(reasons))
    rejected = [_Rejected(fault, True) for fault in faults]
    if reasons:
        shown = connection.sql(
            "select row_number, to_json(input)::varchar from input where row_number in "
            f"({', '.join(str(int(number)) for number in reasons)})"
        ).fetchall()
        rejected += [
            _Rejected(Fault(lines.get(number, number), reasons[number], text), False) for number, text in shown
        ]
    return sorted(rejected, key=lambda item: item.fault.line)


def _stage(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    batch: Batch,
    dataset: Dataset,
    relation: str,
    index: int,
    staged: list[str],
) -> Landed:
    """Write the rows that are new into the batch, a file a UTC date."""
    glob = str(lake.folder(dataset.name).resolve() / "*" / "*.parquet").replace("'", "''")
    there = any(lake.folder(dataset.name).glob("*/*.parquet")) and connection.sql(
        f"select count(*) from read_parquet('{glob}')"
    ).fetchall() != [(0,)]
    known = f"select {dataset.key} from read_parquet('{glob}') semi join {relation} using ({dataset.key})"
    others = [f"select {dataset.key} from {other}" for other in staged] + ([known] if there else [])
    anti = "where " + " and ".join(f"{dataset.key} not in ({keys})" for keys in others) if others else ""
    order = ", ".join(("date", *dataset.order))
    counts = f"select count(*), count(distinct {dataset.key}) from {relation}"
    given, different = connection.sql(counts).fetchall()[0]
    once = f"qualify row_number() over (partition by {dataset.key}) = 1" if different < given else ""
    fresh = f"select *, {local_day(dataset.time, 'UTC')} as date from {relation} {anti} {once} order by {order}"
    folder = batch.folder / dataset.name
    folder.mkdir(parents=True, exist_ok=True)
    target = str(folder.resolve()).replace("'", "''")
    result = connection.execute(
        f"copy ({fresh}) to '{target}' ({copy_options()}, partition_by (date), "
        f"filename_pattern '{batch.batch_id}-{index}-{{i}}', overwrite_or_ignore true)"
    ).fetchall()
    rows = int(result[0][0])
    return Landed(rows, given - rows)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_rejects(path: Path, faults: list[Fault]) -> Path | None:
    target = path.with_name(f"{path.name}.rejected.ndjson")
    if not faults:
        target.unlink(missing_ok=True)
        return None
    rows = ({"line": fault.line, "reason": fault.reason, "row": fault.text} for fault in faults)
    write_atomically(target, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return target
