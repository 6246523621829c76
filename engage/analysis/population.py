"""Whose events are counted, and over which time: conditions that several analyses share."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from engage.analysis.events import Binder
from engage.analysis.retention_sql import sent_condition
from engage.analysis.segments import Segment, find_segment
from engage.query.engine import Engine, moment
from engage.query.files import with_literals

__all__ = ["people_condition", "span_condition"]


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
        is_day = len(end) == 10 if isinstance(end, str) else not isinstance(end, datetime)
        if is_day:
            day = date.fromisoformat(end) if isinstance(end, str) else end
            ended = moment((day or date.min) + timedelta(days=1), zone)
        conditions.append(f"event_time < {binder.bind(ended)}")
    return " and ".join(conditions) or "true"
