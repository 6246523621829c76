"""Which events there are, the most common first, and a funnel that may be asked of them."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from engage.query.engine import Engine
from engage.vocabulary import ACTIVITY_EXCLUDES, Event

__all__ = ["event_counts", "suggested_steps"]

_QUERY = """
with counted as (
    select
        event_name,
        count(*) as events,
        approx_count_distinct(user_id) filter (
            where event_time > (select max(event_time) from events) - $days * interval 1 day
        ) as people
    from events
    group by event_name
)
select * from counted order by people desc, events desc, event_name
"""


def event_counts(engine: Engine, days: int = 90, *, as_of: datetime | None = None) -> pl.DataFrame:
    """Count events by name.

    Args:
        engine: What answers.
        days: Over which days up to the last event people are counted.
        as_of: See only what happened before then.

    Returns:
        One row an event name, that of most people first: `event_name`, `events` (in all), `people` (different ones in
        the last `days`, to within a few per cent).
    """
    return engine.frame(_QUERY, {"days": days}, as_of=as_of)


def suggested_steps(counts: pl.DataFrame) -> list[str]:
    """Events that make a funnel worth a first look: from what most people do, towards a purchase.

    Args:
        counts: As :func:`event_counts` returns it.

    Returns:
        Up to four names. The last is the purchase where there are any, else what the fewest people do; the first is
        what the most people do; between them the two that come closest to the last. Messages and what a person did
        not do themselves are left out. A lone event is suggested twice, and nothing where there are none.
    """
    own = counts.filter(~pl.col("event_name").is_in([str(name) for name in ACTIVITY_EXCLUDES]) & (pl.col("people") > 0))
    names = own["event_name"].to_list()
    if not names:
        return []
    goal = str(Event.CHARGED) if Event.CHARGED in names else names[-1]
    before = names[: names.index(goal)]  # what more people do than that
    steps = list(dict.fromkeys([*before[:1], *before[1:][-2:], goal]))
    return steps if len(steps) > 1 else [goal, goal]
