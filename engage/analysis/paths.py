"""Paths: what people do after an event, or did before it."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from engage.analysis.events import Binder, Selector, select_events
from engage.analysis.population import people_condition, span_condition
from engage.errors import QueryError
from engage.query.engine import Engine
from engage.windows import parse_window

__all__ = ["END", "OTHER", "paths"]

OTHER = "(other)"
"""What is not among the most frequent events of its step."""

END = "(nothing)"
"""Nothing more happened within the time."""


def paths(
    engine: Engine,
    event: Selector,
    *,
    direction: str = "after",
    depth: int = 4,
    top: int = 5,
    within: str | timedelta = "1 day",
    segment: str | None = None,
    label: str | None = None,
    campaign: str | None = None,
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    as_of: datetime | None = None,
) -> pl.DataFrame:
    """Follow what people do next, step by step.

    Every occurrence of the event begins a path. Messages they were sent are on it only where the event is one itself.

    Args:
        engine: What answers.
        event: Where a path begins: a name or ``{"event": …, "where": {…}}``; a message event too.
        direction: ``after`` the event, or ``before`` it (step 1 is then the nearest before).
        depth: How many steps, 1 to 10.
        top: How many events to name at each step; the rest is `(other)`.
        within: How far from the event a path reaches.
        segment: Only users of this segment.
        label: Only users sent a message with this label.
        campaign: Only users sent this campaign.
        start: Only paths that begin from then on.
        end: Only paths that begin before then; a day is included whole.
        as_of: See only what happened before then.

    Returns:
        One row a step and pair of neighbours, most frequent first: `step` (1, 2, …), `from_event`, `to_event`, `times`
        (paths), `users` (different people). A path that ends says `(nothing)` once, and no more.

    Raises:
        QueryError: An argument is not one of those there are.
    """
    if event is None:
        raise QueryError("a path begins with an event", where="paths", hint="give its name")
    if direction not in ("after", "before") or not 1 <= depth <= 10 or top < 1:
        raise QueryError("direction is after or before, depth 1 to 10, top at least 1", where="paths")
    length = within if isinstance(within, timedelta) else parse_window(within)
    binder = Binder()
    chosen = select_events(event, binder)
    people = people_condition(engine, binder, segment, label, campaign)
    span = span_condition(engine, binder, start, end)
    micros = binder.bind(length // timedelta(microseconds=1))
    way = (
        "event_time, is_anchor desc, event_id" if direction == "after" else "event_time desc, is_anchor desc, event_id"
    )
    order = f"over (partition by user_id order by {way})"
    # A message that begins a path is no step of another: only activity is looked up along the way.
    leads = ", ".join(
        f"lead(case when is_activity then {{name: event_name, t: epoch_us(event_time)}} end, {k} ignore nulls) "
        f"{order} as s{k}"
        for k in range(1, depth + 1)
    )
    names = ", ".join(
        f"case when abs(s{k}.t - epoch_us(event_time)) <= {micros} then s{k}.name end" for k in range(1, depth + 1)
    )
    query = f"""
with anchors as (
    select event_id, user_id, event_name, event_time from {chosen.relation}
    where ({chosen.condition}) and ({people}) and ({span})
),
found as (
    select event_id, user_id, event_name, event_time, event_id in (select event_id from anchors) as is_anchor,
        true as is_activity
    from activity where user_id in (select user_id from anchors)
    union all
    select event_id, user_id, event_name, event_time, true as is_anchor, false as is_activity
    from anchors where event_id not in (select event_id from activity)
),
led as (select *, {leads} from found),
walked as (
    select event_id, user_id, list_prepend(event_name, list_filter([{names}], lambda x: x is not null)) as walk
    from led where is_anchor
),
steps as (
    select user_id, step, walk[step] as from_event, coalesce(walk[step + 1], {binder.bind(END)}) as to_event
    from walked, range(1, {depth + 1}) as steps(step)
    where step <= len(walk)
),
nodes as (
    select step, to_event as name,
        row_number() over (partition by step order by count(*) desc, to_event) <= {top} or name = {binder.bind(END)}
            as is_named
    from steps group by step, to_event
)
select steps.step,
    case when steps.step = 1 or before.is_named then steps.from_event else {binder.bind(OTHER)} end as from_event,
    case when following.is_named then steps.to_event else {binder.bind(OTHER)} end as to_event,
    count(*) as times, count(distinct steps.user_id) as users
from steps
join nodes as following on following.step = steps.step and following.name = steps.to_event
left join nodes as before on before.step = steps.step - 1 and before.name = steps.from_event
group by all
order by 1, times desc, 2, 3
"""
    return engine.frame(query, binder.params or None, as_of=as_of)
