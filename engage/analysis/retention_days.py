"""Retention counted from words of bits: the same answer as the statement's, with everyone's periods counted at once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import polars as pl

from engage.analysis.bitmaps import Counts, Words, pair_counts
from engage.analysis.events import Binder
from engage.analysis.followed import first_counts
from engage.analysis.masks import DerivedMasks, LakeMasks, Masks, Span
from engage.analysis.retention_sql import Question, column_spans
from engage.lake.derived.user_days import WORD
from engage.query.derived import NOTHING
from engage.query.derived_reading import DerivedReading
from engage.query.engine import Engine
from engage.query.files import literal
from engage.vocabulary import MESSAGE_EVENTS

__all__ = ["LONGEST", "counted_by_days", "latest", "words_of"]

LONGEST = 1024
"""Periods; beyond, the bits of everyone would take more memory than they save time."""


def latest(engine: Engine, as_of: datetime | None = None, *, reading: DerivedReading | None = None) -> datetime | None:
    """The time of the last event or message before `as_of`; None where there is none.

    Args:
        engine: What answers.
        as_of: The question's time.
        reading: The derived tables as of then, where they are open already.
    """
    if reading is None:
        with engine.derived(as_of) as opened:
            if opened and opened.tables.is_all_visible:
                return opened.latest()
    elif reading.tables.is_all_visible:
        return reading.latest()
    recent = (as_of or datetime.now(UTC)) - timedelta(days=2)  # most often there is something, and little else to read
    last: datetime | None = None
    for since in (recent, None):
        seen = "" if since is None else f"where event_time >= {literal(since)}"
        last = engine.frame(
            f"select max(latest) from (select max(event_time) as latest from user_events {seen} "
            f"union all select max(event_time) as latest from notifications {seen})",
            as_of=as_of,
        ).item()
        if last is not None:
            break
    return last


def counted_by_days(
    engine: Engine, question: Question, binder: Binder, people: str, *, as_of: datetime | None
) -> Counts | None:
    """Count as the statement of :func:`engage.analysis.retention_sql.query` does.

    Args:
        engine: What answers.
        question: What is asked; of its binder and people no use is made.
        binder: Holds the values of `people`.
        people: SQL condition on `user_id` that must hold beside being sent the message that starts.
        as_of: The question's time.

    Returns:
        One row a cohort, from the first to the last: how many are in it, then how many returned in each column; None
        where bits cannot tell: windows of one's own, breakdowns, several times a period.
    """
    if not _is_of_bits(question):
        return None
    span = Span(question.calendar, question.first, question.last)
    found = None
    if _is_of_days(question):
        found = engine.derived_frame(
            lambda derived: _query(DerivedMasks(derived, span), question, people),
            binder.params,
            as_of=as_of,
            with_labels=any(question.message),
        )
    if found is None:
        query = _query(LakeMasks(binder, span, question.where), question, people)
        found = engine.frame(query, binder.params or None, as_of=as_of)
    returns, spans = words_of(found, "r", span.words), column_spans(question)
    ends, threads = question.mode == "on_or_after", engine.threads
    if question.kind == "recurring":
        starts = words_of(found, "s", span.words) if "s0" in found.columns else returns
        return pair_counts(starts, returns, question.cohorts, spans, until_the_end=ends, threads=threads)
    begun = found["begun"].to_numpy() if "begun" in found.columns else None
    return first_counts(begun, returns, question.cohorts, spans, until_the_end=ends)


def words_of(found: pl.DataFrame, prefix: str, count: int) -> list[Words]:
    """The columns of words ``<prefix>0``, ``<prefix>1``, …"""
    return [found[f"{prefix}{k}"].to_numpy() for k in range(count)]


def _is_of_bits(question: Question) -> bool:
    is_sent = any(question.message)
    has_conditions = bool(question.where) or isinstance(question.start, Mapping)
    return (
        question.window == "calendar"
        and question.minimum == 1
        and question.breakdown is None
        and not (is_sent and question.kind == "recurring")
        and not (has_conditions and question.kind == "first_ever")
        and question.last - question.first < LONGEST
    )


def _is_of_days(question: Question) -> bool:
    label, campaign = question.message
    names = [question.returned] if label else [question.start, question.returned]
    return (
        question.calendar.period != "hour"
        and not question.where
        and campaign is None
        and all(name is None or (isinstance(name, str) and name not in MESSAGE_EVENTS) for name in names)
    )


def _query(masks: Masks, question: Question, people: str) -> str:
    """SQL of `r0`, `r1`, … (who came back when), and who started; one row a user: where there is one period of each,
    `begun`, unless it is that of their lowest bit; else `s0`, `s1`, …, unless they are the same words.
    """
    calendar, (label, campaign) = question.calendar, question.message
    start, end = (literal(calendar.start(number)) for number in (question.first, question.first + question.cohorts))
    words = range(Span(calendar, question.first, question.last).words)
    is_recurring = question.kind == "recurring"
    at_the_time, among_bits = f"begun_at >= {start} and begun_at < {end}", _in_some(question.cohorts)
    if not any(question.message) and question.start == question.returned:
        # Whoever did nothing while people could start is in no cohort; where nothing was before, all others are in one.
        with_begun = not is_recurring and not masks.is_from_the_start
        returns = ", ".join(f"m{k} as r{k}" for k in words)
        done = masks.done(question.returned, with_begun=with_begun)
        return f"select {returns} from ({done}) where ({people}) and ({at_the_time if with_begun else among_bits})"
    first = f"({calendar.sql('begun_at')} - {question.first})::usmallint as begun"
    if any(question.message):
        started = f"select user_id, {first} from ({masks.sent('Notification Sent', label, campaign)})"
    else:
        own = ", ".join(f"m{k} as s{k}" for k in words) if is_recurring else first
        started = f"select user_id, {own} from ({masks.done(question.start, with_begun=not is_recurring)})"
    begun = among_bits if is_recurring else at_the_time
    returned = masks.done(question.returned, with_begun=False, among="user_id in (select user_id from started)")
    returns = ", ".join(f"coalesce(m{k}, {NOTHING}) as r{k}" for k in words)
    return (
        f"with started as materialized ({started} where ({people}) and ({begun})), returned as ({returned}) "
        f"select started.* exclude (user_id), {returns} from started left join returned using (user_id)"
    )


def _in_some(periods: int) -> str:
    """SQL of whether some of so many first bits of `m0`, `m1`, … are set."""
    sizes = [min(periods - low, WORD) for low in range(0, periods, WORD)]
    return " or ".join(f"(m{k} & {(1 << size) - 1}::ubigint) <> 0" for k, size in enumerate(sizes))
