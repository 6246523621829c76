"""One round of a tick: of everyone who just arrived somewhere, who leaves before the tick's end, when, and where to."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from engage.analysis.events import Binder
from engage.campaigns.audience import bucket_sql
from engage.journeys.due import due_sql
from engage.journeys.facts import Asked, case_selector, value_condition
from engage.journeys.graph import (
    AGAIN,
    ENTRY,
    EXIT_MET,
    GOAL_MET,
    LEFT,
    Branch,
    Case,
    ChannelChoice,
    Exit,
    Journey,
    Node,
    Split,
    Update,
    Wait,
)
from engage.query.files import literal

__all__ = ["round_sql"]

_QUERY = """
with here as ({here}),
{more}
fired as ({fired}),
ended as ({ended}),
timed as (
    select here.*,
        least(here.due_at, fired.event_at) as natural_at,
        fired.event_at is not null and fired.event_at <= here.due_at as is_event,
        least(ended.goal_at, ended.exit_at, here.ends_at) as stop_at,
        ended.goal_at, ended.exit_at,
    from here
    left join fired on fired.user_id = here.user_id and fired.entry_at = here.entry_at
    left join ended on ended.user_id = here.user_id and ended.entry_at = here.entry_at
),
leaving as (
    select *,
        coalesce(stop_at <= natural_at, false) as is_stopped,
        least(natural_at, stop_at) as left_at,
    from timed
    where least(natural_at, stop_at) < $until
),
ported as (
    select leaving.*,
        case
            when is_stopped and goal_at = stop_at then '{goal}'
            when is_stopped and exit_at = stop_at then '{exit}'
            when is_stopped then '{again}'
            {ports}
            else 'next'
        end as way,
    from leaving {joins}
),
moved as (
    select ported.*,
        case when is_stopped then way {targets} else '{left}' end as target,
    from ported
)
select
    moved.journey_id, moved.version, moved.user_id, moved.entry_at, (moved.seq + 1)::integer as seq,
    target as node, moved.node as came_from, way as port, left_at as entered_at,
    {due} as due_at,
    null::varchar as detail, moved.ends_at, moved.generation,
