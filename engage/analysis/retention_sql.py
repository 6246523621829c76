"""The SQL of retention: who began when, when they came back, and the two put together.

Returns are kept as bits, one a period, so that users who came back in the same periods are counted together; where the
span is longer than a word, as pairs of a user and a period. Both roads give the same answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engage.analysis.events import Binder, EventSet, Selector, select_events
from engage.analysis.periods import Calendar
from engage.errors import QueryError

__all__ = ["WORD", "Question", "column_spans", "query", "sent_condition"]

WORD = 127
"""Periods whose bits fit a UHUGEINT."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, with every default decided."""

    calendar: Calendar
    start: Selector
    returned: Selector
    kind: str
    mode: str
    window: str
    first: int  # number of the first cohort's period
    last: int  # number of date_to's period
    cohorts: int  # how many there are, from the first on
    columns: int  # periods, or brackets and period 0
    brackets: tuple[int, ...]
    minimum: int
    where: Mapping[str, Any]
    breakdown: str | None
    people: str = "true"  # SQL condition on user_id
    message: tuple[str | None, str | None] = (None, None)  # label and campaign of the message that starts
    binder: Binder = field(default_factory=Binder)


def query(question: Question) -> str:
    """The whole statement.

    Returns:
        SQL of `breakdown`, `cohort` (a period's number), `u0`, `u1`, …: one row a cohort that anyone is in.
    """
    starts = _starts(question)
    if question.window == "24h":
        return f"with {starts}, {_own_windows(question)} {_counted(question)}"
    road = _pairs if _is_long(question) else _masks
    return f"with {starts}, {road(question)} {_counted(question)}"


def sent_condition(binder: Binder, label: str | None, campaign: str | None, event: str = "Notification Sent") -> str:
    """SQL over notifications: a message with this label, of this campaign, was sent (or another message event)."""
    conditions = [f"event_name = {binder.bind(event)}"]
    if label:
        conditions.append(f"list_contains(labels, {binder.bind(label)})")
    if campaign:
        conditions.append(f"campaign_id = {binder.bind(campaign)}")
    return " and ".join(conditions)


def _bounds(question: Question, periods: int, time: str = "event_time") -> str:
    """SQL that keeps the events of so many periods from the first on; exact, so that files can be skipped."""
    first, end = question.calendar.start(question.first), question.calendar.start(question.first + periods)
    return f"{time} >= {question.binder.bind(first)} and {time} < {question.binder.bind(end)}"


def _starts(question: Question) -> str:
    """`starts(user_id, breakdown, cohort, begun_at)`: one row a user, cohort and breakdown value."""
    binder, calendar = question.binder, question.calendar
    label, campaign = question.message
    if label or campaign:
        chosen = EventSet("notifications", sent_condition(binder, label, campaign))
    else:
        chosen = select_events(question.start, binder, question.where)
    property_, join = "null", ""
    if question.breakdown and question.breakdown.startswith("profile."):
        pointer = binder.bind("/" + question.breakdown.removeprefix("profile."))
        join = "left join profiles using (user_id)"
        property_ = f"json_extract_string(profiles.properties, {pointer})"
    elif question.breakdown:
        property_ = f"json_extract_string(properties, {binder.bind('/' + question.breakdown)})"
    source = f"from {chosen.relation} where ({chosen.condition}) and {question.people}"
    own = "null" if join else property_
    cohort = calendar.sql("begun_at")
    if question.kind == "recurring" and question.window == "calendar":
        found = (
            f"select distinct user_id, {own} as breakdown, {calendar.sql('event_time')} as cohort, "
            f"null::timestamptz as begun_at {source} and {_bounds(question, question.cohorts)}"
        )
    elif question.kind == "first_ever":
        bare = question.start.get("event") if isinstance(question.start, Mapping) else question.start
        named = select_events(bare, binder)
        matches = f"coalesce(({chosen.condition}), false)"
        found = (
            f"select user_id, breakdown, {cohort} as cohort, begun_at from ("
            f"select user_id, min(event_time) as begun_at, arg_min_null({own}, event_time) as breakdown, "
            f"min(event_time) filter (where {matches}) as matched_at "
            f"from {named.relation} where ({named.condition}) and {question.people} group by user_id"
            f") where begun_at = matched_at and {_bounds(question, question.cohorts, 'begun_at')}"
        )
    else:
        window = _bounds(question, question.cohorts) if question.kind == "recurring" else "true"
        found = (
            f"select user_id, breakdown, {cohort} as cohort, begun_at from ("
            f"select user_id, min(event_time) as begun_at, arg_min_null({own}, event_time) as breakdown "
            f"{source} and {window} group by user_id) where {_bounds(question, question.cohorts, 'begun_at')}"
        )
    if join:
        return (
            f"begun as ({found}), "
            f"starts as (select user_id, {property_} as breakdown, cohort, begun_at from begun {join})"
        )
    return f"starts as ({found})"


