"""The set-based tick against one person at a time in plain Python, and one long tick against many short ones."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import engage
from engage.journeys.advance import advance
from engage.journeys.definition import journey_from
from engage.journeys.graph import AGAIN, EXIT_MET, GOAL_MET, Branch, Case, Exit, Journey, Split, Update, Wait
from engage.journeys.messages import land_updates
from engage.journeys.record import Record, State, Version
from tests.examples import tried

T0 = datetime(2026, 3, 2, tzinfo=UTC)
END = T0 + timedelta(days=12)
ZONES = ("UTC", "Asia/Tokyo", "America/Bogota")  # no change of clocks in the span
Event = tuple[datetime, str, int]
Change = tuple[datetime, dict[str, Any]]


def share(salt: str, user: str) -> float:
    return int(hashlib.sha256(f"{salt}:{user}".encode()).hexdigest()[:8], 16) / 2**32


class Person:
    """One person's history, and what the journey makes of it, step by step."""

    def __init__(self, user: str, events: list[Event], changes: list[Change]) -> None:
        self.user, self.events, self.changes = user, sorted(events), changes

    def value(self, name: str, when: datetime) -> Any:
        found = [(t, row[name]) for n, (t, row) in enumerate(self.changes) if name in row and (n == 0 or t <= when)]
        return found[-1][1] if found else None

    def entries(self, journey: Journey) -> list[datetime]:
        kept: list[datetime] = []
        for t, name, _ in self.events:
            if name == journey.entry.event and T0 <= t < END:
                gap = journey.entry.again_after
                if not kept or (gap is not None and t - kept[-1] >= gap):
                    kept.append(t)
        return kept

    def holds(self, case: Case, entry: datetime, when: datetime) -> bool:
        if case.kind == "property":
            return all(self.value(key, when) == wanted for key, wanted in case.where.items())

        def counts(t: datetime, name: str, size: int) -> bool:
            if name != case.event or t > when or (case.where and size != case.where["size"]):
                return False
            if case.within == "ever":
                return True
            return t > (entry if case.within is None else when - case.within)  # type: ignore[operator]

        return sum(counts(*event) for event in self.events) >= case.at_least

    def walk(self, journey: Journey, entry: datetime, ends: datetime | None) -> list[tuple[str, str | None, datetime]]:
        rows: list[tuple[str, str | None, datetime]] = [("entry", None, entry)]
        node, when = "entry", entry
        while True:
            does = journey.nodes[node].does if node != "entry" else None
            if isinstance(does, Exit):
                return rows
            left, port = when, "next"
            match does:
                case Wait(until=until, weekdays=days) if until is not None:
                    local = when.astimezone(ZoneInfo(self.value("timezone", when) or "UTC"))
                    due = local.replace(hour=until.hour, minute=until.minute, second=0, microsecond=0)
                    while due < local or (days and due.weekday() not in days):
                        due += timedelta(days=1)
                    left = due.astimezone(UTC)
                case Wait(length=length, event=None):
                    left = when + length  # type: ignore[operator]
                case Wait(length=length, event=event):
                    latest = when + length  # type: ignore[operator]
                    times = [t for t, name, _ in self.events if name == event and when < t <= latest]
                    left, port = (times[0], "next") if times else (latest, "timeout")
                case Branch(cases=cases):
                    port = next((case.port for case in cases if self.holds(case, entry, when)), "else")
                case Split(weights=weights):
                    cut, at = 0.0, share(f"split:{journey.journey_id}:{node}", self.user)
                    for port in weights:
                        cut += weights[port] / sum(weights.values())
                        if at < cut:
                            break
                case Update(values=values):
                    self.changes.append((when, dict(values)))
            stops = [(t, n) for t, name, _ in self.events for n, (e, _) in enumerate(ENDERS) if name == e and t > when]
            stops += [(ends, 2)] if ends else []
            if stops and min(stops)[0] <= left:
                at, which = min(stops)
                return [*rows, *([((GOAL_MET, EXIT_MET, AGAIN)[which], node, at)] if at < END else [])]
            if left >= END:
                return rows
            source, node = node, journey.entry.to if node == "entry" else journey.nodes[node].to[port]
            when = left
            rows.append((node, source, when))


