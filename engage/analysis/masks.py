"""Who was here when, as words of bits, one bit a period: from the derived tables or from the lake's own rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

from engage.analysis.events import Binder, Selector, select_events
from engage.analysis.periods import Calendar
from engage.analysis.retention_sql import sent_condition
from engage.lake.derived.user_days import WORD, WORDS
from engage.query.derived import NOTHING, Derived
from engage.query.files import literal

__all__ = ["DerivedMasks", "LakeMasks", "Masks", "Span", "period_words"]

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Span:
    """Periods in a row.

    Args:
        calendar: What they are.
        first: The number of the first; it is the lowest bit.
        last: The number of the last.
    """

    calendar: Calendar
    first: int
    last: int

    @property
    def words(self) -> int:
        """How many words of 64 bits they take."""
        return -(-(self.last - self.first + 1) // WORD)


class Masks(Protocol):
    """What answers."""

    @property
    def is_from_the_start(self) -> bool:
        """Whether nothing is known to have happened before the first period."""

    def done(self, event: Selector, *, with_begun: bool, among: str = "true") -> str:
        """SQL of `user_id`, `begun_at`, `m0`, `m1`, …: one row a person who did an event.

        Args:
            event: Which; None for any activity.
            with_begun: Whether `begun_at`, their first time ever, is needed; else it is not right, and whoever did
                it in none of the periods may be missing.
            among: Condition on `user_id`; people of whom it does not hold may be missing.
        """

    def sent(self, event: str, label: str | None, campaign: str | None = None) -> str:
        """SQL of `user_id`, `begun_at`: when each person was first sent (or held out of) such a message."""


@dataclass(frozen=True, slots=True)
class DerivedMasks:
    """From the derived tables: names of user events, labels, no conditions, no hours.

    Args:
        derived: The tables.
        span: The periods.
    """

    derived: Derived
    span: Span

    @property
    def is_from_the_start(self) -> bool:
        """See :class:`Masks`."""
        first = self.derived.days.first_at
        return first is None or self.span.calendar.number(first) >= self.span.first

    def done(self, event: Selector, *, with_begun: bool, among: str = "true") -> str:
        """See :class:`Masks`."""
        words = period_words(self.span.calendar, self.span.first, self.span.last, self.derived.end_day)
        masks = self.derived.masks(None if event is None else literal(event), words, with_begun=with_begun)
        if not with_begun or self.derived.is_all_visible:
            return masks
        return f"select * from ({masks}) where begun_at < {literal(self.derived.as_of)}"

    def sent(self, event: str, label: str | None, campaign: str | None = None) -> str:
        """See :class:`Masks`."""
        return self.derived.sent(event, label or "")


@dataclass(frozen=True, slots=True)
class LakeMasks:
    """From the lake's own rows.

    Args:
        binder: Takes the values.
        span: The periods.
        where: Conditions on properties that must hold of every event.
    """

    binder: Binder
    span: Span
    where: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_from_the_start(self) -> bool:
        """See :class:`Masks`; the lake's rows would have to be asked."""
        return False

    def done(self, event: Selector, *, with_begun: bool, among: str = "true") -> str:
        """See :class:`Masks`."""
        calendar, first = self.span.calendar, self.span.first
        chosen = select_events(event, self.binder, self.where)
        end = self.binder.bind(calendar.start(self.span.last + 1))
        seen = f"event_time < {end}"
        if not with_begun:
            seen += f" and event_time >= {self.binder.bind(calendar.start(first))}"
        number = f"{calendar.sql('event_time')} - {first}"
        if self.span.words == 1 and not with_begun:
            words = "bit_or(1::ubigint << n::ubigint) as m0"
        else:
            words = ", ".join(
                f"bit_or(case when n between {WORD * k} and {WORD * k + WORD - 1} "
                f"then 1::ubigint << (n - {WORD * k})::ubigint else {NOTHING} end) as m{k}"
                for k in range(self.span.words)
            )
        begun = "min(event_time)" if with_begun else "null::timestamptz"
        return (
            f"select user_id, {begun} as begun_at, {words} from (select user_id, event_time, {number} as n "
            f"from {chosen.relation} where ({chosen.condition}) and {seen} and {among}) group by user_id"
        )

    def sent(self, event: str, label: str | None, campaign: str | None = None) -> str:
        """See :class:`Masks`."""
        condition = sent_condition(self.binder, label, campaign, event)
        return f"select user_id, min(event_time) as begun_at from notifications where {condition} group by user_id"


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