def _returns(question: Question, number: str, *, joined: str = "", within: str = "true") -> str:
    """SQL of `user_id, n`: the periods each user came back in, each once."""
    chosen = select_events(question.returned, question.binder, question.where)
    having = f" having count(*) >= {question.minimum}" if question.minimum > 1 else ""
    return (
        f"select user_id, {number} as n from {chosen.relation} {joined} "
        f"where ({chosen.condition}) and user_id in (select user_id from starts) "
        f"and {_bounds(question, question.last - question.first + 1)} and {within} "
        f"group by user_id, n{having}"
    )


def _masks(question: Question) -> str:
    returns = _returns(question, question.calendar.sql("event_time"))
    return (
        f"returns as ({returns}), "
        f"masks as (select user_id, bit_or(1::uhugeint << (n - {question.first})::uhugeint) as days "
        "from returns group by user_id), "
        f"grouped as (select breakdown, cohort, "
        f"days >> (cohort - {question.first})::uhugeint as later, count(*) as users "
        "from starts left join masks using (user_id) group by all)"
    )


def _own_windows(question: Question) -> str:
    """Returns as bits of windows that begin with each user's own start."""
    if column_spans(question) and column_spans(question)[-1][1] > WORD:
        raise QueryError(f"windows of one's own reach {WORD} periods", where="retention", hint="ask for fewer periods")
    number = f"((epoch_us(event_time) - epoch_us(begun_at)) // {question.calendar.microseconds})"
    if question.mode == "on_or_after":
        number = f"least({number}, {WORD})"
    within = f"event_time >= begun_at and {number} <= {WORD}"
    returns = _returns(question, number, joined="join starts using (user_id)", within=within)
    return (
        f"returns as ({returns}), "
        "masks as (select user_id, bit_or(1::uhugeint << n::uhugeint) as later from returns group by user_id), "
        "grouped as (select breakdown, cohort, later, count(*) as users "
        "from starts left join masks using (user_id) group by all)"
    )


def _pairs(question: Question) -> str:
    """One row a user, cohort and column that they came back in, for spans longer than a word."""
    returns = _returns(question, question.calendar.sql("event_time"))
    if question.mode == "on_or_after":
        reached = (
            "select breakdown, cohort, user_id, unnest(range(1, least(max(n) - cohort, "
            f"{question.columns - 1}) + 1)) as k from starts join returns using (user_id) where n > cohort "
            "group by breakdown, cohort, user_id"
        )
    else:
        column = " ".join(
            f"when n - cohort <= {high} then {k}" for k, (_, high) in enumerate(column_spans(question), 1)
        )
        reached = (
            f"select distinct breakdown, cohort, user_id, case {column or 'when false then 0'} end as k "
            "from starts join returns using (user_id) where n > cohort"
        )
    return (
        f"returns as ({returns}), "
        f"reached as ({reached}), "
        "grouped as (select breakdown, cohort, k, count(*) as users from reached group by all "
        "union all select breakdown, cohort, 0 as k, count(*) as users from starts group by all)"
    )


def _counted(question: Question) -> str:
    if _is_long(question):
        counts = [f"users) filter (where k = {k}" for k in range(question.columns)]
    else:
        counts = ["users", *(f"users) filter (where {_hit(question, *span)}" for span in column_spans(question))]
    columns = ", ".join(f"coalesce(sum({count}), 0)::bigint as u{k}" for k, count in enumerate(counts))
    return f"select breakdown, cohort, {columns} from grouped group by all"


def _hit(question: Question, low: int, high: int) -> str:
    """SQL: some bit from `low` to `high` is set (or any from `low` on)."""
    if low > WORD:
        return "false"
    if question.mode == "on_or_after":
        return f"(later >> {low}) <> 0"
    ones = (1 << (min(high, WORD) - low + 1)) - 1
    return f"((later >> {low}) & {ones}::uhugeint) <> 0"


def _is_long(question: Question) -> bool:
    return question.window == "calendar" and question.last - question.first > WORD


def column_spans(question: Question) -> list[tuple[int, int]]:
    """First and last period of each column after column 0, counted from the cohort's."""
    if not question.brackets:
        return [(k, k) for k in range(1, question.columns)]
    spans, start = [], 1
    for length in question.brackets:
        spans.append((start, start + length - 1))
        start += length
    return spans
