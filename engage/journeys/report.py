"""How a journey goes: people at each node and on each way, time in nodes, one person's path."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from engage.query.engine import Engine
from engage.query.files import literal

__all__ = ["edge_counts", "node_counts", "path"]

_NODES = """
with moves as ({moves}),
walked as (
    select *, lead(entered_at) over (partition by user_id, entry_at order by seq) as left_at from moves
)
select
    version, node, count(*) as entered, count(distinct user_id) as people,
    count(*) filter (left_at is null and due_at is not null) as waiting,
    count(*) filter (left_at is not null) as moved_on,
    count(*) filter (left_at is null and due_at is null) as ended,
    quantile_cont(epoch(left_at) - epoch(entered_at), 0.5) as median_seconds,
from walked
group by version, node
order by version, min(seq), entered desc, node
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
