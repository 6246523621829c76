"""Retention of those sent a message label, beside those held out and those not sent it."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl

from engage.analysis.bitmaps import pair_counts
from engage.analysis.events import Binder
from engage.analysis.masks import DerivedMasks, LakeMasks, Masks, Span, one_bit
from engage.analysis.periods import Calendar
from engage.analysis.retention_days import LONGEST, bitmaps, latest
from engage.query.derived import NOTHING
from engage.query.engine import Engine

__all__ = ["label_retention"]

_QUERY = """
with starts as (
    select user_id, min(event_time) as begun_at
    from notifications
    where event_name = $event and list_contains(labels, $label)
    group by user_id
),
rest as (
    -- Not sent it: people who had been here before the label's first message, followed from that same instant.
    select distinct user_id, (select min(begun_at) from starts) as begun_at
    from activity
    where event_time < (select min(begun_at) from starts)
        and user_id not in (
            select user_id from notifications
            where event_name in ('Notification Sent', 'Notification Held Out') and list_contains(labels, $label)
        )
),
chosen as (select * from starts where not $is_rest union all select * from rest where $is_rest),
last_day as (select local_date(max(event_time)) as day from events),
people as (
    select user_id, begun_at, local_date(begun_at) as first_day,
        least((select day from last_day) - local_date(begun_at), $days)::int as reach
    from chosen
),
sizes as (
    select day, count(*) as people
    from people, unnest(range(0, reach + 1)) as days(day)
    group by day
),
returns as (
    select distinct people.user_id, (local_date(activity.event_time) - people.first_day)::int as day
    from people join activity on activity.user_id = people.user_id
        and activity.event_time >= people.begun_at
        and local_date(activity.event_time) <= people.first_day + people.reach
)
select sizes.day, sizes.people,
    case when sizes.day = 0 then sizes.people else count(returns.user_id) end as back,
    back / sizes.people as rate
from sizes left join returns on returns.day = sizes.day
group by sizes.day, sizes.people
order by sizes.day
"""


def label_retention(
    engine: Engine, label: str, days: int = 30, *, group: str = "sent", as_of: datetime | None = None
) -> pl.DataFrame:
    """Follow people from their own first message with a label, day by day.

    Args:
        engine: What answers.
        label: The message label.
        days: How many days to follow.
        group: ``sent``; ``held_out``, the control group of the label's campaigns, from when each was held out; or
            ``rest``, people who had been active before the label's first message and were never sent nor held out,
            from that message's day. Only the control group is a fair comparison: the rest differ in other ways too.
        as_of: See only what happened before then.

    Returns:
        One row a day, 0 to `days`: `day`, `people` (those whose day has begun by the last event), `back` (of them, how
        many did something that day; all of them on day 0), `rate`.
    """
    event = "Notification Held Out" if group == "held_out" else "Notification Sent"
    if group != "rest" and (found := _by_days(engine, label, days, event, as_of)) is not None:
        return found
    params = {"label": label, "days": days, "event": event, "is_rest": group == "rest"}
    return engine.frame(_QUERY, params, as_of=as_of)


def _by_days(engine: Engine, label: str, days: int, event: str, as_of: datetime | None) -> pl.DataFrame | None:
    """The same from words of bits; None where there is nobody, or the days are too many."""
    calendar = Calendar.of("day", engine.settings)
    first, last = _first(engine, label, event, as_of), latest(engine, as_of)
    if first is None or last is None or calendar.number(last) - calendar.number(first) >= LONGEST:
        return None
    span = Span(calendar, calendar.number(first), calendar.number(last))

    def query(masks: Masks) -> str:
        number = f"({calendar.sql('begun_at')} - {span.first})"
        returned = masks.done(None, with_begun=False, among="user_id in (select user_id from started)")
        returns = ", ".join(f"coalesce(m{k}, {NOTHING}) as r{k}" for k in range(span.words))
        return (
            f"with started as materialized (select user_id, {one_bit(number, span.words)} "
            f"from ({masks.sent(event, label)})), returned as ({returned}) "
            f"select started.* exclude (user_id), {returns} from started left join returned using (user_id)"
        )

    found = engine.derived_frame(lambda derived: query(DerivedMasks(derived, span)), {}, as_of=as_of)
    if found is None:
        binder = Binder()
        found = engine.frame(query(LakeMasks(binder, span)), binder.params, as_of=as_of)
    starts, returns = (bitmaps(found, prefix, span.words) for prefix in "sr")
    reach = min(days, span.last - span.first)
    counts = pair_counts(starts, returns, span.last - span.first + 1, [(k, k) for k in range(1, reach + 1)])
    people = np.cumsum(counts[:, 0])[::-1][: reach + 1]  # of day k: those who began k days before the last at least
    back = counts.sum(axis=0)
    table = pl.DataFrame({"day": np.arange(reach + 1), "people": people, "back": back})
    return table.with_columns(rate=pl.col("back") / pl.col("people"))


def _first(engine: Engine, label: str, event: str, as_of: datetime | None) -> datetime | None:
    """When the first such message was."""
    found = engine.derived_frame(
        lambda derived: f"select min(begun_at) from ({derived.sent(event, label)})", {}, as_of=as_of
    )
    if found is None:
        query = "select min(event_time) from notifications where event_name = $event and list_contains(labels, $label)"
        found = engine.frame(query, {"event": event, "label": label}, as_of=as_of)
    first: datetime | None = found.item()
    return first
