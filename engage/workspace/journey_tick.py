"""The tick of a journey: what falls due is recorded, then written into profiles and sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from engage.campaigns.schedule import Occurrence
from engage.delivery.summary import Summary
from engage.errors import ConfigurationError, EngageError
from engage.journeys.advance import advance
from engage.journeys.graph import Journey
from engage.journeys.messages import LATE, land_updates, message_campaign, reached
from engage.journeys.record import Record, State, stamp
from engage.workspace.base import Base, Time
from engage.workspace.open_campaign import OpenCampaign

__all__ = ["JourneyTicked", "tick_journey"]

_SETTLE = timedelta(seconds=15)  # what happened this recently may not have landed yet
_OVER = ("completed", "stopped")


@dataclass(frozen=True, slots=True)
class JourneyTicked:
    """What a tick did for one journey.

    Args:
        journey_id: The journey.
        until: How far it has come.
        moves: Moves that fell due.
        sent: Messages sent, by run.
        error: What could not be done, in one line; it is tried again next time.
    """

    journey_id: str
    until: datetime | None
    moves: int = 0
    sent: Mapping[str, int] | None = None
    error: str = ""


def tick_journey(space: Base, journey: Journey, now: Time = None) -> JourneyTicked:
    """Bring a journey up to now: record what falls due, then write profiles and send messages.

    Killed at any time, it goes on where it was: what is recorded stays, and no message is sent twice.

    Args:
        space: Where it lies.
        journey: What its file says.
        now: The clock; the present, less some seconds for what has not landed yet.
    """
    name = journey.journey_id
    played = space.moment(now)
    until = played or datetime.now(UTC) - _SETTLE
    record = Record(space.settings, name)
    with record.alone() as free:
        state = record.state()
        if not free or state.launched_at is None or journey.status != "running":
            return JourneyTicked(name, state.until)
        # What a kill left to do comes first, under the names it had; then the new moves.
        sent, error = _hand_over(space, record, state, played)
        moves = advance(space.engine, record, state, until)
        more, fault = _hand_over(space, record, state, played)
        record.save(state)
        record.tidy(space.engine)
    return JourneyTicked(name, state.until, moves, sent | more, fault or error)


def _hand_over(space: Base, record: Record, state: State, played: datetime | None) -> tuple[dict[str, int], str]:
    """Write into profiles and send what the ticks not handed over yet bring about, one tick after another.

    A run is named after its node and its tick, so after a kill the same messages have the same ids.
    """
    name = record.journey_id
    journeys, sent, error = record.journeys(state), {}, ""
    handed = state.handed or state.launched_at
    assert handed is not None
    land_updates(space.engine, space.lake, record, state, handed)
    for file in record.ticks():
        if (end := record.ended(file)) > handed:
            nodes = [(v, node) for v, node in reached(space.engine, file) if node in journeys[v].messages]
            fresh = [f"{name}-{node}-{version}x{stamp(handed)}x{stamp(end)}" for version, node in nodes]
            state.runs = list(dict.fromkeys([*state.runs, *fresh]))
            state.handed = handed = end
            record.save(state)
    over = []
    for run in state.runs:
        try:
            summary = _send(space, name, run, journeys, played)
            sent[run] = summary.sent
            if summary.state in _OVER or not summary.pending:
                over.append(run)
        except (EngageError, ConfigurationError) as fault:
            error = f"{run}: {fault}"
    state.runs = [run for run in state.runs if run not in over]
    record.save(state)
    return sent, error


def _send(space: Base, name: str, run: str, journeys: Mapping[int, Journey], played: datetime | None) -> Summary:
    """Plan a run, if that is not done, and send what is still to be sent of it."""
    due = run.removeprefix(f"{name}-")
    node, _, span = due.partition("-")
    number, begin, end = span.split("x")
    first, last = (datetime.strptime(t, "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC) for t in (begin, end))
    clock = played or datetime.now(UTC)
    journey = journeys[int(number)]
    reached_in = (max(first, clock - LATE), last)
    campaign = message_campaign(space.settings, journey, journey.nodes[node], reached_in, int(number))
    occurrence = Occurrence(due, clock)
    # What was sent at this very instant, by a run before this one, counts.
    return OpenCampaign(space, campaign).send(clock + timedelta(microseconds=1), played, occurrence=occurrence)
