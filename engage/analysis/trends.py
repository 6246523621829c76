"""Trends: how often something happened, to how many people, or for how much, period by period."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from engage.analysis.events import Binder, Selector, selector_name
from engage.analysis.periods import Calendar
from engage.analysis.population import chosen_events
from engage.errors import QueryError
from engage.query.engine import Engine

__all__ = ["by_period", "trends"]


def trends(
    engine: Engine,
    events: Selector | Sequence[Selector],
    *,
    measure: str = "count",
    amount: str | None = None,
    period: str = "day",
    week_start: str | int | None = None,
    breakdown: str | None = None,
    top: int = 10,
    as_of: datetime | None = None,
    **population: Any,
) -> pl.DataFrame:
    """Follow events over time.

    Args:
        engine: What answers.
        events: One or more: a name, None for any activity, or ``{"event": …, "where": {…}}``.
        measure: ``count``, how often; ``users``, how many different users; ``sum``, the sum of a property.
        amount: The property that is summed; values that are no numbers, or of 10^15 and more, are left out.
        period: hour, day, week or month, in the workspace's time zone.
        week_start: The weekday a week begins on; the workspace's by default.
        breakdown: A property of the events; a line for each of its values.
        top: How many values of the breakdown to keep, the largest in all first; the rest is left out.
        as_of: See only what happened before then.
        population: `where`, `segment`, `label`, `campaign`, `start`, `end`; see
            :func:`engage.analysis.population.chosen_events`.

    Returns:
        One row an event and period, in the order asked, from the first period with any event to the last: `event_name`,
        `period` (date; for hours datetime in the workspace's time zone), `value`, `is_complete` (whether the period is
        over). With `breakdown` a column `breakdown` after the first.

    Raises:
        QueryError: An argument is not one of those there are.
    """
    chosen = [events] if events is None or isinstance(events, (str, Mapping)) else list(events)
    if not chosen:
        raise QueryError("a trend needs an event", where="trends")
    if measure not in ("count", "users", "sum"):
        raise QueryError(f"{measure!r} is not one of count, users, sum", where="trends")
    if (measure == "sum") != bool(amount):
        raise QueryError("measure='sum' and amount go together", where="trends", hint="give both or neither")
    calendar = Calendar.of(period, engine.settings, week_start)
    binder = Binder()
    number = calendar.sql("event_time")
    selects = []
    for index, event in enumerate(chosen):
        value = "count(*)::double"
        if measure == "users":
            value = "count(distinct user_id)::double"
        elif amount:
            value = f"coalesce(sum(as_number({_property(binder, amount)})), 0)"
        shown = _property(binder, breakdown) if breakdown else "null::varchar"
        source = chosen_events(engine, binder, event, **population)
        selects.append(
            f"select {index} as index, {shown} as breakdown, {number} as n, {value} as value {source} group by all"
        )
    found = engine.frame(" union all ".join(selects), binder.params or None, as_of=as_of)
    names = [selector_name(event) for event in chosen]
    keys = found.group_by("index", "breakdown").agg(pl.col("value").sum()).sort(
        ["index", "value", "breakdown"], descending=[False, True, False], nulls_last=True
    )  # fmt: skip
    if breakdown:
        keys = keys.group_by("index", maintain_order=True).head(top)
    else:
        keys = pl.DataFrame({"index": range(len(chosen))}, schema={"index": pl.Int32}).with_columns(
            breakdown=pl.lit(None, pl.String)
        )
    table = by_period(found, keys.select("index", "breakdown"), calendar, as_of).with_columns(
        pl.col("index").replace_strict(dict(enumerate(names)), return_dtype=pl.String).alias("event_name")
    )
    columns = ["event_name", *(["breakdown"] if breakdown else []), "period", "value", "is_complete"]
    return table.select(columns)


def by_period(found: pl.DataFrame, keys: pl.DataFrame, calendar: Calendar, as_of: datetime | None) -> pl.DataFrame:
    """Give every key a row in every period from the first to the last that anything was found in.

    Args:
        found: The keys' columns, `n` (a period's number) and figures.
        keys: What gets rows, in their order.
        calendar: What numbers the periods.
        as_of: Periods that end later are not complete; now by default.

    Returns:
        The keys' columns, the figures (0 where nothing was found), `period`, `is_complete`.
    """
    numbers = range(int(found["n"].min()), int(found["n"].max()) + 1) if found.height else range(0)  # type: ignore[arg-type]
    seen = as_of or datetime.now(UTC)
    is_hour = calendar.period == "hour"
    periods = pl.DataFrame(
        {
            "n": numbers,
            "period": [calendar.start(n) if is_hour else calendar.day(n) for n in numbers],
            "is_complete": [calendar.start(n + 1) <= seen for n in numbers],
        },
        schema={
            "n": found.schema["n"],
            "period": pl.Datetime("us", calendar.timezone) if is_hour else pl.Date(),
            "is_complete": pl.Boolean(),
        },
    )
    figures = [name for name in found.columns if name not in (*keys.columns, "n")]
    return (
        keys.join(periods, how="cross", maintain_order="left_right")
        .join(found, on=[*keys.columns, "n"], how="left", nulls_equal=True, maintain_order="left")
        .with_columns(pl.col(figures).fill_null(0))
        .drop("n")
    )


def _property(binder: Binder, name: str) -> str:
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    return f"json_extract_string(properties, {binder.bind(pointer)})"
