"""Files into the lake: through a mapping, whole or not at all, each row once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb

from engage.errors import ImportFileError
from engage.lake.derived.folding import keep_up
from engage.lake.landing import Lake, Landed
from engage.lake.mappings import Mapped, own_shape, read_mapping
from engage.lake.records import message_columns_sql
from engage.lake.schema import DATASETS, Dataset
from engage.lake.sources import NOT_FINITE, Fault, Source, open_source
from engage.lake.storage import Batch, write_atomically
from engage.vocabulary import MESSAGE_EVENTS

__all__ = ["ImportSummary", "import_file"]

Progress = Callable[[str, int, int | None], None]

_STEPS = 4
_MESSAGES = ", ".join(f"'{name}'" for name in sorted(MESSAGE_EVENTS))


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
            _map(connection, index, mapped, where)
        tell("checking", 1, _STEPS)
        rejected = _rejected(connection, source, selects)
        file_id = _digest(path)
        relations = [
            _typed(connection, index, mapped, file_id, now, [earlier.dataset for earlier in selects[:index]])
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


def _map(connection: duckdb.DuckDBPyConnection, index: int, mapped: Mapped, where: str) -> None:
    try:
        connection.execute(f"create temp table mapped{index} as {mapped.select}")
    except duckdb.Error as error:
        told = " ".join(str(error).split("\n\n", 1)[0].split())
        raise ImportFileError(told, where=where, hint="columns of the file are those of `input`") from error
    columns = _columns(connection, f"mapped{index}")
    needed = {
        "events": ("row_number", "event_name", "event_time"),
        "notifications": ("row_number", "user_id", "event_name", "event_time"),
    }.get(mapped.dataset, ("row_number", "user_id"))
    for name in needed:
        if name not in columns:
            raise ImportFileError(f"the select into {mapped.dataset} gives no column {name!r}", where=where)
    allowed = {*DATASETS[mapped.dataset].schema.names, "row_number"}
    if unknown := [name for name in columns if name not in allowed]:
        raise ImportFileError(
            f"{mapped.dataset} have no column {unknown[0]!r}", where=where, hint="put it into properties"
        )


def _columns(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    return {row[0]: row[1] for row in connection.sql(f"describe {relation}").fetchall()}


def _reason(mapped: Mapped, columns: dict[str, str]) -> str:
    """SQL of why a mapped row cannot land, null when it can."""
    dataset = DATASETS[mapped.dataset]
    people = [name for name in ("user_id", "anonymous_id") if name in columns]
    person = f"coalesce({', '.join(f'{name}::varchar' for name in people)}, '')" if people else "''"
    checks = [(f"{person} = ''", "user_id is empty")]
    if "event_name" in columns:
        checks.append(("coalesce(event_name, '') = ''", "event_name is empty or could not be told"))
    if dataset.time in columns:
        checks.append((f"try_cast({dataset.time} as timestamptz) is null", f"{dataset.time} is not a time"))
    if "properties" in columns:
        object_ = "json_type(try_cast(properties as json)) = 'OBJECT'"
        if columns["properties"] in ("VARCHAR", "JSON"):
            finite = NOT_FINITE.replace("json::varchar", "properties::varchar")
            checks.append((f"coalesce({finite}, false)", "properties hold NaN or Infinity, which JSON has not"))
            checks.append(
                (f"properties is not null and not coalesce({object_}, false)", "properties are no JSON object")
            )
    return "case " + " ".join(f"when {check} then '{told}'" for check, told in checks) + " end"


def _rejected(connection: duckdb.DuckDBPyConnection, source: Source, selects: list[Mapped]) -> list[_Rejected]:
    """Every row that cannot land, in file order."""
    reasons: dict[int, str] = {}
    for index, mapped in enumerate(selects):
        reason = _reason(mapped, _columns(connection, f"mapped{index}"))
        connection.execute(f"alter table mapped{index} add column reason varchar")
        connection.execute(f"update mapped{index} set reason = {reason}")
        found = connection.sql(f"select row_number, reason from mapped{index} where reason is not null").fetchall()
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


def _typed(
    connection: duckdb.DuckDBPyConnection,
    index: int,
    mapped: Mapped,
    file_id: str,
    now: datetime,
    earlier: list[str],
) -> dict[str, str]:
    """Make relations in the datasets' columns.

    Args:
        earlier: The datasets of the selects before this one.

    Returns:
        Relation by dataset; events that are messages go to notifications.
    """
    columns = _columns(connection, f"mapped{index}")
    dataset = DATASETS[mapped.dataset]
    expressions = {name: _expression(name, columns, now) for name in dataset.schema.names}
    content = "concat_ws(chr(31), " + ", ".join(
        f"coalesce({name}::varchar, '')" for name in columns if name not in ("row_number", "reason", dataset.key)
    )
    if dataset.time not in columns:
        # Without a time of its own a row is told apart from the same words in another file.
        content += f", '{file_id}'"
    if again := earlier.count(mapped.dataset):
        # Two selects that say the same of a row mean two events.
        content += f", '{again}'"
    given = f"{dataset.key}::varchar" if dataset.key in columns else "null"
    connection.execute(
        f"create temp view keyed{index} as select * exclude (content, same), "
        f"coalesce({given}, left(sha256(content || chr(31) || same), 32)) as derived_key from ("
        f"select *, row_number() over (partition by content order by row_number) as same from ("
        f"select *, {content}) as content from mapped{index} where reason is null))"
    )
    expressions[dataset.key] = "derived_key"
    selected = ", ".join(f"{sql} as {name}" for name, sql in expressions.items())
    connection.execute(f"create temp table typed{index} as select {selected} from keyed{index} order by row_number")
    if mapped.dataset != "events":
        return {mapped.dataset: f"typed{index}"}
    (messages,) = connection.sql(f"select count(*) from typed{index} where event_name in ({_MESSAGES})").fetchall()[0]
    if not messages:
        return {"events": f"typed{index}"}
    connection.execute(
        f"create temp view messages{index} as select event_id, coalesce(user_id, anonymous_id) as user_id, event_name, "
        f"event_time, received_at, {message_columns_sql('properties')}, source from typed{index} "
        f"where event_name in ({_MESSAGES})"
    )
    connection.execute(
        f"create temp view others{index} as select * from typed{index} where event_name not in ({_MESSAGES})"
    )
    return {"events": f"others{index}", "notifications": f"messages{index}"}


def _expression(name: str, columns: dict[str, str], now: datetime) -> str:
    clock = f"timestamptz '{now.isoformat()}'"
    kinds = {
        "event_time": "timestamptz",
        "changed_at": "timestamptz",
        "received_at": "timestamptz",
        "active": "boolean",
    }
    defaults = {"received_at": clock, "changed_at": clock, "source": "'import'", "active": "true", "properties": "null"}
    if name not in columns:
        return defaults.get(name, f"null::{'varchar[]' if name == 'labels' else 'varchar'}")
    if name == "properties":
        parsed = "try_cast(properties as json)" if columns[name] in ("VARCHAR", "JSON") else "to_json(properties)"
        tidy = f"nullif(json_merge_patch('{{}}', {parsed})::varchar, '{{}}')"
        return f"coalesce({tidy}, '{{}}')" if "changed_at" in columns else tidy
    if name == "labels":
        return "labels::varchar[]"
    cast = f"try_cast({name} as {kinds.get(name, 'varchar')})"
    return f"coalesce({cast}, {defaults[name]})" if name in defaults else cast


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
    there = any(lake.folder(dataset.name).glob("*/*.parquet"))
    known = f"select {dataset.key} from read_parquet('{glob}') semi join {relation} using ({dataset.key})"
    others = [f"select {dataset.key} from {other}" for other in staged] + ([known] if there else [])
    anti = "where " + " and ".join(f"{dataset.key} not in ({keys})" for keys in others) if others else ""
    order = ", ".join(("date", *dataset.order))
    fresh = (
        f"select *, ({dataset.time} at time zone 'UTC')::date as date from {relation} {anti} "
        f"qualify row_number() over (partition by {dataset.key}) = 1 order by {order}"
    )
    (given,) = connection.sql(f"select count(*) from {relation}").fetchall()[0]
    folder = batch.folder / dataset.name
    folder.mkdir(parents=True, exist_ok=True)
    target = str(folder.resolve()).replace("'", "''")
    result = connection.execute(
        f"copy ({fresh}) to '{target}' (format parquet, compression zstd, partition_by (date), "
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
