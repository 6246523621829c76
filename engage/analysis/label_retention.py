"""Retention of those sent a message label, beside those held out and those not sent it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engage.analysis.events import Binder
from engage.analysis.followed import bit_counts, followed_counts
from engage.analysis.masks import DerivedMasks, Span
from engage.analysis.periods import Calendar
from engage.analysis.retention_days import LONGEST, latest, words_of
from engage.analysis.retention_sql import sent_condition
from engage.errors import QueryError
from engage.lake.derived.user_days import WORD
from engage.query.derived import NOTHING
from engage.query.derived_reading import DerivedReading
from engage.query.engine import Engine
from engage.query.files import literal

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

    Raises:
        QueryError: There is no such group, or `days` is negative.
    """
    if group not in _GROUPS:
        raise QueryError(f"{group!r} is not one of {', '.join(_GROUPS)}", where="label_retention")
    if days < 0:
        raise QueryError(
            f"people cannot be followed for {days} days", where="label_retention", hint="ask for 0 or more"
        )
    event = _HELD_OUT if group == "held_out" else _SENT
    asked = _Asked(engine, Calendar.of("day", engine.settings), label, days, event, group == "rest", as_of)
    if (found := _by_days(asked)) is not None:
        return found
    params = {"label": label, "days": days, "event": event, "is_rest": asked.is_rest}
    return engine.frame(_QUERY, params, as_of=as_of)


_GROUPS = ("sent", "held_out", "rest")
_SENT, _HELD_OUT = "Notification Sent", "Notification Held Out"


def _by_days(asked: _Asked) -> pl.DataFrame | None:
    """The same from words of bits; None where they cannot tell, or the days are too many."""
    days, counted = asked.days, None
    if days >= LONGEST:
        return None
    with asked.engine.derived(asked.as_of) as reading:
        last = latest(asked.engine, asked.as_of, reading=reading)
        if last is not None and reading is not None:
            counted = _of_derived(asked, last, reading)
    if counted is None and last is not None and not asked.is_rest:
        counted = _of_lake(asked, last)
    if counted is None:
        return None
    begun, back = counted
    people = np.cumsum(begun)[::-1]  # of day k: those who began k days before the last at least
    reach = min(days, len(begun) - 1)
    days_told, people, back = np.arange(reach + 1), people[: reach + 1], back[: reach + 1]
    return pl.DataFrame({"day": days_told, "people": people, "back": back, "rate": back / people})


@dataclass(frozen=True, slots=True)
class _Asked:
    engine: Engine
    calendar: Calendar
    label: str
    days: int
    event: str
    is_rest: bool
    as_of: datetime | None


_Counted = tuple[NDArray[np.int64], NDArray[np.int64]]
"""How many began on each day, from the first one's to the last; how many were back on day 0, 1, …"""

_NOBODY: _Counted = (np.empty(0, np.int64), np.empty(0, np.int64))


def _of_derived(asked: _Asked, last: datetime, reading: DerivedReading) -> _Counted | None:
    """Counted from the derived tables, where they can tell."""
    calendar, label, event = asked.calendar, asked.label, asked.event
    first = reading.tables.labels.first_at
    if first is not None and (asked.is_rest or calendar.number(last) - calendar.number(first) >= 2 * WORD):
        first = reading.frame(reading.tables.first_sent(event, label)).item()  # so that no more words are read
    if first is None or first > last:
        return _NOBODY
    if calendar.number(last) - calendar.number(first) >= LONGEST:
        return None
    span = Span(calendar, calendar.number(first), calendar.number(last))

    masks = DerivedMasks(reading.tables, span)
    if asked.is_rest:
        returns = ", ".join(f"m{k} as r{k}" for k in range(span.words))
        told = " union all ".join(f"select user_id from ({masks.sent(one, label)})" for one in (_SENT, _HELD_OUT))
        query = (
            f"select 0::usmallint as begun, {returns} from ({masks.done(None, with_begun=True)}) "
            f"where begun_at < {literal(first)} and user_id not in ({told})"
        )
    else:
        returns = ", ".join(f"coalesce(m{k}, {NOTHING}) as r{k}" for k in range(span.words))
        query = (
            f"select ({calendar.sql('started.begun_at')} - {span.first})::usmallint as begun, {returns} "
            f"from ({masks.sent(event, label)}) as started "
            f"left join ({masks.done(None, with_begun=False)}) as returned using (user_id)"
        )
    found = reading.frame(query)
    if not found.height:
        return _NOBODY
    start = found["begun"].to_numpy()
    begun = np.bincount(start, minlength=span.last - span.first + 1)
    begun = np.trim_zeros(begun, "f")  # the first message of all may have been another one
    return begun, followed_counts(start, words_of(found, "r", span.words), asked.days)


def _of_lake(asked: _Asked, last: datetime) -> _Counted:
    """Counted from the lake's own rows, bit k of each person's words being their own day k."""
    binder, number = Binder(), asked.calendar.sql
    words = range(asked.days // WORD + 1)
    sent = sent_condition(binder, asked.label, None, asked.event)
    bits = ", ".join(
        f"bit_or(case when k between {WORD * word} and {WORD * word + WORD - 1} "
        f"then 1::ubigint << (k - {WORD * word})::ubigint else {NOTHING} end) as m{word}"
        for word in words
    )
    returns = ", ".join(f"coalesce(m{word}, {NOTHING}) as r{word}" for word in words)
    # What landed since the last day was found, and is later, is left to the next time it is asked.
    end = asked.calendar.number(last)
    query = (
        f"with started as materialized (from (select user_id, {number('min(event_time)')} as begun from notifications "
        f"where {sent} group by user_id) where begun <= {end}), "
        f"returned as (select user_id, {bits} from (select user_id, {number('event_time')} - begun as k "
        f"from activity join started using (user_id) where event_time < {literal(asked.calendar.start(end + 1))}) "
        f"where k between 1 and {asked.days} group by user_id) "
        f"select begun, {returns} from started left join returned using (user_id)"
    )
    found = asked.engine.frame(query, binder.params, as_of=asked.as_of)
    if not found.height:
        return _NOBODY
    ago = end - found["begun"].to_numpy()
    back = bit_counts(words_of(found, "r", len(words)), asked.days + 1)
    back[0] = found.height  # all were there on the day that they began
    return np.bincount(ago)[::-1], back