ENDERS = (("won", GOAL_MET), ("lost", EXIT_MET))
BRANCHES: list[dict[str, Any]] = [
    {"event": "a"},
    {"event": "b", "within": "ever", "at_least": 2},
    {"event": "a", "within": "2 days", "where": {"size": 1}},
    {"where": {"plan": "x"}},
    {"event": "start", "within": "3 days", "at_least": 2},
]


@st.composite
def journeys(draw: st.DrawFn) -> dict[str, Any]:
    count = draw(st.integers(2, 7))
    names = [f"n{i}" for i in range(count)]
    nodes: dict[str, Any] = {"out": {"kind": "exit"}}
    for i, name in enumerate(names):
        back = [*names[: i + 1], "out"]

        def ahead(i: int = i) -> str:
            return draw(st.sampled_from([*names[i + 1 :], "out"]))

        kind = draw(st.sampled_from(["for", "until", "event", "branch", "split", "update", "join", "loop"]))
        nodes[name] = {
            "for": lambda: {
                "kind": "wait",
                "for": draw(st.sampled_from(["1 hour", "1 day", "30 hours"])),
                "to": ahead(),
            },
            "until": lambda: {
                "kind": "wait",
                "until": draw(st.sampled_from(["09:00", "18:30"])),
                "to": ahead(),
                "weekdays": draw(st.sampled_from([[], ["monday"], ["saturday", "tuesday"]])),
            },
            "event": lambda: {
                "kind": "wait",
                "event": draw(st.sampled_from("ab")),
                "timeout": draw(st.sampled_from(["1 day", "5 hours"])),
                "to": {"next": ahead(), "timeout": ahead()},
            },
            "branch": lambda: {
                "kind": "branch",
                "to": {"yes": ahead(), "too": ahead(), "else": ahead()},
                "cases": [{"port": p, **draw(st.sampled_from(BRANCHES))} for p in ("yes", "too")],
            },
            "split": lambda: {"kind": "split", "weights": {"l": 1, "r": 2}, "to": {"l": ahead(), "r": ahead()}},
            "update": lambda: {"kind": "update", "set": {"plan": draw(st.sampled_from("xy"))}, "to": ahead()},
            "join": lambda: {"kind": "join", "to": ahead()},
            "loop": lambda back=back: {"kind": "wait", "for": "40 hours", "to": draw(st.sampled_from(back))},
        }[kind]()
    again = draw(st.sampled_from([None, "1 hour", "2 days"]))
    return {
        "entry": {"event": "start", "to": "n0", **({"again_after": again} if again else {})},
        "goal": {"event": "won"},
        "exit": {"events": ["lost"]},
        "nodes": nodes,
    }


hours = st.integers(-72, 12 * 24 - 1).map(lambda h: T0 + timedelta(hours=h))
histories = st.lists(
    st.lists(
        st.tuples(hours, st.sampled_from(["start", "start", "a", "b", "won", "lost"]), st.integers(0, 1)), max_size=9
    ),
    min_size=1,
    max_size=4,
)


# Where ticks end, in minutes: a few, since a time-out amid hundreds of them would look like a fault of the journey.
cuts = st.lists(st.integers(1, 12 * 24 * 60 - 1), min_size=1, max_size=8, unique=True).map(sorted)


@tried(15)
@given(values=journeys(), history=histories, cuts=cuts, late=st.booleans())
def test_agrees_with_one_person_at_a_time(
    tmp_path_factory: pytest.TempPathFactory,
    values: dict[str, Any],
    history: list[list[Event]],
    cuts: list[int],
    late: bool,
) -> None:
    with told_whole():
        compare(engage.Workspace.create(tmp_path_factory.mktemp("w") / "w"), values, history, cuts, late)


