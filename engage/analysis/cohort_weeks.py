"""Cohorts of single days put together by the week, where there are too many days to look at."""

from __future__ import annotations

import polars as pl

__all__ = ["by_week"]


def by_week(table: pl.DataFrame) -> pl.DataFrame:
    """Put daily cohorts together by the week they began in; everyone is still followed from their own day.

    Args:
        table: Cohorts of days: `cohort` (a date), `size`, `period`, `users`, `rate`, as
            :func:`engage.analysis.retention.retention` gives it.

    Returns:
        One row a week and period, with the same columns: `cohort` is the week's Monday; `size` counts those of the
        week for whom the period has come, and `rate` is of them: null where it has come for nobody.
    """
    has_come = pl.col("rate").is_not_null()
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
