"""How the lake's Parquet files are encoded: times as differences, ids as lengths and bytes, what repeats by dictionary.

A dictionary of what hardly repeats, which is what writers begin with unless told otherwise, makes a file larger and
slower to read (``docs/benchmarks.md``). DuckDB, polars, pyarrow and ClickHouse read these encodings.

Source: Apache Parquet, Encodings: DELTA_BINARY_PACKED, DELTA_LENGTH_BYTE_ARRAY.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

__all__ = ["copy_options", "write_parquet"]

_ROW_GROUP = 122_880  # rows; DuckDB reads one row group a thread

_REPEATED = 5  # rows a value, on average, from which on a dictionary is worth it; DuckDB's own measure


def copy_options(
    compression: Literal["zstd", "lz4_raw", "uncompressed"] = "zstd", *, row_group: int = _ROW_GROUP
) -> str:
    """Options of DuckDB's ``copy``, which finds out by itself what repeats.

    Args:
        compression: ``zstd``; ``lz4_raw`` for what is read again and again: a third larger, unpacked in half the time;
            ``uncompressed`` where little is to be gained, as with differences of times and words of bits.
        row_group: Rows a row group.
    """
    return f"format parquet, compression {compression}, parquet_version v2, row_group_size {row_group}"


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write rows as one file.

    Args:
        table: The rows, sorted as readers shall find them.
        path: The file.
    """
    encodings = {field.name: name for field in table.schema if (name := _encoding(table, field))}
    nested = {field.name: f"{field.name}.list.element" for field in table.schema if pa.types.is_list(field.type)}
    pq.write_table(
        table,
        path,
        compression="zstd",
        row_group_size=_ROW_GROUP,
        use_dictionary=[nested.get(name, name) for name in table.column_names if name not in encodings],
        column_encoding=encodings,
    )


def _encoding(table: pa.Table, field: pa.Field) -> str | None:
    """How a column is encoded; None for by dictionary."""
    if pa.types.is_timestamp(field.type):
        return "DELTA_BINARY_PACKED"
    if pa.types.is_string(field.type) and pc.count_distinct(table[field.name]).as_py() * _REPEATED > table.num_rows:
        return "DELTA_LENGTH_BYTE_ARRAY"
    return None
