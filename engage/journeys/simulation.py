"""A journey run over what really happened, before it is switched on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from engage.journeys.advance import advance
from engage.journeys.graph import Journey
from engage.journeys.record import Record, State, Version
from engage.journeys.report import edge_counts, node_counts
from engage.query.engine import Engine
from engage.query.files import literal

__all__ = ["Simulation", "compared", "simulate"]


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a journey would have done.

    Args:
        entries: How many would have entered.
        moves: How many moves they would have made.
        nodes: As of :func:`engage.journeys.report.node_counts`.
        edges: As of :func:`engage.journeys.report.edge_counts`.
        inside: `day`, `node`, `people` who were there at the end of the day; one row a day and node.
        messages: `node`, `channel`, `messages` (before consent, caps and quiet hours are asked), `held_out`,
            `busiest_hour` (the most in one hour), `cost`; one row a message node.
        sample: `node`, `user_id`, `entered_at` of the first who would have been sent something, up to 100.
    """

    entries: int
    moves: int
    nodes: pl.DataFrame
    edges: pl.DataFrame
    inside: pl.DataFrame
    messages: pl.DataFrame
    sample: pl.DataFrame


def simulate(
    engine: Engine,
    journey: Journey,
    values: Mapping[str, Any],
    since: datetime,
    until: datetime,
    *,
    step: timedelta | None = None,
    prices: Mapping[str, float] | None = None,
    drafts: Mapping[str, str] | None = None,
) -> Simulation:
    """Run a journey over a span of history with the same SQL as the tick; nothing is sent or recorded.

    Conditions on segments and channels are asked at the end of each step; on message views nothing is known, so they
    are not met. All else is exact whatever the step.

    Args:
        engine: What answers.
        journey: Which.
        values: Its file, as TOML values.
        since: From when.
        until: Until before when.
        step: How far each tick goes; None for all in one.
        prices: A message's price by channel.
        drafts: SQL of segments that have no file yet, by name.
    """
    name = journey.journey_id
    with Record(engine.settings, name).scratch() as folder:
        record = Record(engine.settings, name, folder / "record")
        state = State([Version(1, since, dict(values))], since)
        reached = since
        while reached < until:
            reached = min(reached + step, until) if step else until
            advance(engine, record, state, reached, ordered=False, drafts=drafts)
            if reached < until:
                record.tidy(engine)
        moves = record.moves()
        counts = engine.frame(f"select count(*) filter (seq = 0), count(*) from ({moves})").row(0)
        return Simulation(
            int(counts[0]),
            int(counts[1]),
            node_counts(engine, moves),
            edge_counts(engine, moves),
            engine.frame(_INSIDE.format(moves=moves, since=literal(since), until=literal(until))),
            _messages(engine, journey, moves, prices or {}),
            _sample(engine, journey, moves),
        )


_INSIDE = """
with stays as (
    select node, entered_at, due_at, lead(entered_at) over (partition by user_id, entry_at order by seq) as left_at
    from ({moves})
),
changes as (
    select local_date(entered_at) as day, node, count(*) as n from stays where due_at is not null group by all
    union all
    select local_date(left_at) as day, node, -count(*) as n from stays
    where due_at is not null and left_at is not null group by all
),
days as (
    select unnest(
        generate_series(local_date({since}), local_date({until} - interval 1 microsecond), interval 1 day)
    )::date as day
),
nodes as (select distinct node from changes)
select days.day, nodes.node, coalesce(sum(changes.n), 0)::bigint as people
from days cross join nodes left join changes on changes.node = nodes.node and changes.day <= days.day
group by all having people > 0 order by all
"""


def _messages(engine: Engine, journey: Journey, moves: str, prices: Mapping[str, float]) -> pl.DataFrame:
    held = "('0x' || left(sha256('control:' || journey_id || ':' || user_id), 8))::ubigint / 4294967296.0"
    share = journey.control_percent / 100
    hours = engine.frame(
        f"select node, date_trunc('hour', entered_at) as hour, count(*) filter ({held} >= {share}) as messages, "
        f"count(*) filter ({held} < {share}) as held_out from ({moves}) "
        f"where list_contains($nodes, node) group by all",
        {"nodes": list(journey.messages) or [""]},
    )
    found = hours.group_by("node").agg(
        pl.col("messages").sum(), pl.col("held_out").sum(), pl.col("messages").max().alias("busiest_hour")
    )
    channels = {node: str(journey.messages[node].does.channel) for node in found["node"]}  # type: ignore[union-attr]
    costs = [n * prices.get(channels[node], 0.0) for node, n in zip(found["node"], found["messages"], strict=True)]
    return (
        found.with_columns(
            pl.col("node").replace_strict(channels, return_dtype=pl.String).alias("channel")
            if channels
            else pl.lit("").alias("channel"),
            pl.Series("cost", costs, pl.Float64),
        )
        .select("node", "channel", "messages", "held_out", "busiest_hour", "cost")
        .sort("node")
    )


def _sample(engine: Engine, journey: Journey, moves: str) -> pl.DataFrame:
    return engine.frame(
        f"select node, user_id, entered_at from ({moves}) where list_contains($nodes, node) "
        "order by entered_at, user_id limit 100",
        {"nodes": list(journey.messages) or [""]},
    )


def compared(first: Simulation, second: Simulation) -> pl.DataFrame:
    """Two versions of a journey over the same span, side by side.

    Returns:
        `node`, `channel` (of message nodes), and of each version `entered`, `messages`, `cost`, suffixed `_first` and
        `_second`; null where a version has no such node. One row a node, in the order people reach them.
    """

    def told(found: Simulation) -> pl.DataFrame:
        nodes = found.nodes.group_by("node", maintain_order=True).agg(pl.col("entered").sum())
        return nodes.join(found.messages.select("node", "channel", "messages", "cost"), on="node", how="left")

    both = told(first).join(
        told(second), on="node", how="full", coalesce=True, suffix="_second", maintain_order="left_right"
    )
    names = {name: f"{name}_first" for name in ("entered", "messages", "cost")}
    return both.rename(names).select(
        "node",
        pl.coalesce("channel", "channel_second").alias("channel"),
        *(f"{name}_{which}" for name in ("entered", "messages", "cost") for which in ("first", "second")),
    )
