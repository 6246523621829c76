"""The table of user days: one row a user, event name and year, with the days the event happened on as bits.

``data/lake/derived/user_days/year=YYYY/*.parquet``, years and days in the workspace's time zone. A row whose
`event_name` is null stands for any activity (``sql/lake/activity.sql``). Rows are kept under the ids the events came
with, so that who an anonymous id turned out to be is looked up when a question is asked. Rows of the same key in
several files add up: counts are summed, bits joined, the first and the last time kept.
"""

from __future__ import annotations

from engage.lake.derived.table import Table
from engage.lake.wall_clock import local_day

__all__ = ["NO_ACTIVITY", "USER_DAYS", "WORD", "WORDS", "aggregate"]

WORD = 64
"""Days in a word."""

WORDS = 6
"""Words in a row: `w0` holds the first 64 days of the year, the first of them in the lowest bit."""

_KEY = ("event_name", "user_id", "anonymous_id")  # the last is null where there is a user_id
NO_ACTIVITY = ("App Uninstalled", "Journey Entered", "Journey Step", "Journey Exited")


def aggregate(source: str, timezone: str) -> str:
    """SQL of the table's rows for some events.

    Args:
        source: What follows ``from``: rows with `user_id`, `anonymous_id`, `event_name`, `event_time`.
        timezone: IANA name of the zone days are counted in.

    Returns:
        A select of `year`, `event_name`, `user_id`, `anonymous_id`, `n`, `first_at`, `last_at`, `w0`, `w1`, …; one row
        a year and the three after it.
    """
    words = ", ".join(
        f"bit_or(case when d // {WORD} = {k} then 1::ubigint << (d % {WORD})::ubigint else 0::ubigint end) as w{k}"
        for k in range(WORDS)
    )
    joined = ", ".join(f"bit_or(w{k}) as w{k}" for k in range(WORDS))
    idle = ", ".join(f"'{name}'" for name in NO_ACTIVITY)
    return f"""
with dated as (
    select event_name, user_id, case when user_id is null then anonymous_id end as anonymous_id, event_time,
        {local_day("event_time", timezone)} as day
    from {source}
),
numbered as (select *, year(day) as year, dayofyear(day) - 1 as d from dated),
named as (
    select year, event_name, user_id, anonymous_id, count(*) as n,
        min(event_time) as first_at, max(event_time) as last_at, {words}
    from numbered group by year, event_name, user_id, anonymous_id
)
select * from named
union all
select year, null as event_name, user_id, anonymous_id, sum(n)::bigint as n,
    min(first_at) as first_at, max(last_at) as last_at, {joined}
from named where event_name not in ({idle}) group by year, user_id, anonymous_id"""


def _merge(source: str) -> str:
    joined = ", ".join(f"bit_or(w{k}) as w{k}" for k in range(WORDS))
    key = ", ".join(_KEY)
    return (
        f"select {key}, sum(n)::bigint as n, min(first_at) as first_at, max(last_at) as last_at, {joined} "
        f"from {source} group by {key}"
    )


USER_DAYS = Table(
    name="user_days",
    dataset="events",
    key=_KEY,
    order="event_name nulls first, user_id nulls first, anonymous_id",
    stranger="user_id is null",
    aggregate=aggregate,
    merge=_merge,
)
"""The table."""
