"""What a derived table is: rows by local year, made from files of one dataset, that add up; or one state a person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["State", "Table"]


@dataclass(frozen=True, slots=True)
class Table:
    """One derived table, ``data/lake/derived/<name>/year=YYYY/*.parquet``.

    Args:
        name: Its folder.
        dataset: The dataset it is made from.
        key: Columns that identify a row within a year, `user_id` among them.
        order: How the rows of a file are sorted (SQL), so that readers skip row groups.
        stranger: Condition (SQL) on rows of people of whom it may still be learnt who they are.
        aggregate: SQL of the rows for what follows a ``from``, given the time zone too; with a column `year`.
        merge: SQL that makes one row of each key, for what follows a ``from``: rows of one year, without that column.
    """

    name: str
    dataset: str
    key: tuple[str, ...]
    order: str
    stranger: str
    aggregate: Callable[[str, str], str]
    merge: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class State:
    """One derived table of what holds now, ``data/lake/derived/<name>/state/*.parquet``: one file, renewed as a whole.

    Its rows do not add up, since they depend on the order of times; so those that new files concern are made again
    from the lake, and the others are taken over.

    Args:
        name: Its folder.
        dataset: The dataset it is made from.
        order: How the rows are sorted (SQL).
        renew: SQL of the rows for three things that may follow a ``from``: the table until now (None where there is
            none), the new files, and all files.
    """

    name: str
    dataset: str
    order: str
    renew: Callable[[str | None, str, str], str]
