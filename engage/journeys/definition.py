"""What a journey's file says, read as :class:`engage.journeys.graph.Journey`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from engage.campaigns.campaign import Goal
from engage.campaigns.labels import require_labels
from engage.campaigns.limits import clock_time
from engage.campaigns.schedule import instant
from engage.errors import ConfigurationError, EngageError
from engage.journeys.graph import (
    Branch,
    Case,
    ChannelChoice,
    Entry,
    Exit,
    ExitCriteria,
    Join,
    Journey,
    Kind,
    Message,
    Node,
    Split,
    Update,
    Wait,
)
from engage.settings import WEEKDAYS, Settings
from engage.vocabulary import Channel, Event
from engage.windows import parse_window

__all__ = ["MESSAGE_DEFAULTS", "journey_from"]

STATUSES = ("draft", "running", "paused", "stopped")
_NODE = re.compile(r"[a-z0-9][a-z0-9_]{0,47}")
MESSAGE_DEFAULTS = ("topic", "caps", "quiet_hours", "transactional", "throttle_per_second", "not_in", "priority")
"""What a journey may say once for all its messages."""

_TOP = {"title", "status", "labels", "control_percent", "entry", "goal", "exit", "nodes", "start", "end"}
_ENTRY = {
    *("to", "event", "segment", "property", "where", "cron", "offset_days", "yearly", "time"),
    *("again_after", "most_per_person", "limit", "position"),
}
_COMMON = {"kind", "to", "title", "position"}
_KEYS: dict[str, set[str]] = {
    "wait": {"for", "until", "weekdays", "event", "where", "timeout"},
    "branch": {"cases"},
    "split": {"weights"},
    "channel": {"channels", "by"},
    "update": {"set"},
    "join": set(),
    "exit": set(),
}
_CASE = {"port", "event", "where", "within", "at_least", "message", "did", "segment"}


def journey_from(settings: Settings, name: str, values: Mapping[str, Any], where: str) -> Journey:
    """Make a journey of what its file says.

    Args:
        settings: The workspace.
        name: Its id.
        values: The file's keys.
        where: What to name in errors.

    Raises:
        ConfigurationError: A value is not valid; it names the node and the key.
    """
    _known(values, _TOP | set(MESSAGE_DEFAULTS), where)
    status = values.get("status", "draft")
    if status not in STATUSES:
        raise ConfigurationError(f"status = {status!r} is not known", where=where, hint=f"use {', '.join(STATUSES)}")
    control = values.get("control_percent", 0)
    if not isinstance(control, (int, float)) or not 0 <= control <= 90:
        raise ConfigurationError("control_percent is not between 0 and 90", where=where)
    nodes = {}
    for key, table in _table(values.get("nodes", {}), f"{where} [nodes]").items():
        if not _NODE.fullmatch(key) or key == "entry":
            hint = "use lower-case letters, digits and _; entry is taken"
            raise ConfigurationError(f"{key!r} is not a node's name", where=where, hint=hint)
        nodes[key] = _node(key, _table(table, f"{where} [nodes.{key}]"), f"{where} [nodes.{key}]")
    goal = _table(values.get("goal", {}), f"{where} [goal]")
    _known(goal, {"event", "within", "revenue", "ends"}, f"{where} [goal]")
    exits = _table(values.get("exit", {}), f"{where} [exit]")
    _known(exits, {"events"}, f"{where} [exit]")
    return Journey(
        journey_id=name,
        title=str(values.get("title", name)),
        entry=_entry(_table(values.get("entry", {}), f"{where} [entry]"), f"{where} [entry]"),
        nodes=nodes,
        goal=Goal(
            goal.get("event", Event.CHARGED.value),
            _length(goal.get("within", "14 days"), f"{where} [goal]"),
            goal.get("revenue", "amount"),
        ),
        goal_ends=bool(goal.get("ends", True)),
        exits=ExitCriteria(tuple(exits.get("events", ()))),
        status=str(status),
        labels=require_labels(settings, tuple(values.get("labels", ())), where=where),
        control_percent=float(control),
        defaults={key: values[key] for key in MESSAGE_DEFAULTS if key in values},
        start=instant(values["start"], settings.timezone, where) if "start" in values else None,
        end=instant(values["end"], settings.timezone, where) if "end" in values else None,
    )


def _entry(values: Mapping[str, Any], where: str) -> Entry:
    _known(values, _ENTRY, where)
    if sum(key in values for key in ("event", "segment", "property")) != 1 or "to" not in values:
        raise ConfigurationError("says not who enters", where=where, hint="give to, and event, segment or property")
    for key, of in (("cron", "segment"), ("offset_days", "property"), ("yearly", "property"), ("time", "property")):
        if key in values and of not in values:
            raise ConfigurationError(f"{key} needs {of}", where=where)
    for key in ("limit", "most_per_person"):
        if key in values and (not isinstance(values[key], int) or values[key] < 1):
            raise ConfigurationError(f"{key} is not a number of entries", where=where)
    return Entry(
        to=str(values["to"]),
        event=values.get("event"),
        segment=values.get("segment"),
        date_property=values.get("property"),
        where=_table(values.get("where", {}), where),
        cron=values.get("cron"),
        offset_days=int(values.get("offset_days", 0)),
        yearly=bool(values.get("yearly", False)),
        time_of_day=clock_time(values.get("time", "09:00"), where),
        again_after=_length(values["again_after"], where) if "again_after" in values else None,
        most_per_person=values.get("most_per_person"),
        limit=values.get("limit"),
    )


def _node(name: str, values: Mapping[str, Any], where: str) -> Node:
    kind = values.get("kind", "")
    if kind not in ("message", "webhook", *_KEYS):
        hint = f"use message, webhook, {', '.join(_KEYS)}"
        raise ConfigurationError(f"kind = {kind!r} is not known", where=where, hint=hint)
    if kind in _KEYS:
        _known(values, _COMMON | _KEYS[kind], where)
    to = values.get("to", {})
    position = values.get("position")
    node = Node(
        id=name,
        kind=kind,
        does=_does(kind, values, where),
        to={"next": to} if isinstance(to, str) else {str(port): str(node) for port, node in _table(to, where).items()},
        title=str(values.get("title", "")),
        position=(float(position[0]), float(position[1])) if position else None,
    )
    for port in node.to:
        if port not in node.ports:
            hint = f"its ways out are {', '.join(node.ports) or 'none'}"
            raise ConfigurationError(f"there is no way out {port!r}", where=where, hint=hint)
    return node


def _does(kind: str, values: Mapping[str, Any], where: str) -> Kind:
    match kind:
        case "message" | "webhook":
            told = {key: value for key, value in values.items() if key not in _COMMON}
            told = {"channel": "webhook", **told} if kind == "webhook" else told
            if told.get("channel") not in set(Channel):
                hint = f"use {', '.join(Channel)}"
                raise ConfigurationError(f"channel = {told.get('channel')!r} is not known", where=where, hint=hint)
            return Message(told)
        case "wait":
            return _wait(values, where)
        case "branch":
            cases = tuple(_case(case, where) for case in values.get("cases", ()))
            if not cases or len({case.port for case in cases} | {"else"}) <= len(cases):
                raise ConfigurationError("needs cases with ports of their own", where=where, hint='port = "yes"')
            return Branch(cases)
        case "split":
            weights = _table(values.get("weights", {}), where)
            if len(weights) < 2 or any(not isinstance(w, (int, float)) or w < 0 for w in weights.values()):
                raise ConfigurationError("needs two weights or more", where=where, hint="weights = { a = 1, b = 1 }")
            if not sum(weights.values()):
                raise ConfigurationError("has no weight at all", where=where)
            return Split({str(port): float(weight) for port, weight in weights.items()})
        case "channel":
            channels = tuple(values.get("channels", ()))
            if (
                not channels
                or set(channels) - set(Channel)
                or values.get("by", "preference")
                not in (
                    "preference",
                    "engagement",
                )
            ):
                hint = 'channels = ["push", "email"], by = "preference" or "engagement"'
                raise ConfigurationError("does not say which channels", where=where, hint=hint)
            return ChannelChoice(channels, values.get("by") == "engagement")
        case "update":
            return Update(dict(_table(values.get("set", {}), where)))
    return Join() if kind == "join" else Exit()


def _wait(values: Mapping[str, Any], where: str) -> Wait:
    if sum(key in values for key in ("for", "until", "event")) != 1:
        raise ConfigurationError("says not how long", where=where, hint="give one of for, until, event with timeout")
    if "for" in values:
        return Wait(_length(values["for"], where))
    if "until" in values:
        days = [str(day).lower() for day in values.get("weekdays", ())]
        if unknown := [day for day in days if day not in WEEKDAYS]:
            raise ConfigurationError(f"{unknown[0]!r} is not a weekday", where=where)
        return Wait(until=clock_time(values["until"], where), weekdays=tuple(sorted(map(WEEKDAYS.index, days))))
    if "timeout" not in values:
        raise ConfigurationError("waits for an event for ever", where=where, hint='write timeout = "3 days"')
    selector = {"event": values["event"], "where": values["where"]} if values.get("where") else values["event"]
    return Wait(_length(values["timeout"], where), event=selector)


def _case(values: Any, where: str) -> Case:
    table = _table(values, where)
    _known(table, _CASE, where)
    if not table.get("port") or table.get("port") == "else":
        raise ConfigurationError("a case has no port of its own", where=where, hint='write port = "yes"')
    if table.get("did", "clicked") not in ("sent", "delivered", "viewed", "clicked"):
        raise ConfigurationError("did is sent, delivered, viewed or clicked", where=where)
    if not any(table.get(key) for key in ("event", "message", "segment", "where")):
        raise ConfigurationError("a case asks nothing", where=where, hint="give event, message, segment or where")
    within = table.get("within")
    return Case(
        port=str(table["port"]),
        event=table.get("event"),
        where=_table(table.get("where", {}), where),
        within="ever" if within == "ever" else _length(within, where) if within is not None else None,
        at_least=int(table.get("at_least", 1)),
        message=table.get("message"),
        did=str(table.get("did", "clicked")),
        segment=table.get("segment"),
    )


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError("is not a table", where=where, hint="see docs/journeys.md")
    return value


def _length(value: Any, where: str) -> timedelta:
    try:
        return parse_window(value)
    except EngageError as error:
        raise ConfigurationError(error.what, where=where, hint=error.hint) from error


def _known(values: Mapping[str, Any], keys: set[str], where: str) -> None:
    for key in values:
        if key not in keys:
            near = get_close_matches(key, sorted(keys), n=1)
            hint = f"did you mean {near[0]}?" if near else f"it may have {', '.join(sorted(keys))}"
            raise ConfigurationError(f"unknown key {key!r}", where=where, hint=hint)
