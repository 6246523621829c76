"""Retention against a plain-Python reference, one user at a time, over random histories and time zones."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import engage
from engage.analysis import retention_sql
from tests.examples import tried
from tests.lakes import empty

ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kolkata")
START = datetime(2026, 3, 25, tzinfo=UTC)  # summer time begins in Europe on 29 March
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
Selector = str | None | Mapping[str, Any]


@dataclass(frozen=True)
class Event:
    """Something a user did, with one property or without."""

    user: str
    name: str
    moment: datetime
    plan: str | None


_workspaces: dict[str, engage.Workspace] = {}


def workspace_in(zone: str) -> engage.Workspace:
    """One workspace a zone; its lake is emptied between examples."""
    if zone not in _workspaces:
        folder = Path(tempfile.mkdtemp(prefix="engage-reference-"))
        _workspaces[zone] = engage.Workspace.create(folder / "w", timezone=zone)
    workspace = _workspaces[zone]
    empty(workspace, "events")
    return workspace


def land(workspace: engage.Workspace, events: list[Event]) -> None:
    workspace.land_events(
        [
            {"user_id": event.user, "event_name": event.name, "event_time": event.moment}
            | ({"properties": {"plan": event.plan}} if event.plan else {})
            for event in events
        ]
    )


def number(moment: datetime, period: str, zone: str, week_start: int) -> int:
    """The number of a local hour, day, week (from that weekday on, Monday being 0) or month."""
    local = moment.astimezone(ZoneInfo(zone))
    if period == "hour":
        minutes = int(ZoneInfo(zone).utcoffset(datetime(2024, 1, 1)).total_seconds()) // 60 % 60  # type: ignore[union-attr]  # noqa: DTZ001
        return int((moment.timestamp() + minutes * 60) // 3600)
    day = (local.date() - date(1970, 1, 1)).days
    return {"day": day, "week": (day + 3 - week_start) // 7, "month": local.year * 12 + local.month - 1}[period]


@dataclass(frozen=True)
class Asked:
    """One question, as the reference takes it."""

    zone: str
    start: Selector
    back: Selector
    period: str
    periods: int
    kind: str
    mode: str
    brackets: tuple[int, ...]
    window: str
    week_start: int
    minimum: int
    where: Mapping[str, str]
    breakdown: bool
    since: datetime | None
    last: datetime
    cohorts: int | None

    def meets(self, event: Event, selector: Selector, *, bare: bool = False) -> bool:
        """Whether an event is one that starts or returns; `bare`, by its name alone."""
        name = selector["event"] if isinstance(selector, Mapping) else selector
        own = selector["where"] if isinstance(selector, Mapping) else {}
        wanted = [] if bare else [*self.where.values(), *own.values()]  # all conditions are on the plan
        return name in (None, event.name) and all(event.plan == plan for plan in wanted)

    def spans(self) -> list[tuple[int, float]]:
        """First and last period of each column after column 0."""
        if self.mode == "bracket":
            ends = list(accumulate(self.brackets))
            return [(end - length + 1, end) for end, length in zip(ends, self.brackets, strict=True)]
        return [(k, math.inf if self.mode == "on_or_after" else k) for k in range(1, self.periods)]


def expected(events: list[Event], asked: Asked) -> dict[str | None, list[list[int | None]]]:
    """By breakdown value and cohort, how many were in each column."""

    def numbered(moment: datetime) -> int:
        return number(moment, asked.period, asked.zone, asked.week_start)

    end = numbered(asked.last)
    first = numbered(asked.since) if asked.since else end - (asked.cohorts or asked.periods) + 1
    final = min(first + asked.cohorts - 1, end) if asked.cohorts else end
    cells: dict[tuple[str | None, int, int], set[str]] = {}
    for user in {event.user for event in events}:
        mine = sorted((event for event in events if event.user == user), key=lambda event: event.moment)
        starts = [event for event in mine if asked.meets(event, asked.start)]
        if asked.kind == "first_ever":
            named = [event for event in mine if asked.meets(event, asked.start, bare=True)]
            starts = [event for event in named[:1] if event in starts]
        elif asked.kind == "first_time":
            starts = starts[:1]
        starts = [event for event in starts if first <= numbered(event.moment) <= final]
        if asked.window == "24h":
            starts = starts[:1]
        came = [event for event in mine if asked.meets(event, asked.back) and first <= numbered(event.moment) <= end]
        for begun in starts:
            cohort = numbered(begun.moment)
            if asked.window == "24h":
                length = {"hour": 3600, "day": 86_400, "week": 604_800}[asked.period]
                later = [(event.moment - begun.moment) // timedelta(seconds=length) for event in came]
            else:
                later = [numbered(event.moment) - cohort for event in came]
            reached = {k for k, times in Counter(later).items() if times >= asked.minimum}
            value = begun.plan if asked.breakdown else None
            cells.setdefault((value, cohort, 0), set()).add(user)
            for column, (low, high) in enumerate(asked.spans(), 1):
                if any(low <= k <= high for k in reached):
                    cells.setdefault((value, cohort, column), set()).add(user)
    columns = [0, *(low for low, _ in asked.spans())]
    return {
        value: [
            [
                len(cells.get((value, cohort, column), ())) if cohort + low <= end else None
                for column, low in enumerate(columns)
            ]
            for cohort in range(first, final + 1)
        ]
        for value in {value for value, _, _ in cells} or {None}
    }


moments = st.integers(0, 20 * 24 * 60).map(lambda minutes: START + timedelta(minutes=minutes))
plans = st.sampled_from(["free", "pro", None])
histories = st.lists(
    st.builds(Event, st.sampled_from("abcd"), st.sampled_from("xyz"), moments, plans),
    min_size=1, max_size=40, unique_by=lambda event: (event.user, event.moment),
)  # fmt: skip


def selectors(names: str) -> st.SearchStrategy[Selector]:
    """A name, any event, or a name with a condition."""
    conditional = st.fixed_dictionaries(
        {"event": st.sampled_from(names), "where": st.sampled_from([{}, {"plan": "pro"}])}
    )
    return st.one_of(st.sampled_from([*names, None]), conditional)


questions = st.builds(
    Asked,
    zone=st.sampled_from(ZONES),
    start=selectors("xy"),
    back=selectors("xz"),
    period=st.sampled_from(["hour", "day", "week", "month"]),
    periods=st.integers(1, 12),
    kind=st.sampled_from(["recurring", "first_time", "first_ever"]),
    mode=st.sampled_from(["on", "on_or_after", "bracket"]),
    brackets=st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple),
    window=st.sampled_from(["calendar", "calendar", "24h"]),
    week_start=st.integers(0, 6),
    minimum=st.integers(1, 2),
    where=st.sampled_from([{}, {}, {"plan": "free"}]),
    breakdown=st.booleans(),
    since=st.none() | st.integers(0, 9).map(lambda day: START + timedelta(days=day, hours=3)),
    last=st.just(START + timedelta(days=9, hours=7)),
    cohorts=st.none() | st.integers(1, 12),
).filter(lambda asked: not (asked.window == "24h" and asked.period == "month"))


@tried(45)
@given(histories, questions, st.booleans())
def test_it_agrees_with_the_reference(events: list[Event], asked: Asked, is_long: bool) -> None:
    workspace = workspace_in(asked.zone)
    land(workspace, events)
    with pytest.MonkeyPatch.context() as patch:
        if is_long and asked.window == "calendar":
            patch.setattr(retention_sql, "WORD", -1)  # take the road for long spans
        table = workspace.retention(
            start_event=asked.start, return_event=asked.back, period=asked.period, periods=asked.periods,
            kind=asked.kind, mode=asked.mode, brackets=asked.brackets if asked.mode == "bracket" else None,
            window=asked.window, week_start=WEEKDAYS[asked.week_start],
            date_from=asked.since, date_to=asked.last, cohorts=asked.cohorts,
            minimum_occurrences=asked.minimum, where=asked.where, breakdown="plan" if asked.breakdown else None,
        )  # fmt: skip
    by_value = table.partition_by("breakdown", as_dict=True, include_key=False) if asked.breakdown else {(None,): table}
    got = {
        value: [rows["users"].to_list() for _, rows in found.group_by("cohort", maintain_order=True)]
        for (value,), found in by_value.items()
    }
    assert got == (expected(events, asked) if got or not asked.breakdown else {})


def test_a_span_longer_than_a_word_is_answered_too() -> None:
    workspace = workspace_in("UTC")
    days = [0, 1, 150, 299]
    workspace.land_events(
        [{"user_id": "a", "event_name": "x", "event_time": START + timedelta(days=day)} for day in days]
    )
    table = workspace.retention(
        start_event="x", return_event="x", periods=300, kind="first_time", date_to=START + timedelta(days=299)
    )
    row = table.filter(table["size"] > 0)
    assert [k for k, users in zip(row["period"], row["users"], strict=True) if users] == days


@tried(15)
@given(histories, questions, st.integers(1, 300))
def test_what_is_over_stays_as_it_is(events: list[Event], asked: Asked, hours: int) -> None:
    workspace = workspace_in(asked.zone)
    land(workspace, events)

    def at(moment: datetime) -> pl.DataFrame:
        return workspace.retention(
            start_event="x", return_event=None, period=asked.period, periods=asked.periods, kind=asked.kind,
            mode=asked.mode, brackets=asked.brackets if asked.mode == "bracket" else None, window=asked.window,
            date_from=START, cohorts=12, with_ongoing=True, as_of=moment,
        )  # fmt: skip

    early, late = at(START + timedelta(hours=hours)), at(START + timedelta(days=80))
    both = early.join(late, on=["cohort", "period"], suffix="_late")
    over = both.filter(~pl.col("is_ongoing"))
    assert over["users"].to_list() == over["users_late"].to_list()
    assert both["is_ongoing"].is_null().equals(both["users"].is_null())


def test_it_is_told_which_periods_are_not_over() -> None:
    workspace = workspace_in("UTC")
    workspace.land_events([{"user_id": "a", "event_name": "x", "event_time": START}])

    def ongoing(hours: int, **question: Any) -> list[list[bool | None]]:
        asked: dict[str, Any] = {"periods": 3, "date_from": START, "cohorts": 3, "with_ongoing": True, **question}
        table = workspace.retention(as_of=START + timedelta(hours=hours), **asked)
        return [rows["is_ongoing"].to_list() for _, rows in table.group_by("cohort", maintain_order=True)]

    days = [[False, False, True], [False, True, None], [True, None, None]]
    assert ongoing(60) == days
    assert ongoing(72) == [[False, False, False], [False, False, None], [False, None, None]]
    assert ongoing(72, window="24h", start_event="x") == [
        [False, False, True],
        [False, True, None],
        [False, None, None],
    ]
    assert ongoing(72, mode="bracket", brackets=[2]) == [[False, False], [False, True], [False, None]]
    assert ongoing(72, mode="on_or_after")[0] == [False, True, True]


@tried(10)
@given(histories, st.sampled_from(ZONES), st.sampled_from(["recurring", "first_time", "first_ever"]), st.booleans())
def test_a_segment_and_the_rest_are_everyone(events: list[Event], zone: str, kind: str, is_some: bool) -> None:
    workspace = workspace_in(zone)
    land(workspace, events)
    path = workspace.settings.sql / "segments" / "chosen.sql"
    path.write_text("-- grain: user_id\nselect user_id from events where user_id in ('a', 'b')")
    asked: dict[str, Any] = {
        "start_event": "x", "return_event": "y" if is_some else None, "periods": 4, "kind": kind,
        "date_to": START + timedelta(days=9),
    }  # fmt: skip
    compared = workspace.retention(segment="chosen", against_rest=True, **asked)
    assert compared["breakdown"].unique(maintain_order=True).to_list() == ["chosen", "rest"]
    chosen, rest = compared.partition_by("breakdown", include_key=False)
    assert chosen.equals(workspace.retention(segment="chosen", **asked))
    everyone = workspace.retention(**asked)
    assert (chosen["users"] + rest["users"]).equals(everyone["users"])
    assert (chosen["size"] + rest["size"]).equals(everyone["size"])


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ({}, "no rest of everyone"),
        ({"segment": "big_spenders", "breakdown": "plan"}, "cannot both"),
        ({"label": "News"}, "give start_event"),
    ],
)
def test_a_rest_that_there_is_not_is_told(question: dict[str, Any], told: str) -> None:
    with pytest.raises(engage.EngageError, match=told):
        workspace_in("UTC").retention(against_rest=True, **question)
