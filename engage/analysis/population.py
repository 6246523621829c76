"""Whose events are counted, and over which time: conditions that several analyses share."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import Any

from engage.analysis.events import Binder, Selector, select_events
from engage.analysis.retention_sql import sent_condition
from engage.analysis.segments import Segment, find_segment
from engage.query.engine import Engine
from engage.query.files import with_literals
from engage.windows import moment

__all__ = ["chosen_events", "people_condition", "span_condition"]


def people_condition(
    engine: Engine, binder: Binder, segment: str | Segment | None, label: str | None, campaign: str | None = None
) -> str:
    """SQL on `user_id`: in a segment; sent a message with a label, of a campaign.

    Args:
        engine: What finds the segment.
        binder: Takes the values.
        segment: Its name, or a segment as :func:`engage.analysis.segments.find_segment` opens it.
        label: A message label.
        campaign: A campaign's id.

    Raises:
        UnknownSegmentError: There is none of that name.
    """
    conditions = []
    if segment is not None:
        found = find_segment(engine, segment) if isinstance(segment, str) else segment
        body = with_literals(found.sql.rstrip().rstrip(";"), found.params)
        conditions.append(f"user_id in (select user_id from ({body}\n))")
    if label or campaign:
        sent = sent_condition(binder, label, campaign)
        conditions.append(f"user_id in (select user_id from notifications where {sent})")
    return " and ".join(conditions) or "true"


def span_condition(
    engine: Engine, binder: Binder, start: str | date | datetime | None, end: str | date | datetime | None
) -> str:
    """SQL on `event_time`: from `start` on and before `end`; where that is a day, it is included whole."""
    zone = engine.settings.timezone
    conditions = []
    if (begun := moment(start, zone)) is not None:
        conditions.append(f"event_time >= {binder.bind(begun)}")
    if (ended := moment(end, zone)) is not None:
        day = _day(end)
        if day is not None:
            ended = moment(day + timedelta(days=1), zone)
        conditions.append(f"event_time < {binder.bind(ended)}")
    return " and ".join(conditions) or "true"


def _day(value: str | date | datetime | None) -> date | None:
    """The day that is named, where no time of day is."""
    if isinstance(value, str):
        with suppress(ValueError):
            return date.fromisoformat(value)
        return None
    return None if isinstance(value, datetime) else value


def chosen_events(
    engine: Engine,
    binder: Binder,
    event: Selector,
    *,
    where: Mapping[str, Any] | None = None,
    segment: str | Segment | None = None,
    label: str | None = None,
    campaign: str | None = None,
    start: str | date | datetime | None = None,
    end: str | date | datetime | None = None,
) -> str:
    """SQL from `from` on: some events of some people in some time.

    Args:
        engine: What finds the segment.
        binder: Takes the values.
        event: A name, None for any activity, or ``{"event", "where"}``.
        where: Conditions on properties that must hold besides.
        segment: Only users of this segment.
        label: Only users sent a message with this label.
        campaign: Only users sent this campaign.
        start: Only events from then on.
        end: Only events before then; a day is included whole.

    Raises:
        QueryError: The selector, an operator or a time is not one that there is.
        UnknownSegmentError: There is no such segment.
    """
    chosen = select_events(event, binder, where)
    people = people_condition(engine, binder, segment, label, campaign)
    span = span_condition(engine, binder, start, end)
    return f"from {chosen.relation} where ({chosen.condition}) and ({people}) and ({span})"
