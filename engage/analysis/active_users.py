"""Active users: how many different people were here in a day, in seven days, in thirty; and on how many days each."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from engage.analysis.events import Binder, Selector
from engage.analysis.periods import Calendar
from engage.analysis.population import chosen_events
from engage.errors import QueryError
from engage.query.engine import Engine
from engage.windows import moment

__all__ = ["active_users", "stickiness"]


def active_users(
    engine: Engine,
    *,
    event: Selector = None,
    start: str | date | datetime | None = None,
    end: str | date | datetime | None = None,
    as_of: datetime | None = None,
    **population: Any,
) -> pl.DataFrame:
    """Count daily, weekly and monthly active users.

    A user-day is open for 7 (or 30) days or until the user's next day, so that a running sum of openings and endings
    counts everyone once: one sort of the user-days, however long the windows.

    Args:
        engine: What answers.
        event: What counts as active; None for any activity.
        start: The first day shown; windows look back beyond it. The first day with an event by default.
        end: The last day shown; the last day with an event by default.
        as_of: See only what happened before then.
        population: `where`, `segment`, `label`, `campaign`; see :func:`engage.analysis.population.chosen_events`.

    Returns:
        One row a day in the workspace's time zone: `date`, `dau`, `wau` (that day and the 6 before), `mau` (and the 29
        before), `stickiness` (dau / mau; null where mau is 0).

    Raises:
        QueryError: An argument is not one of those there are.
    """
    calendar = Calendar.of("day", engine.settings)
    binder = Binder()
    begun = moment(start, engine.settings.timezone)
    first = calendar.number(begun) if begun else None
    source = chosen_events(
        engine,
        binder,
        event,
        start=calendar.start(first - 29) if first is not None else None,
        end=end,
        **population,
    )
    query = f"""
with days as (select distinct user_id, {calendar.sql("event_time")} as n {source}),
gaps as (select n, lead(n) over (partition by user_id order by n) - n as gap from days),
edges as (
    select n, length, count(*) as change from gaps, (values (1), (7), (30)) as windows(length) group by all
    union all
    select n + least(coalesce(gap, length), length) as n, length, -count(*) as change
    from gaps, (values (1), (7), (30)) as windows(length) group by all
),
changes as (
    select n, sum(change) filter (where length = 1) as d, sum(change) filter (where length = 7) as w,
        sum(change) filter (where length = 30) as m
    from edges group by n
),
shown as (select unnest(range(min(n), max(n) + 1))::int as n from days)
select shown.n, sum(coalesce(d, 0)) over (order by shown.n)::bigint as dau,
    sum(coalesce(w, 0)) over (order by shown.n)::bigint as wau,
    sum(coalesce(m, 0)) over (order by shown.n)::bigint as mau
from shown left join changes using (n)
order by shown.n
"""
    found = engine.frame(query, binder.params or None, as_of=as_of)
    if first is not None:
        found = found.filter(pl.col("n") >= first)
    return found.select(
        (pl.lit(date(1970, 1, 1)) + pl.duration(days=pl.col("n"))).cast(pl.Date).alias("date"),
        "dau",
        "wau",
        "mau",
        (pl.when(pl.col("mau") > 0).then(pl.col("dau") / pl.col("mau"))).alias("stickiness"),
    )


def stickiness(
    engine: Engine,
    *,
    event: Selector = None,
    period: str = "day",
    periods: int = 30,
    end: str | date | datetime | None = None,
    as_of: datetime | None = None,
    **population: Any,
) -> pl.DataFrame:
    """Tell in how many periods of the last ones each user was active.

    Args:
        engine: What answers.
        event: What counts as active; None for any activity.
        period: hour, day, week or month, in the workspace's time zone.
        periods: How many, the last included.
        end: A time in the last period; that of the last event by default.
        as_of: See only what happened before then.
        population: `where`, `segment`, `label`, `campaign`; see :func:`engage.analysis.population.chosen_events`.

    Returns:
        One row a number of periods, 1 to `periods`: `times`, `users` (active in exactly so many), `rate` (of all
        active), `users_at_least`.

    Raises:
        QueryError: An argument is not one of those there are.
    """
    if periods < 1:
        raise QueryError("periods is at least 1", where="stickiness")
    calendar = Calendar.of(period, engine.settings)
    last = moment(end, engine.settings.timezone) or (as_of - timedelta(microseconds=1) if as_of else None)
    if last is None:
        binder = Binder()
        source = chosen_events(engine, binder, event)
        last = engine.frame(f"select max(event_time) {source}", binder.params or None).item()
    users: dict[int, int] = {}
    if last is not None:
        number = calendar.number(last)
        binder = Binder()
        source = chosen_events(
            engine,
            binder,
            event,
            start=calendar.start(number - periods + 1),
            end=calendar.start(number + 1),
            **population,
        )
        query = (
            f"with found as (select user_id, count(distinct {calendar.sql('event_time')}) as times {source} "
            "group by user_id) select times, count(*) as users from found group by times"
        )
        users = dict(engine.frame(query, binder.params or None, as_of=as_of).iter_rows())
    total = sum(users.values())
    rows, left = [], total
    for times in range(1, periods + 1):
        count = users.get(times, 0)
        rows.append((times, count, count / total if total else None, left))
        left -= count
    schema = {"times": pl.Int64(), "users": pl.Int64(), "rate": pl.Float64(), "users_at_least": pl.Int64()}
    return pl.DataFrame(rows, schema=schema, orient="row")
