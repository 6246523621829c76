"""Cohorts put together, where there are too many to look at: by the week, or all of them."""

from __future__ import annotations

import polars as pl

__all__ = ["all_together", "by_week"]


def by_week(table: pl.DataFrame) -> pl.DataFrame:
    """Put daily cohorts together by the week they began in; everyone is still followed from their own day.

    Args:
        table: Cohorts of days: `cohort` (a date), `size`, `period`, `users`, `rate`, as
            :func:`engage.analysis.retention.retention` gives it. Where it has `is_ongoing`, a day that is not over has
            not come yet.

    Returns:
        One row a week and period, with the same columns: `cohort` is the week's Monday; `size` counts those of the
        week for whom the period has come, and `rate` is of them: null where it has come for nobody.
    """
    has_come = pl.col("rate").is_not_null()
    if "is_ongoing" in table.columns:
        has_come &= ~pl.col("is_ongoing")
    return (
        table.group_by(pl.col("cohort").dt.truncate("1w"), "period")
        .agg(
            pl.col("size").filter(has_come).sum(),
            pl.col("users").filter(has_come).sum(),
            has_come.any().alias("has_come"),
        )
        .with_columns(
            rate=pl.when(pl.col("has_come") & (pl.col("size") > 0)).then(pl.col("users") / pl.col("size")),
        )
        .select("cohort", "size", "period", "users", "rate")
        .sort("cohort", "period")
    )


def all_together(table: pl.DataFrame) -> pl.DataFrame:
    """Put all cohorts together: everyone is still followed from their own period.

    Args:
        table: As :func:`engage.analysis.retention.retention` gives it. Where it has `is_ongoing`, what is not over is
            left out, which would pull the others down; unless nothing ever is, as with ``mode="on_or_after"``.

    Returns:
        One row a period, `breakdown` first where the table has one: `period`, `size` (those of the cohorts that have
        come to it), `users`, `rate`.
    """
    keys = [name for name in ("breakdown", "period") if name in table.columns]
    counted = table.filter(pl.col("users").is_not_null())
    if "is_ongoing" in table.columns and not counted.filter(pl.col("period") > 0)["is_ongoing"].all():
        counted = counted.filter(~pl.col("is_ongoing"))
    return (
        counted.group_by(keys, maintain_order=True)
        .agg(pl.col("size", "users").sum())
        .filter(pl.col("size") > 0)
        .with_columns(rate=pl.col("users") / pl.col("size"))
    )
