"""People inside an older version of a journey, taken over into the newest or out of it."""

from __future__ import annotations

from datetime import datetime, timedelta

from engage.errors import PlanError
from engage.journeys.graph import LEFT, Exit, Journey, Wait
from engage.journeys.record import Record, State
from engage.lake.schema import TRANSITIONS
from engage.query.engine import Engine
from engage.query.files import literal

__all__ = ["migrate"]


def migrate(
    engine: Engine, record: Record, journey: Journey, state: State, clock: datetime, *, inside: str, to: str | None
) -> int:
    """Record that everyone inside an older version moved over, or left, when the newest was published.

    A wait for a length of time counts from when it began, so that nobody waits anew; any other node begins.

    Args:
        engine: What answers.
        record: Whose.
        journey: The newest version.
        state: What was decided; its last version is the newest.
        clock: When it was published.
        inside: ``move`` or ``leave``.
        to: The node all move to; None for the node of the same name. Who is at one that is no more leaves.

    Returns:
        How many people it concerned.

    Raises:
        PlanError: There is no such node.
    """
    if to is not None and to not in journey.nodes:
        raise PlanError(f"there is no node {to!r} to move to", where=journey.journey_id)
    names = [] if inside == "leave" else [to] if to else list(journey.nodes)
    target = literal(to) if to else "node"
    cases = [f"when not list_contains({literal(names or [''])}, {target}) then null"]
    for name in names:
        does = journey.nodes[name].does
        if isinstance(does, Exit):
            cases.append(f"when {target} = {literal(name)} then null")
        elif isinstance(does, Wait) and does.length is not None:
            us = int(does.length.total_seconds() * 1_000_000)
            began = f"case when node = {literal(name)} then entered_at else {literal(clock)} end"
            cases.append(
                f"when {target} = {literal(name)} then greatest({literal(clock)}, {began} + to_microseconds({us}))"
            )
    newest = state.versions[-1].number
    there = f"list_contains({literal(names or [''])}, {target})"
    query = (
        f"select journey_id, {newest}::integer as version, user_id, entry_at, (seq + 1)::integer as seq, "
        f"case when {there} then {target} else {literal(LEFT)} end as node, node as came_from, "
        f"'version {newest}' as port, {literal(clock)} as entered_at, "
        f"case {' '.join(cases)} else {literal(clock)} end as due_at, null::varchar as detail "
        f"from ({record.walks()}) where due_at is not null and version < {newest} order by user_id, entry_at"
    )

    def write(path: object) -> int:
        engine.copy(f"select {', '.join(TRANSITIONS.names)} from ({query})", None, path)  # type: ignore[arg-type]
        return int(engine.frame(f"select count(*) from read_parquet({literal(str(path))})").item())

    # A microsecond on, so that the file has a name of its own beside the tick's that ended at the clock.
    count = record.append(clock + timedelta(microseconds=1), write)
    state.until = clock + timedelta(microseconds=1) if count else state.until
    return count