def test_agrees_in_many_short_ticks(workspace: engage.Workspace) -> None:
    wait = {"kind": "wait", "event": "a", "timeout": "5 hours", "to": {"next": "split", "timeout": "morning"}}
    values = {
        "entry": {"event": "start", "to": "wait", "again_after": "1 hour"},
        "goal": {"event": "won"},
        "exit": {"events": ["lost"]},
        "nodes": {
            "wait": wait,
            "split": {"kind": "split", "weights": {"l": 1, "r": 2}, "to": {"l": "morning", "r": "known"}},
            "morning": {"kind": "wait", "until": "09:00", "weekdays": ["monday"], "to": "known"},
            "known": {
                "kind": "branch",
                "cases": [{"port": "yes", "where": {"plan": "x"}}],
                "to": {"yes": "out", "else": "set"},
            },
            "set": {"kind": "update", "set": {"plan": "x"}, "to": "out"},
            "out": {"kind": "exit"},
        },
    }
    times = [("start", 3), ("a", 5), ("start", 30), ("won", 44), ("start", 50), ("start", 51), ("a", 52), ("lost", 99)]
    history = [[(T0 + timedelta(hours=h + n), name, h % 2) for name, h in times[n:]] for n in range(3)]
    compare(workspace, values, history, list(range(60, 5 * 24 * 60, 150)), late=True)


@contextmanager
def told_whole() -> Iterator[None]:
    """A failure tells every cause down to the first: when it does not come again, its text is all there is."""
    try:
        yield
    except Exception as error:
        raise AssertionError("".join(traceback.format_exception(error))) from error


def compare(
    workspace: engage.Workspace, values: dict[str, Any], history: list[list[Event]], cuts: list[int], late: bool
) -> None:
    """The set-based tick, over all at once and cut at these minutes, says what one person at a time does."""
    journey = journey_from(workspace.settings, "j", values, "test")
    people, events, profiles = [], [], []
    for n, rows in enumerate(history):
        first: dict[str, Any] = {"timezone": ZONES[n % 3]} | ({"plan": "x"} if n % 2 else {})
        changes = [(T0 - timedelta(days=5), first), (T0 + timedelta(days=2, minutes=7), {"plan": "xy"[n % 2]})]
        # Every event at a minute of its own, so that the two need not agree on what comes first.
        told = [(t + timedelta(minutes=k), name, size) for k, (t, name, size) in enumerate(rows)]
        profiles += [{"user_id": f"u{n}", "changed_at": t, **row} for t, row in changes]
        for t, name, size in told:
            events.append(
                {
                    "user_id": f"u{n}",
                    "event_name": name,
                    "event_time": t,
                    "received_at": t,
                    "properties": {"size": size},
                }
            )
            if late:  # half an hour late: it counts from when it was received
                events[-1]["event_time"] = t - timedelta(minutes=30)
        people.append(Person(f"u{n}", told, changes))
    if events:
        workspace.land_events(events)
    workspace.land_profiles(profiles)
    wanted = []
    for person in people:
        entries = person.entries(journey)
        for k, entry in enumerate(entries):
            ends = entries[k + 1] if k + 1 < len(entries) else None
            wanted += [(person.user, entry, seq, *row) for seq, row in enumerate(person.walk(journey, entry, ends))]
    found = ticked(workspace, values, "one", [])
    assert [row[:6] for row in found] == sorted(wanted)
    assert ticked(workspace, values, "many", cuts) == found


def erase_updates(workspace: engage.Workspace) -> None:
    for file in workspace.settings.lake.glob("profiles/*/*.parquet"):
        if pq.read_table(file, columns=["source"]).filter(pc.field("source") == "journey:j").num_rows:
            file.unlink()


def ticked(workspace: engage.Workspace, values: dict[str, Any], name: str, cuts: list[int]) -> list[tuple[Any, ...]]:
    """Every move, after ticks that end at these minutes and at the end."""
    record = Record(workspace.settings, "j", workspace.settings.lake / name)
    erase_updates(workspace)
    state = State([Version(1, T0, values)], T0)
    for until in (*(T0 + timedelta(minutes=cut) for cut in cuts), END):
        advance(workspace.engine, record, state, until)
        land_updates(workspace.engine, workspace.lake, record, state)
    query = (
        f"select user_id, entry_at, seq, node, came_from, entered_at, due_at from ({record.moves()}) order by 1, 2, 3"
    )
    return workspace.engine.frame(query).rows()