from moved {zones}
"""


def round_sql(
    journey: Journey,
    asked: Asked,
    binder: Binder,
    *,
    at: Collection[str],
    here: str,
    fresh: str,
    history: str,
    changes: str,
    reach: str,
    members: Mapping[str, str],
    goal: int | None,
    exits: Collection[int],
    timezone: str,
) -> str:
    """SQL of the moves of one round, in the columns of the record, and `ends_at` and `generation`.

    It has a parameter ``$until``, the end of the tick.

    Args:
        journey: Whose.
        asked: Numbers of what is asked.
        binder: Takes the values.
        at: The nodes people are at.
        here: SQL of where they are.
        fresh: SQL of the span's events; ends waits and walks.
        history: SQL of all events of the people who move; for branches.
        changes: SQL of what properties became.
        reach: SQL of the channels that reach people.
        members: SQL of `user_id` by segment.
        goal: The number of the goal, if it ends walks.
        exits: Numbers of the exit criteria.
        timezone: For those whose own is not known.
    """
    made = _Made(journey, asked, binder, history, changes, reach, members)
    nodes = [journey.nodes[name] for name in sorted(at) if name in journey.nodes]
    for node in nodes:
        made.ports_of(node)
    clocks = [node for node in journey.nodes.values() if isinstance(node.does, Wait) and node.does.until is not None]
    targets = "".join(
        f" when node = {literal(node)} and way = {literal(port)} then {literal(to)}"
        for node, port, to in journey.edges()
        if node in at
    )
    zones = ""
    if reached := {node.id for node in clocks} & {to for node, _, to in journey.edges() if node in at}:
        p = asked.property("timezone")
        made.more.append(
            "zones as (select moved.user_id, moved.entry_at, arg_max(c.value, (c.t, c.change_id)) as zone "
            f"from moved join ({changes}) as c on c.user_id = moved.user_id and c.p = {p} and c.t <= moved.left_at "
            f"where moved.target in ({', '.join(map(literal, sorted(reached)))}) group by all)"
        )
        zones = (
            "left join zones on zones.user_id = moved.user_id and zones.entry_at = moved.entry_at "
            "left join (select distinct name from pg_timezone_names()) as known "
            "on known.name = json_extract_string(zones.zone, '$')"
        )
    query = _QUERY.format(
        here=here,
        more="".join(f"{part},\n" for part in made.more if not part.startswith("zones")),
        fired=_fired(nodes, asked, fresh),
        ended=_ended(goal, exits, fresh),
        goal=GOAL_MET,
        exit=EXIT_MET,
        again=AGAIN,
        left=LEFT,
        ports=" ".join(made.ports),
        joins=" ".join(made.joins),
        targets=targets,
        due=due_sql(journey, timezone if zones else None),
        zones=zones,
    )
    if zones:  # they are asked of those who moved, so they come after them
        zone_part = next(part for part in made.more if part.startswith("zones"))
        query = query.replace("    from ported\n)\nselect", f"    from ported\n),\n{zone_part}\nselect")
    return query


def _fired(nodes: list[Node], asked: Asked, fresh: str) -> str:
    """The first event that ends each wait for one."""
    waits = [node for node in nodes if isinstance(node.does, Wait) and node.does.event is not None]
    pairs = " or ".join(
        f"(here.node = {literal(node.id)} and f.k = {asked.event(node.does.event)})"
        for node in waits
        if isinstance(node.does, Wait)
    )
    if not pairs:
        return "select ''::varchar as user_id, null::timestamptz as entry_at, null::timestamptz as event_at where false"
    return (
        "select here.user_id, here.entry_at, min(f.t) as event_at from here "
        f"join ({fresh}) as f on f.user_id = here.user_id and f.t > here.entered_at and f.t <= here.due_at "
        f"where {pairs} group by all"
    )


def _ended(goal: int | None, exits: Collection[int], fresh: str) -> str:
    """The first event that ends each walk wherever it is."""
    if goal is None and not exits:
        return (
            "select ''::varchar as user_id, null::timestamptz as entry_at, null::timestamptz as goal_at, "
            "null::timestamptz as exit_at where false"
        )
    met = f"f.k = {goal}" if goal is not None else "false"
    other = f"f.k in ({', '.join(map(str, sorted(exits)))})" if exits else "false"
    return (
        f"select here.user_id, here.entry_at, min(f.t) filter (where {met}) as goal_at, "
        f"min(f.t) filter (where {other}) as exit_at from here "
        f"join (select * from ({fresh}) as f where {met} or {other}) as f "
        "on f.user_id = here.user_id and f.t > here.entered_at group by all"
    )


class _Made:
    """The parts of a round's SQL that its branches, splits and choices add."""

    def __init__(
        self,
        journey: Journey,
        asked: Asked,
        binder: Binder,
        history: str,
        changes: str,
        reach: str,
        members: Mapping[str, str],
    ) -> None:
        self.journey, self.asked, self.binder = journey, asked, binder
        self.history, self.changes, self.reach, self.members = history, changes, reach, members
        self.more: list[str] = []
        self.joins: list[str] = []
        self.ports: list[str] = []

    def ports_of(self, node: Node) -> None:
        """Add how a node's way out is chosen; what it says of the walk's end comes before."""
        name = literal(node.id)
        match node.does:
            case Wait(event=event) if event is not None:
                self.ports.append(f"when node = {name} then case when is_event then 'next' else 'timeout' end")
            case Branch(cases=cases):
                chosen = " ".join(f"when {self._case(node, case)} then {literal(case.port)}" for case in cases)
                self.ports.append(f"when node = {name} then case {chosen} else 'else' end")
            case Split(weights=weights):
                salt = literal(f"split:{self.journey.journey_id}:{node.id}")
                share, picked = 0.0, []
                total = sum(weights.values())
                for port, weight in list(weights.items())[:-1]:
                    share += weight / total
                    picked.append(f"when {bucket_sql(salt, 'leaving.user_id')} < {share!r} then {literal(port)}")
                last = literal(list(weights)[-1])
                self.ports.append(f"when node = {name} then case {' '.join(picked)} else {last} end")
            case ChannelChoice(channels=channels, by_engagement=by_engagement):
                self.ports.append(f"when node = {name} then {self._channel(channels, by_engagement)}")

    def _joined(self, sql: str) -> str:
        name = f"c{len(self.joins)}"
        self.more.append(f"{name} as ({sql})")
        self.joins.append(
            f"left join {name} on {name}.user_id = leaving.user_id and {name}.entry_at = leaving.entry_at"
        )
        return name

    def _case(self, node: Node, case: Case) -> str:
        at = f"here.node = {literal(node.id)}"
        if case.kind == "segment":
            return f"leaving.user_id in ({self.members[str(case.segment)]})"
        if case.kind == "property":
            conditions = []
            for key, condition in case.where.items():
                p = self.asked.property(key)
                name = self._joined(
                    "select here.user_id, here.entry_at, arg_max(c.value, (c.t, c.change_id)) as value from here "
                    f"join ({self.changes}) as c on c.user_id = here.user_id and c.p = {p} "
                    f"and c.t <= here.entered_at where {at} group by all"
                )
                conditions.append(value_condition(key, condition, self.binder, f"{name}.value"))
            return f"({' and '.join(conditions)})"
        if case.kind == "message":
            k, lower = self.asked.message(str(case.message), case.did), "f.t > here.entry_at"
        else:
            k = self.asked.event(case_selector(case))
            lower = "f.t > here.entry_at" if case.within is None else "true"
            if case.within is not None and not isinstance(case.within, str):
                us = int(case.within.total_seconds() * 1_000_000)
                lower = f"f.t > here.entered_at - to_microseconds({us})"
        name = self._joined(
            f"select here.user_id, here.entry_at, count(*) as n from here join ({self.history}) as f "
            f"on f.user_id = here.user_id and f.k = {k} and f.t <= here.entered_at and {lower} where {at} group by all"
        )
        return f"coalesce({name}.n, 0) >= {case.at_least}"

    def _channel(self, channels: tuple[str, ...], by_engagement: bool) -> str:
        order = f"[{', '.join(map(literal, channels))}]"
        rank = f"list_position({order}, r.channel)"
        best = f"(-r.engaged, {rank})" if by_engagement else rank
        sql = (
            f"select r.user_id, arg_min(r.channel, {best}) as channel from ({self.reach}) as r "
            f"where list_contains({order}, r.channel) group by r.user_id"
        )
        name = f"c{len(self.joins)}"
        self.more.append(f"{name} as ({sql})")
        self.joins.append(f"left join {name} on {name}.user_id = leaving.user_id")
        return f"coalesce({name}.channel, 'none')"


def updates(journey: Journey) -> dict[str, Update]:
    """The nodes that write into profiles."""
    return {name: node.does for name, node in journey.nodes.items() if isinstance(node.does, Update)}


def is_at_once(journey: Journey, node: str) -> bool:
    """Whether a node is left the moment it is entered."""
    return node == ENTRY or (node in journey.nodes and not isinstance(journey.nodes[node].does, (Wait, Exit)))
