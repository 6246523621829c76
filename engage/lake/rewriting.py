"""Files of the lake written anew: what compaction and erasure have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb

from engage.lake.encoding import copy_options
from engage.lake.schema import Dataset
from engage.lake.scratch import text
from engage.lake.storage import Batch

__all__ = ["rewrite"]


def rewrite(
    connection: duckdb.DuckDBPyConnection,
    batch: Batch,
    dataset: Dataset,
    folder: Path,
    files: Sequence[Path],
    *,
    keep: str = "true",
) -> tuple[int, int]:
    """Stage one sorted file in the place of several.

    Args:
        connection: Reads and writes.
        batch: Takes the new file, and the removal of the old ones.
        dataset: What the files hold.
        folder: The date's folder.
        files: Files in it.
        keep: SQL condition on the rows that stay.

    Returns:
        Rows before and rows after; without rows after there is no new file.
    """
    listed = "[" + ", ".join(text(path) for path in files) + "]"
    source = f"read_parquet({listed}, hive_partitioning = false, union_by_name = true)"
    (before,) = connection.sql(f"select count(*) from {source}").fetchall()[0]
    target = batch.folder / folder.parent.name / folder.name / f"{batch.batch_id}.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    result = connection.execute(
        f"copy (select * from {source} where {keep} order by {', '.join(dataset.order)}) "
        f"to {text(target)} ({copy_options()})"
    ).fetchall()
    after = int(result[0][0])
    if not after:
        target.unlink()
    for path in files:
        batch.remove(path)
    return int(before), after
