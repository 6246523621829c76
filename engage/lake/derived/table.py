"""What a derived table is: rows by local year, made from files of one dataset, that add up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Table", "local_day"]


@dataclass(frozen=True, slots=True)
class Table:
    """One derived table, ``data/lake/derived/<name>/year=YYYY/*.parquet``.

    Args:
        name: Its folder.
        dataset: The dataset it is made from.
        key: Columns that identify a row within a year, `user_id` among them.
        order: How the rows of a file are sorted (SQL), so that readers skip row groups.
        aggregate: SQL of the rows for what follows a ``from``, given the time zone too; with a column `year`.
        merge: SQL that makes one row of each key, for what follows a ``from``: rows of one year, without that column.
    """

    name: str
    dataset: str
    key: tuple[str, ...]
    order: str
    aggregate: Callable[[str, str], str]
    merge: Callable[[str], str]


def local_day(time: str, timezone: str) -> str:
    """SQL of the day a time (TIMESTAMPTZ) is in, in a time zone."""
    if timezone == "UTC":
        return f"make_timestamp(epoch_us({time}))::date"
    zone = timezone.replace("'", "''")
    return f"({time} at time zone '{zone}')::date"
