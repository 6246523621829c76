"""RFM: customers by how recently, how often and for how much they bought."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import polars as pl

from engage.analysis.events import Binder, Selector
from engage.analysis.population import chosen_events
from engage.query.engine import Engine
from engage.vocabulary import Event

__all__ = ["RFM_NAMES", "rfm", "rfm_users"]

_GRID: Final = {
    1: ("Hibernating", "Hibernating", "At Risk", "At Risk", "Can't Lose Them"),
    2: ("Hibernating", "Hibernating", "At Risk", "At Risk", "Can't Lose Them"),
    3: ("About To Sleep", "About To Sleep", "Needing Attention", "Loyal Users", "Loyal Users"),
    4: ("Promising", "Potential Loyalists", "Potential Loyalists", "Loyal Users", "Loyal Users"),
    5: ("New Users", "Potential Loyalists", "Potential Loyalists", "Champions", "Champions"),
}
RFM_NAMES: Final = tuple(dict.fromkeys(name for names in _GRID.values() for name in names))
"""The ten usual names, each a part of the grid of recency and frequency."""


def rfm_users(
    engine: Engine,
    *,
    event: Selector = Event.CHARGED.value,
    amount: str = "amount",
    as_of: datetime | None = None,
    **population: Any,
) -> pl.DataFrame:
    """Score every customer.

    Scores are quintiles from 1 to 5, 5 the best, of the share of customers who are worse; equal figures score alike.

    Args:
        engine: What answers.
        event: What a purchase is.
        amount: The property that says for how much.
        as_of: See only what happened before then, and count recency to then; to now by default.
        population: `where`, `segment`, `label`, `campaign`, `start`, `end`; see
            :func:`engage.analysis.population.chosen_events`.

    Returns:
        One row a customer, sorted: `user_id`, `recency_days`, `frequency` (purchases), `monetary` (their sum),
        `recency_score`, `frequency_score`, `monetary_score`, `name`.
    """
    binder = Binder()
    pointer = binder.bind("/" + amount.replace("~", "~0").replace("/", "~1"))
    source = chosen_events(engine, binder, event, **population)
    score = "least(5, 1 + floor(5 * percent_rank() over (order by {})))::bigint"
    query = f"""
with customers as (
    select user_id, max(event_time) as last_at, count(*) as frequency,
        coalesce(sum(as_number(json_extract_string(properties, {pointer}))), 0) as monetary
    {source}
    group by user_id
)
select user_id, (epoch_us({binder.bind(as_of or datetime.now(UTC))}::timestamptz) - epoch_us(last_at)) / 86400e6
        as recency_days,
    frequency, monetary, {score.format("last_at")} as recency_score, {score.format("frequency")} as frequency_score,
    {score.format("monetary")} as monetary_score
from customers
order by user_id
"""
    users = engine.frame(query, binder.params or None, as_of=as_of)
    grid = {f"{r}{f}": name for r, names in _GRID.items() for f, name in enumerate(names, 1)}
    key = pl.col("recency_score").cast(pl.String) + pl.col("frequency_score").cast(pl.String)
    return users.with_columns(key.replace_strict(grid, return_dtype=pl.String).alias("name"))


def rfm(engine: Engine, *, as_of: datetime | None = None, **question: Any) -> pl.DataFrame:
    """Count customers in each cell of recency and frequency.

    Args:
        engine: What answers.
        as_of: See only what happened before then.
        question: The other arguments of :func:`rfm_users`.

    Returns:
        One row a cell, all 25: `recency_score`, `frequency_score`, `name`, `users`, `rate` (of all customers),
        `median_recency_days`, `mean_frequency`, `monetary` (their sum; 0 for nobody).
    """
    users = rfm_users(engine, as_of=as_of, **question)
    cells = users.group_by("recency_score", "frequency_score").agg(
        pl.len().cast(pl.Int64).alias("users"),
        pl.col("recency_days").median().alias("median_recency_days"),
        pl.col("frequency").mean().alias("mean_frequency"),
        pl.col("monetary").sum(),
    )
    rows = [(r, f, name) for r, names in sorted(_GRID.items(), reverse=True) for f, name in enumerate(names, 1)]
    schema = {"recency_score": pl.Int64(), "frequency_score": pl.Int64(), "name": pl.String()}
    grid = pl.DataFrame(rows, schema=schema, orient="row")
    return grid.join(cells, on=["recency_score", "frequency_score"], how="left", maintain_order="left").select(
        "recency_score",
        "frequency_score",
        "name",
        pl.col("users").fill_null(0),
        (pl.col("users").fill_null(0) / max(users.height, 1)).alias("rate"),
        "median_recency_days",
        "mean_frequency",
        pl.col("monetary").fill_null(0.0),
    )
