"""The canvas a journey is drawn on, for notebooks: React Flow in a widget, built into the package, nothing fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, time
from pathlib import Path
from typing import Any

import anywidget
import polars as pl
import traitlets

from engage.analysis.lift_result import Lift
from engage.channels.registry import provider
from engage.errors import ConfigurationError, EngageError
from engage.journeys.graph import ENTRY, EXIT_MET, GOAL_MET, LEFT
from engage.journeys.validation import Fault
from engage.message_fields import CONTENT
from engage.query.engine import Engine

__all__ = ["Canvas", "choices", "figures"]

_HERE = Path(__file__).parent
_LONG = {"body", "html", "text"}
_COMMON = {"subject", "title", "body", "text", "deep_link", "url"}
_SAMPLE = 20_000  # rows looked at for names of properties


class Canvas(anywidget.AnyWidget):
    """An editor of a journey's graph.

    Args:
        graph: The journey's file, as TOML values; changes appear here.
        faults: What is wrong: lines by node.
        figures: Numbers to lay over nodes and ways, by what they are called; see :func:`figures`.
        choices: What the fields offer; see :func:`choices`.
    """

    _esm = _HERE / "canvas.js"
    _css = _HERE / "canvas.css"
    graph = traitlets.Dict().tag(sync=True)
    faults = traitlets.Dict().tag(sync=True)
    figures = traitlets.Dict().tag(sync=True)
    choices = traitlets.Dict().tag(sync=True)

    @classmethod
    def of(
        cls,
        values: Mapping[str, Any],
        choices: Mapping[str, Any],
        figures: Mapping[str, Any] | None = None,
        faults: Sequence[Fault] = (),
    ) -> Canvas:
        """A canvas of a journey's values."""
        made = cls(graph=_told(values), choices=dict(choices), figures=dict(figures or {}))
        made.mark(faults)
        return made

    def mark(self, faults: Sequence[Fault]) -> None:
        """Show what is wrong at the nodes."""
        told: dict[str, list[str]] = {}
        for fault in faults:
            told.setdefault(fault.node, []).append(fault.what)
        if told != self.faults:
            self.faults = told


def _told(value: Any) -> Any:
    """TOML values as JSON has them: dates and times as text, which the file may say too."""
    if isinstance(value, Mapping):
        return {key: _told(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_told(inner) for inner in value]
    return value.isoformat() if isinstance(value, (date, time)) else value


def figures(
    nodes: pl.DataFrame, edges: pl.DataFrame, messages: pl.DataFrame | None = None, lift: Lift | None = None
) -> dict[str, Any]:
    """Numbers to lay over a canvas.

    Args:
        nodes: As of :func:`engage.journeys.report.node_counts`; of several versions the sum, and the newest's times.
        edges: As of :func:`engage.journeys.report.edge_counts`.
        messages: As of a simulation: their cost is shown.
        lift: What the journey caused, where people were held out of it.

    Returns:
        ``nodes``: by node `entered`, `share` of all entries, `waiting`, `median_seconds`, `cost`, and of those who
        left it for nowhere else: `goal`, who reached the goal there, and `lost`, whom an exit event or a new version
        took out; at the entry `goal_share`, who reached the goal of all who entered, and `lift`: how much larger the
        share that does is than among those held out, with the ends of its interval. ``edges``: walks by
        ``source:port:target``.
    """
    summed = nodes.sort("version").group_by("node", maintain_order=True)
    summed_nodes = summed.agg(pl.col("entered", "waiting").sum(), pl.col("median_seconds").last())
    entered = dict(summed_nodes.select("node", "entered").rows())
    entries = entered.get(ENTRY, 0)
    costs = dict(messages.group_by("node").agg(pl.col("cost").sum()).rows()) if messages is not None else {}
    told = {
        row["node"]: {**row, "share": row["entered"] / entries if entries else None, "cost": costs.get(row["node"])}
        for row in summed_nodes.iter_rows(named=True)
    }
    for row in edges.filter(pl.col("node").is_in([GOAL_MET, EXIT_MET, LEFT])).iter_rows(named=True):
        kind = "goal" if row["node"] == GOAL_MET else "lost"
        told[row["came_from"]][kind] = told[row["came_from"]].get(kind, 0) + row["walks"]
    if entries and GOAL_MET in entered:  # a goal that does not end the walk leaves no move
        told[ENTRY]["goal_share"] = entered[GOAL_MET] / entries
    if entries and lift is not None and lift.difference is not None:
        told[ENTRY]["lift"] = [lift.difference, lift.ci_low, lift.ci_high]
    walks: dict[str, int] = {}
    for row in edges.iter_rows(named=True):
        key = f"{row['came_from']}:{row['port']}:{row['node']}"
        walks[key] = walks.get(key, 0) + row["walks"]
    return {"nodes": told, "edges": walks}


def choices(engine: Engine, segments: Sequence[str]) -> dict[str, Any]:
    """What a canvas's fields offer.

    Args:
        engine: What answers.
        segments: Names of segments.

    Returns:
        ``events``, the most frequent first; ``properties`` of events and ``profile``, from some of each; ``segments``;
        ``fields`` of each channel's messages; ``ready``, the channels that are set up.
    """
    settings = engine.settings
    events = engine.frame("select event_name from user_events group by 1 order by count(*) desc, 1 limit 200")
    fields = {
        channel.value: [
            {
                "name": one.name,
                "about": one.about,
                "required": one.required,
                "common": one.name in _COMMON,
                "kind": "text" if one.name in _LONG else "line" if one.template or one.line else "json",
            }
            for one in many
        ]
        for channel, many in CONTENT.items()
    }
    return {
        "events": events["event_name"].to_list(),
        "properties": _keys(engine, "user_events"),
        "profile": _keys(engine, "profiles"),
        "segments": list(segments),
        "fields": fields,
        "ready": [channel for channel in fields if _is_ready(channel, settings.channel(channel), settings.outbox)],
    }


def _keys(engine: Engine, relation: str) -> list[str]:
    query = (
        "select key from (select unnest(json_keys(properties)) as key from "
        f"(select properties from {relation} where properties is not null limit {_SAMPLE})) "
        "group by key order by count(*) desc, key limit 200"
    )
    return [str(key) for key in engine.frame(query)["key"]]


def _is_ready(channel: str, options: Mapping[str, Any], outbox: Path) -> bool:
    try:
        provider(channel, dict(options), outbox=outbox)
    except (EngageError, ConfigurationError):
        return False
    return True
