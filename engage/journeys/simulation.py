"""A journey run over what really happened, before it is switched on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from engage.journeys.advance import advance
from engage.journeys.graph import Branch, ChannelChoice, Journey
from engage.journeys.recipients import simulated_recipients
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
        messages: `node`, `channel`, `messages` (that would have been sent), `held_out`, `excluded`, `busiest_hour` (the
            most that leave in one hour), `cost`; one row a message node and channel.
        left_out: `node`, `channel`, `reason` (no consent, a cap, quiet hours …), `messages`; one row each.
        recipients: As of :func:`engage.journeys.recipients.simulated_recipients`: one row a message.
    """

    entries: int
    moves: int
    nodes: pl.DataFrame
    edges: pl.DataFrame
    inside: pl.DataFrame
    messages: pl.DataFrame
    left_out: pl.DataFrame
    recipients: pl.DataFrame


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
    are not met. All else is exact whatever the step. Whom each message would have been sent to is asked as planning
    does; see :func:`engage.journeys.recipients.simulated_recipients`.

    Args:
        engine: What answers.
        journey: Which.
        values: Its file, as TOML values.
        since: From when.
        until: Until before when.
        step: How far each tick goes; None for all in one. Where nothing depends on it, all goes in one anyway.
        prices: A message's price by channel.
        drafts: SQL of segments that have no file yet, by name.
    """
    name = journey.journey_id
    with Record(engine.settings, name).scratch() as folder:
        record = Record(engine.settings, name, folder / "record")
        state = State([Version(1, since, dict(values))], since)
        reached = since
        step = step if _asks_at_the_end(journey) else None
        while reached < until:
            reached = min(reached + step, until) if step else until
            advance(engine, record, state, reached, ordered=False, drafts=drafts)
            if reached < until:
                record.tidy(engine)
        moves = record.moves()
        recipients = simulated_recipients(engine, journey, moves, (since, until), folder)
        counts = engine.frame(f"select count(*) filter (seq = 0), count(*) from ({moves})").row(0)
        return Simulation(
            int(counts[0]),
            int(counts[1]),
            node_counts(engine, moves),
            edge_counts(engine, moves),
            engine.frame(_INSIDE.format(moves=moves, since=literal(since), until=literal(until))),
            _messages(recipients, prices or {}),
            _left_out(recipients),
            recipients,
        )


def _asks_at_the_end(journey: Journey) -> bool:
    """Whether anything is asked as of the end of a tick, so that it matters how long one is."""
    does = [node.does for node in journey.nodes.values()]
    branches = [one for one in does if isinstance(one, Branch)]
    return any(isinstance(one, ChannelChoice) for one in does) or any(
        case.kind == "segment" for branch in branches for case in branch.cases
    )


_INSIDE = """
with changes as (
    select local_date(entered_at) as day, node, count(*) as n from ({moves}) where due_at is not null group by all
    union all  -- a move into a node is one out of where it came from
    select local_date(entered_at) as day, came_from as node, -count(*) as n from ({moves})
    where came_from is not null group by all
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


def _messages(recipients: pl.DataFrame, prices: Mapping[str, float]) -> pl.DataFrame:
    planned, hour = pl.col("planned"), pl.col("send_at").dt.truncate("1h")
    busiest = hour.filter(planned == "send").value_counts(name="n").struct.field("n").max()
    return (
        recipients.group_by("node", "channel")
        .agg(
            *((planned == word).sum().alias(name) for word, name in _PLANNED.items()),
            busiest.fill_null(0).alias("busiest_hour"),
        )
        .with_columns(
            pl.col("messages", "held_out", "excluded", "busiest_hour").cast(pl.Int64),
            (pl.col("messages") * pl.col("channel").replace_strict(prices, default=0.0)).alias("cost")
            if prices
            else pl.lit(0.0).alias("cost"),
        )
        .sort("node", "channel")
    )


_PLANNED = {"send": "messages", "held_out": "held_out", "excluded": "excluded"}


def _left_out(recipients: pl.DataFrame) -> pl.DataFrame:
    left = recipients.filter(pl.col("planned") == "excluded")
    return left.group_by("node", "channel", "reason").agg(pl.len().cast(pl.Int64).alias("messages")).sort(pl.all())


def compared(first: Simulation, second: Simulation) -> pl.DataFrame:
    """Two versions of a journey over the same span, side by side.

    Returns:
        `node`, `channel` (of message nodes), and of each version `entered`, `messages`, `cost`, suffixed `_first` and
        `_second`; null where a version has no such node. One row a node, in the order people reach them.
    """

    def told(found: Simulation) -> pl.DataFrame:
        nodes = found.nodes.group_by("node", maintain_order=True).agg(pl.col("entered").sum())
        by_node = found.messages.group_by("node", maintain_order=True)
        sent = by_node.agg(pl.col("channel").str.join(", "), pl.col("messages", "cost").sum())
        return nodes.join(sent, on="node", how="left")

    both = told(first).join(
        told(second), on="node", how="full", coalesce=True, suffix="_second", maintain_order="left_right"
    )
    names = {name: f"{name}_first" for name in ("entered", "messages", "cost")}
    return both.rename(names).select(
        "node",
        pl.coalesce("channel", "channel_second").alias("channel"),
        *(f"{name}_{which}" for name in ("entered", "messages", "cost") for which in ("first", "second")),
    )
