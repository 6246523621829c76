"""Retention from the derived table of user days: the same answer as from the lake, a fraction of the reading."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime

import numpy as np
import polars as pl

from engage.analysis.bitmaps import Words, pair_counts, transposed
from engage.analysis.events import Binder
from engage.analysis.periods import Calendar
from engage.analysis.retention_sql import Question, column_spans
from engage.lake.derived.user_days import WORD, WORDS
from engage.query.derived import NOTHING, Derived
from engage.query.engine import Engine
from engage.query.files import literal
from engage.vocabulary import MESSAGE_EVENTS

__all__ = ["LONGEST", "bitmaps", "counted_by_days", "latest", "one_bit", "period_words"]

LONGEST = 1024
"""Periods; beyond, the bits of everyone would take more memory than they save time."""

_EPOCH = date(1970, 1, 1)


def latest(engine: Engine, as_of: datetime | None = None) -> datetime | None:
    """The time of the last event or message before `as_of`; None where there is none."""
    found = engine.derived_frame(lambda derived: derived.latest() if derived.is_all_visible else None, {}, as_of=as_of)
    if found is None:
        found = engine.frame("select max(event_time) from events", as_of=as_of)
    last: datetime | None = found.item()
    return last


def counted_by_days(
    engine: Engine, question: Question, binder: Binder, people: str, *, as_of: datetime | None
) -> pl.DataFrame | None:
    """Count as the statement of :func:`engage.analysis.retention_sql.query` does.

    Args:
        engine: What answers.
        question: What is asked; of its binder and people no use is made.
        binder: Holds the values of `people`.
        people: SQL condition on `user_id` that must hold beside being sent the label.
        as_of: The question's time.

    Returns:
        `breakdown` (null), `cohort`, `u0`, `u1`, …: one row a cohort that anyone is in; None where the table cannot
        tell: questions of hours, of properties, of several times a period, of campaigns.
    """
    if not _is_of_days(question):
        return None
    size = question.last - question.first + 1
    words = -(-size // WORD)

    found = engine.derived_frame(lambda derived: _query(derived, question, people), binder.params, as_of=as_of)
    if found is None:
        return None
    returns = bitmaps(found, "r", words)
    starts = bitmaps(found, "s", words) if "s0" in found.columns else returns
    counts = pair_counts(starts, returns, size, column_spans(question), until_the_end=question.mode == "on_or_after")
    table: dict[str, object] = {"cohort": np.arange(question.first, question.last + 1)}
    table |= {f"u{k}": counts[:, k] for k in range(question.columns)}
    frame = pl.DataFrame(table).with_columns(pl.lit(None, pl.String).alias("breakdown"))
    return frame.filter(pl.col("u0") > 0)


def bitmaps(found: pl.DataFrame, prefix: str, count: int) -> Words:
    """The bitmaps of `count` columns of words, ``<prefix>0``, ``<prefix>1``, …"""
    return transposed([found[f"{prefix}{k}"].to_numpy() for k in range(count)])


def one_bit(number: str, count: int) -> str:
    """SQL of `s0`, `s1`, …: words with the one bit of a period set.

    Args:
        number: SQL of the period, from 0.
        count: How many words.
    """
    return ", ".join(
        f"case when {number} between {WORD * k} and {WORD * k + WORD - 1} "
        f"then 1::ubigint << ({number} - {WORD * k})::ubigint else {NOTHING} end as s{k}"
        for k in range(count)
    )


def _is_of_days(question: Question) -> bool:
    label, campaign = question.message
    names = [question.returned] if label else [question.start, question.returned]
    return (
        question.window == "calendar"
        and question.calendar.period != "hour"
        and question.minimum == 1
        and not question.where
        and question.breakdown is None
        and campaign is None
        and (label is None or question.kind != "recurring")
        and question.last - question.first < LONGEST
        and all(name is None or (isinstance(name, str) and name not in MESSAGE_EVENTS) for name in names)
    )


def _query(derived: Derived, question: Question, people: str) -> str:
    """SQL of `r0`, `r1`, … (who came back when) and, where they differ, `s0`, `s1`, … (who started); one row a user."""
    calendar, label = question.calendar, question.message[0]
    start, end = (literal(calendar.start(number)) for number in (question.first, question.last + 1))
    words = period_words(calendar, question.first, question.last, derived.end_day)
    count = -(-(question.last - question.first + 1) // WORD)
    returned = None if question.returned is None else literal(question.returned)
    returns = ", ".join(f"m{k} as r{k}" for k in range(count))
    is_recurring = question.kind == "recurring"
    first = one_bit(f"({calendar.sql('begun_at')} - {question.first})", count)
    begun = "true"
    if not is_recurring:
        begun = f"begun_at >= {start} and begun_at < {end}"
        if not derived.is_all_visible:
            begun += f" and begun_at < {literal(derived.as_of)}"
    if label is None and question.start == question.returned:
        masks = derived.masks(returned, words, with_begun=not is_recurring)
        starts = "" if is_recurring else f", {first}"
        return f"select {returns}{starts} from ({masks}) where ({people}) and {begun}"
    masks = derived.masks(returned, words, with_begun=False)
    if label is not None:
        started = f"select user_id, {first} from ({derived.sent('Notification Sent', label)})"
    else:
        event = None if question.start is None else literal(question.start)
        own = ", ".join(f"m{k} as s{k}" for k in range(count)) if is_recurring else first
        started = f"select user_id, {own} from ({derived.masks(event, words, with_begun=not is_recurring)})"
    both = ", ".join([f"coalesce(m{k}, {NOTHING}) as r{k}" for k in range(count)] + [f"s{k}" for k in range(count)])
    return (
        f"with started as ({started} where ({people}) and {begun}), returned as ({masks}) "
        f"select {both} from started left join returned using (user_id)"
    )


def period_words(calendar: Calendar, first: int, last: int, end: date | None) -> Callable[[int], list[str]]:
    """Make SQL of words whose bits are periods, over the words of days of a year.

    Args:
        calendar: Days, weeks or months.
        first: The period of the lowest bit.
        last: The last period.
        end: Days from this one on count for nothing.

    Returns:
        For a year, as many words of 64 bits as the periods need.
    """
    begin, stop = (calendar.day(first) - _EPOCH).days, (calendar.day(last + 1) - _EPOCH).days
    if end is not None:
        stop = min(stop, (end - _EPOCH).days)
    count = -(-(last - first + 1) // WORD)

    def words(year: int) -> list[str]:
        january = (date(year, 1, 1) - _EPOCH).days
        after = (date(year + 1, 1, 1) - _EPOCH).days if year < date.max.year else january + 366
        days = range(max(begin, january), min(stop, after))
        if not days:
            return [NOTHING] * count
        if calendar.period == "day":
            return [_shifted(days, first + WORD * k, january) for k in range(count)]
        return [
            _gathered(calendar, days, range(first + WORD * k, first + WORD * k + WORD), january) for k in range(count)
        ]

    return words


def _shifted(days: range, base: int, january: int) -> str:
    """SQL of the word whose lowest bit is the day `base`."""
    terms = []
    for k in range(WORDS):
        own = january + WORD * k
        if chosen := _bits(days, max(own, base), min(own, base) + WORD, own):
            move = f"<< {own - base}" if own >= base else f">> {base - own}"
            terms.append(f"((w{k} & {chosen}::ubigint) {move}::ubigint)")
    return " | ".join(terms) or NOTHING


def _gathered(calendar: Calendar, days: range, numbers: range, january: int) -> str:
    """SQL of the word whose bits are weeks or months."""
    terms = []
    for bit, number in enumerate(numbers):
        low, high = ((calendar.day(n) - _EPOCH).days for n in (number, number + 1))
        parts = []
        for k in range(WORDS):
            own = january + WORD * k
            if chosen := _bits(days, max(own, low), min(own + WORD, high), own):
                parts.append(f"(w{k} & {chosen}::ubigint) <> 0")
        if parts:
            terms.append(f"case when {' or '.join(parts)} then {1 << bit}::ubigint else {NOTHING} end")
    return " | ".join(terms) or NOTHING


def _bits(days: range, low: int, high: int, base: int) -> int:
    """The bits of the days from `low` to before `high` that are among `days`, in the word that begins on `base`."""
    low, high = max(days.start, low), min(days.stop, high)
    return ((1 << (high - low)) - 1) << (low - base) if high > low else 0
