"""Rows of a file as rows of datasets: what a mapping's select gives, what of it cannot land, and the columns it has."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import duckdb

from engage.errors import ImportFileError
from engage.lake.mappings import Mapped
from engage.lake.records import message_columns_sql
from engage.lake.schema import DATASETS
from engage.lake.sources import not_finite
from engage.vocabulary import MESSAGE_EVENTS

__all__ = ["map_rows", "type_rows"]

_MESSAGES = ", ".join(f"'{name}'" for name in sorted(MESSAGE_EVENTS))


def map_rows(connection: duckdb.DuckDBPyConnection, index: int, mapped: Mapped, where: str) -> None:
    """Make the table ``mapped<index>`` of what a select gives, with `fault`: why a row cannot land, null when it can.

    Args:
        connection: Has the relation `input`.
        index: The select's place among those of the mapping.
        mapped: The select.
        where: What errors name.

    Raises:
        ImportFileError: The select is wrong, or lacks a column.
    """
    select = mapped.select.rstrip().rstrip(";")
    try:
        connection.execute(f"create temp view chosen{index} as {select}")
        columns = _columns(connection, f"chosen{index}")
        _require(mapped, columns, where)
        reason = _reason(mapped, columns)
        connection.execute(f"create temp table mapped{index} as select *, {reason} as fault from chosen{index}")
    except duckdb.Error as error:
        told = " ".join(str(error).split("\n\n", 1)[0].split())
        raise ImportFileError(told, where=where, hint="columns of the file are those of `input`") from error


def type_rows(
    connection: duckdb.DuckDBPyConnection,
    index: int,
    mapped: Mapped,
    file_id: Callable[[], str],
    now: datetime,
    earlier: list[str],
) -> dict[str, str]:
    """Make relations, in the datasets' columns, of the rows of ``mapped<index>`` that can land.

    Args:
        connection: Has that table.
        index: The select's place among those of the mapping.
        mapped: The select.
        file_id: Tells the file apart from others.
        now: The clock, for `received_at` and times that are not told.
        earlier: The datasets of the selects before this one.

    Returns:
        Relation by dataset; events that are messages go to notifications.
    """
    columns = _columns(connection, f"mapped{index}")
    dataset = DATASETS[mapped.dataset]
    expressions = {name: _expression(name, columns, now) for name in dataset.schema.names}
    given = f"{dataset.key}::varchar" if dataset.key in columns else "null::varchar"
    source = f"select * from mapped{index} where fault is null"
    (unnamed,) = connection.sql(f"select count(*) from ({source}) where {given} is null").fetchall()[0]
    if unnamed:
        content = "concat_ws(chr(31), " + ", ".join(
            f"coalesce({name}::varchar, '')" for name in columns if name not in ("row_number", "fault", dataset.key)
        )
        if dataset.time not in columns:
            # Without a time of its own a row is told apart from the same words in another file.
            content += f", '{file_id()}'"
        if again := earlier.count(mapped.dataset):
            # Two selects that say the same of a row mean two events.
            content += f", '{again}'"
        source = (
            f"select * exclude (content, same), "
            f"coalesce({given}, left(sha256(content || chr(31) || same), 32)) as derived_key from ("
            f"select *, row_number() over (partition by content order by row_number) as same from ("
            f"select *, {content}) as content from ({source}))) order by row_number"
        )
        expressions[dataset.key] = "derived_key"
    selected = ", ".join(f"{sql} as {name}" for name, sql in expressions.items())
    kind = "table" if unnamed else "view"
    connection.execute(f"create temp {kind} typed{index} as select {selected} from ({source})")
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


def _require(mapped: Mapped, columns: dict[str, str], where: str) -> None:
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
            is_bad = f"coalesce({not_finite('properties::varchar')}, false)"
            checks.append((is_bad, "properties hold NaN or Infinity, which JSON has not"))
            checks.append(
                (f"properties is not null and not coalesce({object_}, false)", "properties are no JSON object")
            )
    return "case " + " ".join(f"when {check} then '{told}'" for check, told in checks) + " end"


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
