"""Uninstalls: how many removed the app, when, and after which messages."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl

from engage.analysis.events import Binder
from engage.analysis.periods import Calendar
from engage.analysis.population import chosen_events, people_condition, span_condition
from engage.analysis.statistics import wilson_interval
from engage.analysis.trends import by_period
from engage.errors import QueryError
from engage.query.engine import Engine
from engage.vocabulary import Event
from engage.windows import parse_window

__all__ = ["uninstalls", "uninstalls_after"]


def uninstalls(
    engine: Engine,
    *,
    period: str = "day",
    week_start: str | int | None = None,
    as_of: datetime | None = None,
    **population: Any,
) -> pl.DataFrame:
    """Count uninstalls beside installs, period by period.

    Args:
        engine: What answers.
        period: hour, day, week or month, in the workspace's time zone.
        week_start: The weekday a week begins on; the workspace's by default.
        as_of: See only what happened before then.
        population: `where`, `segment`, `label`, `campaign`, `start`, `end`; see
            :func:`engage.analysis.population.chosen_events`.

    Returns:
        One row a period, from the first with either to the last: `period`, `installs` and `uninstalls` (different
        users in each), `is_complete`.
    """
    calendar = Calendar.of(period, engine.settings, week_start)
    binder = Binder()
    number = calendar.sql("event_time")
    gone, came = (
        f"select user_id, {number} as n, {is_gone} as is_gone {chosen_events(engine, binder, event, **population)}"
        for event, is_gone in ((Event.APP_UNINSTALLED.value, "true"), (Event.APP_INSTALLED.value, "false"))
    )
    query = (
        f"select n, count(distinct user_id) filter (where not is_gone) as installs, "
        f"count(distinct user_id) filter (where is_gone) as uninstalls from ({gone} union all {came}) group by n"
    )
    found = engine.frame(query, binder.params or None, as_of=as_of).with_columns(key=pl.lit(0))
    keys = pl.DataFrame({"key": [0]}, schema={"key": found.schema["key"]})
    table = by_period(found, keys, calendar, as_of)
    return table.select("period", "installs", "uninstalls", "is_complete")


def uninstalls_after(
    engine: Engine,
    by: str = "label",
    *,
    within: str | timedelta = "7 days",
    segment: str | None = None,
    label: str | None = None,
    campaign: str | None = None,
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    as_of: datetime | None = None,
) -> pl.DataFrame:
    """Tell how many uninstalled soon after a message. It may not be why: the lift against a control group tells that.

    Args:
        engine: What answers.
        by: ``label`` or ``campaign``.
        within: How soon after a message, its end included.
        segment: Only users of this segment.
        label: Only users sent a message with this label.
        campaign: Only users sent this campaign.
        start: Only messages sent from then on.
        end: Only messages sent before then; a day is included whole.
        as_of: See only what happened before then.

    Returns:
        One row a label or campaign, the worst first: `label` or `campaign_id`, `sent` (users), `uninstalled` (of them,
        within the time after a message), `rate`, `low`, `high` (95 % interval, Wilson).

    Raises:
        QueryError: `by` is neither.
    """
    columns = {"label": ("label", "unnest(labels)"), "campaign": ("campaign_id", "campaign_id")}
    if by not in columns:
        raise QueryError(f"{by!r} is not one of label, campaign", where="uninstalls")
    name, value = columns[by]
    length = within if isinstance(within, timedelta) else parse_window(within)
    binder = Binder()
    people = people_condition(engine, binder, segment, label, campaign)
    span = span_condition(engine, binder, start, end)
    query = f"""
with sent as (
    select user_id, event_time as sent_at, {value} as message
    from notifications
    where event_name = {binder.bind(Event.NOTIFICATION_SENT.value)} and ({people}) and ({span})
),
gone as (
    select user_id, list_sort(list(event_time)) as times
    from user_events where event_name = {binder.bind(Event.APP_UNINSTALLED.value)} group by user_id
),
followed as (
    select message, sent.user_id,
        bool_or(len(list_filter(times, lambda x: epoch_us(x) >= epoch_us(sent_at)
            and epoch_us(x) <= epoch_us(sent_at) + {binder.bind(length // timedelta(microseconds=1))})) > 0) as is_gone
    from sent left join gone on gone.user_id = sent.user_id
    group by message, sent.user_id
)
select message as {name}, count(*) as sent, count(*) filter (where is_gone) as uninstalled, uninstalled / sent as rate
from followed
where message is not null
group by message
order by rate desc, message
"""
    table = engine.frame(query, binder.params or None, as_of=as_of)
    bounds = [wilson_interval(gone, sent) or (None, None) for gone, sent in table.select("uninstalled", "sent").rows()]
    return table.with_columns(
        pl.Series("low", [low for low, _ in bounds], pl.Float64),
        pl.Series("high", [high for _, high in bounds], pl.Float64),
    )
