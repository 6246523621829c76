"""What a label's messages did to retention: those sent them, day by day against those held out."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from engage.analysis.label_retention import label_retention
from engage.analysis.statistics import newcombe_interval
from engage.query.engine import Engine

__all__ = ["compared", "retention_lift"]


def retention_lift(engine: Engine, label: str, days: int = 30, *, as_of: datetime | None = None) -> pl.DataFrame:
    """Compare the retention of those sent a label with that of its control group, who differ by chance alone.

    Each day is compared for itself: of thirty days that nothing was done to, one or two are outside their interval.

    Args:
        engine: What answers.
        label: The message label.
        days: How many days to follow.
        as_of: See only what happened before then.

    Returns:
        As :func:`compared` gives it; no rows where nobody was held out.

    Raises:
        QueryError: `days` is negative.
    """
    sent, held_out = (label_retention(engine, label, days, group=group, as_of=as_of) for group in ("sent", "held_out"))
    return compared(sent, held_out)


def compared(sent: pl.DataFrame, held_out: pl.DataFrame) -> pl.DataFrame:
    """Compare the retention of two groups day by day.

    Args:
        sent: As :func:`engage.analysis.label_retention.label_retention` gives it.
        held_out: The same of those held out.

    Returns:
        One row a day, from 1 on, that both groups have come to: `day`, `people`, `back`, `rate` of those sent it;
        `held_out`, `held_out_back`, `held_out_rate` of those held out; `difference` of the rates, with the ends of
        its 95 % interval, `difference_low` and `difference_high`.

    Source: :func:`engage.analysis.statistics.newcombe_interval`.
    """
    names = {"people": "held_out", "back": "held_out_back", "rate": "held_out_rate"}
    both = sent.filter(pl.col("day") > 0).join(held_out.rename(names), on="day", maintain_order="left")
    groups = both.select("people", "back", "held_out", "held_out_back").rows()
    ends = [newcombe_interval(*group) or (None, None) for group in groups]
    return both.with_columns(
        pl.Series("difference_low", [low for low, _ in ends], dtype=pl.Float64),
        pl.Series("difference_high", [high for _, high in ends], dtype=pl.Float64),
        difference=pl.col("rate") - pl.col("held_out_rate"),
    ).select(*both.columns, "difference", "difference_low", "difference_high")
