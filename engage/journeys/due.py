"""How long people stay at a node of a journey, as SQL: no time, a length, or until their own clock shows a time."""

from __future__ import annotations

from datetime import time

from engage.journeys.graph import AGAIN, EXIT_MET, GOAL_MET, LEFT, Exit, Journey, Wait
from engage.query.files import literal

__all__ = ["due_sql"]


def due_sql(journey: Journey, timezone: str | None) -> str:
    """SQL of when a node is left at the latest by those who enter it at `left_at`; null where the walk ends.

    Args:
        journey: The nodes; the one entered is `target`.
        timezone: The workspace's, for people whose own (`known.name`) is not known; None where no node asks for it.
    """
    cases, never = [], [GOAL_MET, EXIT_MET, AGAIN, LEFT]
    for node in journey.nodes.values():
        match node.does:
            case Wait(until=until, weekdays=weekdays) if until is not None:
                if timezone is not None:
                    cases.append(f"when {literal(node.id)} then {_clock(until, weekdays, timezone)}")
            case Wait(length=length) if length is not None:
                us = int(length.total_seconds() * 1_000_000)
                cases.append(f"when {literal(node.id)} then left_at + to_microseconds({us})")
            case Exit():
                never.append(node.id)
    ends = f"when target in ({', '.join(map(literal, never))}) then null"
    return (
        f"case {ends} else case target {' '.join(cases)} else left_at end end"
        if cases
        else f"case {ends} else left_at end"
    )


def _clock(until: time, weekdays: tuple[int, ...], timezone: str) -> str:
    """The next time a person's clock shows a time of day, on one of some weekdays."""
    zone = f"coalesce(known.name, {literal(timezone)})"
    local = f"timezone({zone}, left_at)"
    seconds = until.hour * 3600 + until.minute * 60
    clock = f"{seconds} * interval 1 second"
    late = f"case when {local}::time > time '{until:%H:%M}' then interval 1 day else interval 0 day end"
    day = f"(date_trunc('day', {local}) + {late})"
    if weekdays:
        ahead = [min((other - today) % 7 for other in weekdays) for today in range(7)]
        day = f"({day} + ({ahead})[isodow({day})] * interval 1 day)"
    return f"greatest(left_at, timezone({zone}, {day} + {clock}))"
