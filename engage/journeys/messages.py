"""What the moves of a tick bring about: messages, each a campaign's, and what is written into profiles."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa

from engage.campaigns.campaign import Campaign
from engage.campaigns.definition import campaign_from
from engage.journeys.graph import EXIT_MET, GOAL_MET, LEFT, Journey, Message, Node
from engage.journeys.record import Record, State
from engage.journeys.rounds import updates
from engage.journeys.tick import change_id_sql
from engage.lake.landing import Lake
from engage.lake.schema import DATASETS
from engage.query.engine import Engine
from engage.query.files import literal
from engage.settings import Settings
from engage.vocabulary import DeliveryType

__all__ = ["land_updates", "message_campaign", "reached"]

LATE = timedelta(days=1)
"""A message that fell due this long before the tick (nothing ran for days) is not sent any more."""


def message_campaign(
    settings: Settings, journey: Journey, node: Node, span: tuple[datetime, datetime], version: int = 0
) -> Campaign:
    """A message node as the campaign that planning and delivery know, for those who reached it in a span.

    All of a journey's messages are one campaign's, so its control group is held out of each of them, and what it
    caused is measured as for campaigns. Templates may say ``data.entry_at`` and ``data.event`` (what let them in).

    Args:
        settings: The workspace.
        journey: Whose.
        node: Which message.
        span: From when until before when they reached it.
        version: In which version; 0 for any.

    Raises:
        ConfigurationError: The content is not a campaign's; it names the node.
        UnknownLabelError: A label was never made.
    """
    where = f"data/journeys/{journey.journey_id}.toml [nodes.{node.id}]"
    assert isinstance(node.does, Message)
    values = {**journey.defaults, **node.does.values}
    labels = [*journey.labels, *values.pop("labels", ())]
    own, name = literal(journey.journey_id), literal(node.id)
    since, until = literal(span[0]), literal(span[1])
    there = f"journey_id = {own} and entered_at >= {since} and entered_at < {until}"
    there += f" and version = {version}" if version else ""
    ended = ", ".join(map(literal, (GOAL_MET, EXIT_MET, LEFT)))
    values |= {
        "title": journey.title,
        "labels": list(dict.fromkeys(labels)),
        "control_percent": journey.control_percent,
        "delivery_type": DeliveryType.JOURNEY.value,
        "sql": f"select distinct user_id from transitions as moved where {there} and node = {name} and not exists "
        f"(select 1 from transitions as gone where {there} and gone.user_id = moved.user_id "
        f"and gone.node in ({ended}) and gone.entered_at >= moved.entered_at)",
    }
    if "context_sql" not in values:
        values["context_sql"] = (
            "select entry.user_id, max(entry.entry_at) as entry_at, "
            "arg_max(entry.detail, entry.entry_at)::json as event "
            f"from transitions as entry semi join (select user_id, entry_at from transitions where {there} "
            f"and node = {name}) as moved on moved.user_id = entry.user_id and moved.entry_at = entry.entry_at "
            f"where entry.journey_id = {own} and entry.seq = 0 group by entry.user_id"
        )
    folder: Path = settings.journeys / journey.journey_id / node.id
    campaign = campaign_from(settings, journey.journey_id, values, folder, where)
    # What is launched has been approved, whatever number a tick brings.
    return replace(campaign, journey_id=journey.journey_id, approved=10**12)


def reached(engine: Engine, file: Path) -> list[tuple[int, str]]:
    """The nodes somebody reached in one tick: version and node.

    Args:
        engine: What answers.
        file: The tick's moves.
    """
    query = f"select distinct version, node from read_parquet({literal(str(file))}) order by version, node"
    return [(int(version), str(node)) for version, node in engine.frame(query).rows()]


def land_updates(engine: Engine, lake: Lake, record: Record, state: State, since: datetime | None = None) -> int:
    """Write what the ticks after a time have to write into profiles; again is harmless.

    Returns:
        How many changes were new.
    """
    parts = []
    for version, journey in record.journeys(state).items():
        for name, update in updates(journey).items():
            text = literal(json.dumps(dict(update.values), ensure_ascii=False, sort_keys=True))
            parts.append(
                f"select {change_id_sql()} as change_id, user_id, entered_at as changed_at, entered_at as received_at, "
                f"{text} as properties, 'journey:' || journey_id as source from ({record.moves(since)}) "
                f"where version = {version} and node = {literal(name)}"
            )
    if not parts:
        return 0
    found = engine.frame(" union all ".join(parts))
    if found.is_empty():
        return 0
    table: pa.Table = found.to_arrow().cast(DATASETS["profiles"].schema)
    return lake.land("profiles", table).rows
