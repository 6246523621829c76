"""The week at a glance: who came, what was sent, what came of it, beside the week before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from engage.query.engine import Engine

__all__ = ["Week", "latest_event", "week"]

_QUERY = """
select
    count(distinct user_id) filter (where is_now and kind = 'came') as active,
    count(distinct user_id) filter (where not is_now and kind = 'came') as active_before,
    count(*) filter (where is_now and kind = 'sent') as sent,
    count(*) filter (where not is_now and kind = 'sent') as sent_before,
    count(*) filter (where is_now and kind = 'clicked') as clicked,
    count(*) filter (where not is_now and kind = 'clicked') as clicked_before,
    count(*) filter (where is_now and kind = 'left') as unsubscribed,
    count(*) filter (where not is_now and kind = 'left') as unsubscribed_before,
from (
    select user_id, event_time > $until::timestamptz - interval 7 day as is_now, 'came' as kind
    from activity where event_time > $until::timestamptz - interval 14 day
    union all
    select
        user_id,
        event_time > $until::timestamptz - interval 7 day,
        case event_name
            when 'Notification Sent' then 'sent' when 'Notification Clicked' then 'clicked' else 'left'
        end,
    from notifications
    where
        event_time > $until::timestamptz - interval 14 day
        and event_name in ('Notification Sent', 'Notification Clicked', 'Channel Unsubscribed')
)
"""
_DAILY = """
select local_date(event_time) as day, count(distinct user_id) as people
from activity
where event_time > $until::timestamptz - $days * interval 1 day
group by all
order by day
"""
_KINDS = ("active", "sent", "clicked", "unsubscribed")


@dataclass(frozen=True, slots=True)
class Week:
    """Seven days and the seven before them.

    Args:
        until: The last event there is: what the seven days end with.
        now: `active` (people), `sent`, `clicked` (messages), `unsubscribed` (times) in the seven days.
        before: The same of the seven before.
        daily: `day`, `people` (active on it): one row a day, of the last sixty.
    """

    until: datetime
    now: Mapping[str, int]
    before: Mapping[str, int]
    daily: pl.DataFrame


def latest_event(engine: Engine, *, as_of: datetime | None = None) -> datetime | None:
    """When the last event happened; None where the lake is empty."""
    latest: datetime | None = engine.frame("select max(event_time) as latest from events", as_of=as_of).item()
    return latest


def week(engine: Engine, days: int = 60, *, as_of: datetime | None = None) -> Week | None:
    """Count the last seven days in the lake, and the seven before.

    Args:
        engine: What answers.
        days: How many days `daily` has.
        as_of: As of then.

    Returns:
        None where the lake is empty.
    """
    until = latest_event(engine, as_of=as_of)
    if until is None:
        return None
    row = engine.frame(_QUERY, {"until": until}, as_of=as_of).row(0, named=True)
    return Week(
        until,
        {name: row[name] for name in _KINDS},
        {name: row[f"{name}_before"] for name in _KINDS},
        engine.frame(_DAILY, {"until": until, "days": days}, as_of=as_of),
    )
