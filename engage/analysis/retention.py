"""Retention: of those who began in a period, how many came back in the periods after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Any

import numpy as np
import polars as pl

from engage.analysis.bitmaps import Counts
from engage.analysis.events import Binder, Selector
from engage.analysis.periods import Calendar
from engage.analysis.retention_days import counted_by_days, latest
from engage.analysis.retention_sql import Question, query, sent_condition
from engage.analysis.retention_table import by_value, retention_table
from engage.analysis.segments import Segment, find_segment
from engage.errors import QueryError
from engage.query.engine import Engine
from engage.query.files import with_literals
from engage.vocabulary import Event
from engage.windows import moment

__all__ = ["UNSET", "Unset", "retention"]

_KINDS = ("recurring", "first_time", "first_ever")
_MODES = ("on", "on_or_after", "bracket")


class Unset(Enum):
    """The type of :data:`UNSET`, which differs from None: None means any event."""

    UNSET = "unset"


UNSET = Unset.UNSET


def retention(
    engine: Engine,
    *,
    start_event: Selector | Unset = UNSET,
    return_event: Selector | Unset = UNSET,
    period: str = "day",
    periods: int = 11,
    date_from: str | date | datetime | None = None,
    date_to: str | date | datetime | None = None,
    cohorts: int | None = None,
    kind: str | None = None,
    mode: str = "on",
    brackets: Sequence[int] | None = None,
    window: str = "calendar",
    week_start: str | int | None = None,
    minimum_occurrences: int = 1,
    where: Mapping[str, Any] | None = None,
    segment: str | Segment | None = None,
    label: str | None = None,
    campaign: str | None = None,
    breakdown: str | None = None,
    against_rest: bool = False,
    with_ongoing: bool = False,
    as_of: datetime | None = None,
) -> pl.DataFrame:
    """Count, for each cohort, the users who came back.

    Args:
        engine: What answers.
        start_event: What puts a user into a cohort; None for any activity. With `label` or `campaign` and nothing
            said, being sent such a message.
        return_event: What counts as coming back; None, or nothing said, for any activity.
        period: hour, day, week or month, in the workspace's time zone.
        periods: How many periods a row has, period 0 included, and how many cohorts there are when `date_from` is not
            given, nor `cohorts`.
        date_from: The first cohort's time; by default so that there are `periods` cohorts, or `cohorts`.
        date_to: The last time that is looked at, its whole period included; the last event's by default. Periods that
            begin later are null.
        cohorts: How many cohorts there are, from the first on; by default one for each period until `date_to`. With
            30 cohorts of 31 periods from 1 January, and 1 March for `date_to`, all of them are followed to their end.
        kind: ``recurring``, a user is in the cohort of every period with the start event; ``first_time``, only in
            that of their first one ever; ``first_ever``, the same, and their very first event of that name must
            itself meet the conditions. By default recurring; for a label or campaign first_time.
        mode: ``on``, came back in that very period; ``on_or_after``, in it or later; ``bracket``, within brackets.
        brackets: Lengths in periods, e.g. [4, 10, 3] for periods 1–4, 5–14, 15–17.
        window: ``calendar`` periods, or ``24h`` windows (one period long) from each user's own first start event.
        week_start: The weekday a week begins on; the workspace's by default.
        minimum_occurrences: How often the return event must happen in a period.
        where: Conditions on the properties of start and return events; where a message starts, of return events.
        segment: Only users of this segment: its name, or a segment as :func:`find_segment` opens it.
        label: Only users sent a message with this label.
        campaign: Only users sent this campaign.
        breakdown: A property of the start event, or ``profile.<property>``; a table for each of its values.
        against_rest: Beside those of `segment`, `label` and `campaign`, count everyone else: two tables, of which
            `breakdown` says the name of the first and "rest". People held out of a campaign are among the rest.
        with_ongoing: Tell which periods are not over.
        as_of: See only what happened before then.

    Returns:
        One row a cohort and period, oldest cohort first: `cohort` (date; for hours datetime in the workspace's time
        zone), `size`, `period` (0, 1, …), `users`, `rate` (users / size). Period 0 is the cohort's size. `users` and
        `rate` are null for a period that begins after `date_to`, `rate` also where `size` is 0. With `breakdown` a
        first column `breakdown`. With `with_ongoing` a last one, `is_ongoing`: whether more may come to be counted,
        since what is known ends before the period does (in 24-hour windows, before the cohort's last one may do);
        null as `users` is.

    Raises:
        QueryError: An argument is not one of those there are.
    """
    if periods < 1 or minimum_occurrences < 1 or (cohorts is not None and cohorts < 1):
        raise QueryError("periods, cohorts and minimum_occurrences are at least 1", where="retention")
    if (mode == "bracket") != bool(brackets):
        raise QueryError("brackets and mode='bracket' go together", where="retention", hint="give both or neither")
    names = [one for one in (segment if isinstance(segment, str | None) else segment.name, label, campaign) if one]
    kind, start_event = _label_defaults(kind, start_event, label, campaign, where)
    is_message = bool(label or campaign) and start_event == Event.NOTIFICATION_SENT.value
    for value, allowed in ((kind, _KINDS), (mode, _MODES), (window, ("calendar", "24h"))):
        if value not in allowed:
            raise QueryError(f"{value!r} is not one of {', '.join(allowed)}", where="retention")
    if against_rest and (breakdown is not None or not names or is_message):
        fault = (
            "a breakdown and the rest cannot both be told apart" if breakdown is not None
            else "the rest were not sent the message, so that cannot be what starts" if is_message
            else "there is no rest of everyone"
        )  # fmt: skip
        hint = "give start_event" if is_message else "give a segment, label or campaign, and no breakdown"
        raise QueryError(fault, where="retention", hint=hint)
    calendar = Calendar.of(period, engine.settings, week_start)
    last = calendar.number(_last_moment(engine, date_to, as_of))
    begun = moment(date_from, engine.settings.timezone)
    first = calendar.number(begun) if begun else last - (cohorts or periods) + 1
    if first > last:
        raise QueryError("date_from is after date_to", where="retention")
    question = Question(
        calendar=calendar,
        start=start_event,
        returned=None if isinstance(return_event, Unset) else return_event,
        kind=kind,
        mode=mode,
        window=window,
        first=first,
        last=last,
        cohorts=min(cohorts or last - first + 1, last - first + 1),
        columns=len(brackets) + 1 if brackets else periods,
        brackets=tuple(brackets or ()),
        minimum=minimum_occurrences,
        where=where or {},
        breakdown=breakdown,
        message=(label, campaign) if is_message else (None, None),
    )

    def counted(*, is_rest: bool = False) -> tuple[list[str | None], Counts]:
        binder = Binder()
        others = _people(engine, binder, segment, None if is_message else label, campaign, is_rest)
        counts = counted_by_days(engine, question, binder, others, as_of=as_of)
        if counts is not None:
            return [None], counts[None]
        binder = Binder()
        asked = replace(question, binder=binder, people=_people(engine, binder, segment, label, campaign, is_rest))
        return by_value(asked, engine.frame(query(asked), binder.params or None, as_of=as_of))

    values, counts = counted()
    if against_rest:
        values, counts = [" and ".join(names), "rest"], np.concatenate([counts, counted(is_rest=True)[1]])
    seen = None
    if with_ongoing:
        seen = as_of or latest(engine) or datetime.now(UTC)
    return retention_table(question, values if against_rest or breakdown else None, counts, seen=seen)


def _label_defaults(
    kind: str | None,
    start: Selector | Unset,
    label: str | None,
    campaign: str | None,
    where: Mapping[str, Any] | None,
) -> tuple[str, Selector]:
    if (label or campaign) and (isinstance(start, Unset) or start == Event.NOTIFICATION_SENT.value):
        return kind or "first_time", Event.NOTIFICATION_SENT.value
    return kind or "recurring", None if isinstance(start, Unset) else start


def _last_moment(engine: Engine, date_to: str | date | datetime | None, as_of: datetime | None) -> datetime:
    given = moment(date_to, engine.settings.timezone)
    if given:
        return given
    if as_of:
        return as_of - timedelta(microseconds=1)
    return latest(engine) or datetime.now(UTC)


def _people(
    engine: Engine,
    binder: Binder,
    segment: str | Segment | None,
    label: str | None,
    campaign: str | None,
    is_rest: bool,
) -> str:
    """SQL condition on `user_id`: of those, or, with `is_rest`, of everyone else."""
    conditions = []
    if segment is not None:
        found = find_segment(engine, segment) if isinstance(segment, str) else segment
        body = with_literals(found.sql.rstrip().rstrip(";"), found.params)
        conditions.append(f"user_id in (select user_id from ({body}\n) where user_id is not null)")
    if label or campaign:
        sent = sent_condition(binder, label, campaign)
        conditions.append(f"user_id in (select user_id from notifications where {sent} and user_id is not null)")
    every = " and ".join(conditions) or "true"
    return f"not ({every})" if is_rest else every
