"""The table of retention, from what was counted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from engage.analysis.bitmaps import Counts
from engage.analysis.retention_sql import Question, column_spans

__all__ = ["by_value", "retention_table"]


def by_value(question: Question, counted: pl.DataFrame) -> tuple[list[str | None], Counts]:
    """Put what the statement counted in order.

    Args:
        question: What is asked.
        counted: As :func:`engage.analysis.retention_sql.query` gives it.

    Returns:
        The breakdown's values, the largest first, and of each value and cohort the counts of :func:`retention_table`.
    """
    values: list[str | None] = [None]
    counted = counted.filter(pl.col("cohort").is_between(question.first, question.first + question.cohorts - 1))
    if question.breakdown:
        by_size = counted.group_by("breakdown").agg(pl.col("u0").sum())
        values = [value for value, _ in sorted(by_size.rows(), key=lambda row: (-row[1], row[0] is None, str(row[0])))]
    counts = np.zeros((len(values), question.cohorts, question.columns), np.int64)
    if counted.height:
        place = {value: index for index, value in enumerate(values)}
        of_value = np.array([place[value] for value in counted["breakdown"]])
        names = [f"u{k}" for k in range(question.columns)]
        counts[of_value, counted["cohort"].to_numpy() - question.first] = counted.select(names).to_numpy()
    return values, counts


def retention_table(
    question: Question, values: Sequence[str | None] | None, counts: Counts, *, seen: datetime | None = None
) -> pl.DataFrame:
    """Make the table of :func:`engage.analysis.retention.retention`.

    Args:
        question: What is asked.
        values: What the tables are of that stand below each other; None for one table.
        counts: For each of them and each cohort, how many are in it, then how many returned in each column.
        seen: What happened before then is known: tells which periods are not over, in a column `is_ongoing`.
    """
    calendar = question.calendar
    spans = [(0, 0), *column_spans(question)]
    begins = np.array([low for low, _ in spans])
    numbers = np.arange(question.first, question.first + question.cohorts)
    begun = numbers[:, None] + begins <= question.last
    tables = len(counts)
    size = np.repeat(counts[:, :, 0].ravel(), len(begins))
    users, is_begun = counts.ravel(), np.tile(begun.ravel(), tables)
    rate = np.divide(users, size, where=size > 0, out=np.zeros(len(size)))
    cohorts = [calendar.start(n) if calendar.period == "hour" else calendar.day(n) for n in numbers.tolist()]
    kind = pl.Datetime("us", calendar.timezone) if calendar.period == "hour" else pl.Date()
    of_cohort = np.tile(np.repeat(np.arange(len(numbers)), len(begins)), tables)
    columns = {
        "cohort": pl.Series(cohorts, dtype=kind).gather(of_cohort),
        "size": size,
        "period": np.tile(np.arange(len(begins)), len(numbers) * tables),
        "users": _known(users, is_begun),
        "rate": _known(rate, is_begun & (size > 0)),
    }
    if seen is not None:
        columns["is_ongoing"] = _known(np.tile(_ongoing(question, numbers, spans, seen).ravel(), tables), is_begun)
    if values is not None:
        each = len(numbers) * len(begins)
        breakdown = pl.Series(values, dtype=pl.String).gather(np.repeat(np.arange(tables), each))
        return pl.DataFrame({"breakdown": breakdown, **columns})
    return pl.DataFrame(columns)


def _ongoing(
    question: Question, numbers: NDArray[np.int64], spans: list[tuple[int, int]], seen: datetime
) -> NDArray[np.bool_]:
    """Of each cohort and column, whether the last period that counts in it is not over."""
    ends = np.array([high for _, high in spans])
    if question.window == "24h":  # whoever began last in a period is followed into the next one
        ends[1:] += 1
    if question.mode == "on_or_after":
        ends[1:] = question.last + 1  # whenever somebody comes back it counts
    is_over = question.calendar.start(question.last + 1) <= seen  # the last period that is looked at
    return numbers[:, None] + ends >= question.last + is_over


def _known(values: NDArray[Any], is_known: NDArray[np.bool_]) -> pl.Series:
    """A column, null where its value is not known."""
    return pl.Series(pa.array(values, mask=~is_known))
