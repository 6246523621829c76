"""What callers hand over (dicts, polars, pyarrow, pandas) as rows in a dataset's schema."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa

from engage.errors import LandingError
from engage.lake.landing import new_ids
from engage.lake.schema import DATASETS
from engage.lake.scratch import scratch
from engage.vocabulary import MESSAGE_EVENTS

__all__ = ["MESSAGE_COLUMNS", "event_rows", "message_columns_sql", "profile_rows"]

_EVENT_COLUMNS = {
    "user_id": "varchar",
    "anonymous_id": "varchar",
    "event_name": "varchar",
    "event_time": "timestamptz",
    "properties": "json",
    "event_id": "varchar",
    "received_at": "timestamptz",
    "source": "varchar",
}

MESSAGE_COLUMNS = (
    "message_id",
    "campaign_id",
    "campaign_name",
    "run_id",
    "journey_id",
    "channel",
    "provider",
    "delivery_type",
    "variant",
    "reason",
)
"""Properties of a message event that have a typed column of their own, `labels` aside."""


def message_columns_sql(properties: str) -> str:
    """SQL that takes a message event's typed columns out of its properties.

    Args:
        properties: SQL of the JSON object.

    Returns:
        A select list: the columns of :data:`MESSAGE_COLUMNS`, `labels` and the remaining `properties`.
    """
    typed = [f"{properties}->>'$.{name}' as {name}" for name in MESSAGE_COLUMNS]
    labels = (
        f"case json_type({properties}, '$.labels') "
        f"when 'ARRAY' then from_json({properties}->'$.labels', '[\"VARCHAR\"]') "
        f"when 'VARCHAR' then [{properties}->>'$.labels'] "
        f"else case when {properties}->>'$.label' is not null then [{properties}->>'$.label'] end end as labels"
    )
    removed = ", ".join(f'"{name}":null' for name in (*MESSAGE_COLUMNS, "labels", "label"))
    rest = f"json_merge_patch({properties}, '{{{removed}}}')"
    return ", ".join([*typed, labels, f"nullif({rest}::varchar, '{{}}') as properties"])


def event_rows(rows: Any, *, received_at: datetime, source: str = "api") -> dict[str, pa.Table]:
    """Turn events into rows of the events and notifications datasets.

    Args:
        rows: A list of dicts, or a polars, pyarrow or pandas table, with `user_id` (or `anonymous_id`),
            `event_name`, `event_time` and optionally `properties`, `event_id`, `received_at`, `source`. Times
            without a zone are UTC.
        received_at: The clock.
        source: Where they came from.

    Returns:
        Tables by dataset. Message events (``Notification Sent`` …) go to notifications, with typed columns.

    Raises:
        LandingError: A column is missing or unknown, or a row has no person, name or valid time; it names the row.
    """
    table = _as_arrow(rows, _EVENT_COLUMNS)
    for name in ("event_name", "event_time"):
        if name not in table.column_names:
            raise LandingError(f"column {name!r} is missing", where="events", hint="every event needs one")
    if "user_id" not in table.column_names and "anonymous_id" not in table.column_names:
        raise LandingError("column 'user_id' is missing", where="events", hint="give user_id or anonymous_id")
    unknown = [name for name in table.column_names if name not in _EVENT_COLUMNS]
    if unknown:
        raise LandingError(
            f"column {unknown[0]!r} is not one of an event's", where="events", hint="put it into properties"
        )
    table = _complete(table, "event_id")
    defaults = {"received_at": "$received_at", "source": "$source"}
    columns = [_column(name, kind, table, defaults.get(name)) for name, kind in _EVENT_COLUMNS.items()]
    query = f"select {', '.join(columns)}, row_number() over () as row_number from given"
    messages = ", ".join(f"'{name}'" for name in sorted(MESSAGE_EVENTS))
    with scratch() as connection:
        connection.register("given", table)
        connection.execute(f"create temp table typed as {query}", {"received_at": received_at, "source": source})
        _refuse_bad_rows(connection, table)
        events = connection.sql(
            f"select * exclude (row_number) from typed where event_name not in ({messages}) order by row_number"
        ).to_arrow_table()
        notes = connection.sql(
            "select event_id, coalesce(user_id, anonymous_id) as user_id, event_name, event_time, received_at, "
            f"{message_columns_sql('properties')}, source from typed "
            f"where event_name in ({messages}) order by row_number"
        ).to_arrow_table()
    found = {"events": events, "notifications": notes}
    return {
        name: tab.select(DATASETS[name].schema.names).cast(DATASETS[name].schema)
        for name, tab in found.items()
        if tab.num_rows
    }


def profile_rows(rows: Any, *, received_at: datetime, source: str = "api") -> pa.Table:
    """Turn profiles into rows of the profiles dataset.

    Args:
        rows: A list of dicts, or a polars, pyarrow or pandas table: `user_id` and any properties; optionally
            `changed_at`, when they became so. An empty value leaves the property as it was.
        received_at: The clock.
        source: Where they came from.

    Returns:
        One row a row given.

    Raises:
        LandingError: There is no `user_id`, or one is empty.
    """
    table = _as_arrow(rows, {"user_id": "varchar", "changed_at": "timestamptz"})
    if "user_id" not in table.column_names:
        raise LandingError("column 'user_id' is missing", where="profiles", hint="every profile needs one")
    rest = [name for name in table.column_names if name not in ("user_id", "changed_at")]
    if rest == ["properties"]:
        patch = "try_cast(properties as json)" if _is_text(table, "properties") else "to_json(properties)"
    else:
        # Names of SQL columns and of a struct's fields may not differ in case alone; those of properties may.
        places = {name: f"property_{k}" for k, name in enumerate(rest)}
        table = table.rename_columns([places.get(name, name) for name in table.column_names])
        patch = f"json_object({', '.join(f'{_literal(name)}, {place}' for name, place in places.items())})"
    changed = "coalesce(try_cast(changed_at as timestamptz), $now)" if "changed_at" in table.column_names else "$now"
    with scratch() as connection:
        connection.register("given", table)
        result = connection.sql(
            f"select user_id::varchar as user_id, {changed} as changed_at, $now as received_at, "
            f"json_merge_patch('{{}}', {patch})::varchar as properties, $source as source from given",
            params={"now": received_at, "source": source},
        ).to_arrow_table()
    blank = [i for i, user in enumerate(result["user_id"].to_pylist()) if not user]
    if blank:
        raise LandingError(f"row {blank[0]} has no user_id", where="profiles", hint="nothing has landed")
    result = result.append_column("change_id", new_ids(result.num_rows))
    schema = DATASETS["profiles"].schema
    return result.select(schema.names).cast(schema)


def _refuse_bad_rows(connection: duckdb.DuckDBPyConnection, given: pa.Table) -> None:
    bad = connection.sql(
        "select row_number - 1, case when coalesce(user_id, anonymous_id, '') = '' then 'user_id' "
        "when coalesce(event_name, '') = '' then 'event_name' when event_time is null then 'event_time' "
        "else 'properties' end from typed "
        "where coalesce(user_id, anonymous_id, '') = '' or coalesce(event_name, '') = '' or event_time is null "
        "or json_type(coalesce(properties, '{}')) <> 'OBJECT' order by row_number limit 1"
    ).fetchall()
    if bad:
        row, column = bad[0]
        value = given[column][row].as_py() if column in given.column_names else None
        what = f"{column} {str(value)[:80]!r} is not valid" if value not in (None, "") else f"{column} is empty"
        raise LandingError(f"row {row}: {what}", where="events", hint="mend it and try again; nothing has landed")


def _as_arrow(rows: Any, known: Mapping[str, str]) -> pa.Table:
    if isinstance(rows, pa.Table):
        return rows
    if isinstance(rows, pa.RecordBatch):
        return pa.Table.from_batches([rows])
    if isinstance(rows, pl.LazyFrame):
        rows = rows.collect()
    if isinstance(rows, pl.DataFrame):
        return rows.to_arrow()
    if hasattr(rows, "columns") and hasattr(rows, "iloc"):  # pandas, without importing it
        return _from_dicts(rows.astype(object).where(rows.notna(), None).to_dict("records"), known)
    if isinstance(rows, Mapping) or not isinstance(rows, Iterable):
        raise LandingError("rows are neither a list of dicts nor a table", hint="pass [{…}, {…}]")
    return _from_dicts(list(rows), known)


def _from_dicts(rows: list[Mapping[str, Any]], known: Mapping[str, str]) -> pa.Table:
    names = list(dict.fromkeys(name for row in rows for name in row)) if rows else list(known)
    columns = {}
    for name in names:
        values = [row.get(name) for row in rows]
        if known.get(name) == "varchar":
            columns[name] = pa.array([None if v is None else str(v) for v in values], pa.string())
        elif known.get(name) == "timestamptz":
            columns[name] = pa.array([_moment(v) for v in values], pa.string())
        elif known.get(name) == "json":
            columns[name] = pa.array([_json(v) for v in values], pa.string())
        else:
            columns[name] = _values(values)
    return pa.table(columns)


def _values(values: list[Any]) -> pa.Array:
    """A column of any JSON values: typed where they agree, else as the JSON struct DuckDB can merge."""
    kinds = {type(v) for v in values if v is not None}
    if kinds <= {bool} or kinds <= {int} or kinds <= {float, int} or kinds <= {str}:
        return pa.array([None if v is None else v for v in values])
    return pa.array([None if v is None else _json(v) for v in values], pa.json_(pa.string()))


def _moment(value: Any) -> str | None:
    return value.isoformat() if isinstance(value, (datetime, date)) else None if value is None else str(value)


def _json(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    try:
        return json.dumps(value, default=_plain, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise LandingError(f"properties are not JSON: {error}", where="events") from error


def _plain(value: Any) -> Any:
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if hasattr(value, "item"):  # numpy scalars
        return value.item()
    if hasattr(value, "__float__"):  # Decimal
        return float(value)
    raise TypeError(f"a {type(value).__name__} is not a JSON value")


def _complete(table: pa.Table, key: str) -> pa.Table:
    if key not in table.column_names:
        return table.append_column(key, new_ids(table.num_rows))
    if table[key].null_count:
        given = table[key].to_pylist()
        fresh = iter(new_ids(table[key].null_count).to_pylist())
        filled = pa.array([next(fresh) if v is None else str(v) for v in given], pa.string())
        return table.set_column(table.column_names.index(key), key, filled)
    return table


def _column(name: str, kind: str, table: pa.Table, default: str | None) -> str:
    if name not in table.column_names:
        return f"{default or 'null'}::{kind} as {name}"
    if kind == "json":
        parsed = f"try_cast({name} as json)" if _is_text(table, name) else f"to_json({name})"
        # JSON that does not parse becomes 0, which is no object and so is refused with its row; nulls are dropped.
        object_ = f"json_type({parsed}) = 'OBJECT'"
        tidy = f"nullif(json_merge_patch('{{}}', {parsed})::varchar, '{{}}')"
        return f"case when {name} is null then null when {object_} then {tidy} else '0' end as {name}"
    cast = f"try_cast({name} as {kind})"
    return f"coalesce({cast}, {default}) as {name}" if default else f"{cast} as {name}"


def _is_text(table: pa.Table, name: str) -> bool:
    kind = table.schema.field(name).type
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_null(kind)
    )


def _literal(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"
