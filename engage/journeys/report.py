"""How a journey goes: people at each node and on each way, time in nodes, one person's path."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from engage.query.engine import Engine
from engage.query.files import literal

__all__ = ["edge_counts", "node_counts", "path"]

# What is due the moment it is entered has moved on within the same tick; only of the rest the next move is looked for.
_NODES = """
with moves as ({moves}),
staying as (select distinct node from moves where due_at > entered_at),
stays as (
    select moves.version, moves.node, moves.entered_at, following.entered_at as left_at
    from (select * from moves where node in (from staying)) as moves
    left join (
        select user_id, entry_at, seq - 1 as seq, entered_at from moves where came_from in (from staying)
    ) as following using (user_id, entry_at, seq)
),
stayed as (
    select
        version, node, count(left_at) as moved_on,
        quantile_cont(epoch(left_at) - epoch(entered_at), 0.5) as median_seconds,
    from stays group by version, node
),
counted as (
    select
        version, node, min(seq) as first, count(*) as entered, count(distinct user_id) as people,
        count(due_at) as due,
    from moves group by version, node
)
select
    version, node, entered, people,
    due - coalesce(moved_on, due) as waiting, coalesce(moved_on, due) as moved_on, entered - due as ended,
    case when moved_on is not null then median_seconds when due > 0 then 0 end as median_seconds,
from counted left join stayed using (version, node)
order by version, first, entered desc, node
"""


def node_counts(engine: Engine, moves: str, *, as_of: datetime | None = None) -> pl.DataFrame:
    """People at each node.

    Args:
        engine: What answers.
        moves: SQL of the moves.
        as_of: As of then.

    Returns:
        `version`, `node`, `entered` (walks that reached it), `people`, `waiting` (there now), `moved_on`, `ended`
        (walks that ended there), `median_seconds` (spent there by those who moved on); one row a version and node.
    """
    return engine.frame(_NODES.format(moves=_until(moves, as_of)))


def edge_counts(engine: Engine, moves: str, *, as_of: datetime | None = None) -> pl.DataFrame:
    """Walks along each way: `version`, `came_from`, `port`, `node`, `walks`; one row a way."""
    return engine.frame(
        f"select version, came_from, port, node, count(*) as walks from ({_until(moves, as_of)}) "
        "where came_from is not null group by all order by all"
    )


def path(engine: Engine, moves: str, user_id: str) -> pl.DataFrame:
    """One person's walks: `entry_at`, `seq`, `node`, `came_from`, `port`, `entered_at`, `due_at`, `version`."""
    return engine.frame(
        "select entry_at, seq, node, came_from, port, entered_at, due_at, version "
        f"from ({moves}) where user_id = $user order by entry_at, seq",
        {"user": user_id},
    )


def _until(moves: str, as_of: datetime | None) -> str:
    return moves if as_of is None else f"select * from ({moves}) where entered_at < {literal(as_of)}"
