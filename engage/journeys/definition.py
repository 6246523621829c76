"""Journeys as files: ``data/journeys/<name>.toml``, read as :class:`engage.journeys.graph.Journey`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import date, time, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import tomlkit

from engage.campaigns.campaign import Goal
from engage.campaigns.labels import require_labels
from engage.campaigns.limits import clock_time
from engage.campaigns.schedule import instant
from engage.errors import ConfigurationError, EngageError, PlanError, UnknownJourneyError
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
from engage.lake.storage import write_atomically
from engage.settings import WEEKDAYS, Settings
from engage.vocabulary import Channel, Event
from engage.windows import parse_window

__all__ = [
    "create_journey",
    "journey_file",
    "journey_from",
    "list_journeys",
    "read_journey",
    "save_journey",
    "set_values",
]

STATUSES = ("draft", "running", "paused", "stopped")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_NODE = re.compile(r"[a-z0-9][a-z0-9_]{0,47}")
_MESSAGE_DEFAULTS = ("topic", "caps", "quiet_hours", "transactional", "throttle_per_second", "not_in", "priority")
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


def list_journeys(settings: Settings) -> list[str]:
    """The names of all journeys."""
    return sorted(path.stem for path in settings.journeys.glob("*.toml"))


def journey_file(settings: Settings, name: str) -> Path:
    """The file of a journey.

    Raises:
        UnknownJourneyError: There is none of that name.
    """
    file = settings.journeys / f"{name}.toml"
    if not _NAME.fullmatch(name) or not file.is_file():
        names = list_journeys(settings)
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names) or 'none yet'}"
        raise UnknownJourneyError(f"no journey {name!r} under data/journeys/", hint=hint)
    return file


def read_values(file: Path) -> dict[str, Any]:
    """What a file says, as TOML."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"not valid TOML: {error}", where=str(file), hint="mend the file") from error


def read_journey(settings: Settings, name: str) -> Journey:
    """Read a journey's file.

    Raises:
        UnknownJourneyError: There is none of that name.
        ConfigurationError: The file is not a journey's; it names the node and the key.
    """
    file = journey_file(settings, name)
    return journey_from(settings, name, read_values(file), str(file))


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
    _known(values, _TOP | set(_MESSAGE_DEFAULTS), where)
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
        defaults={key: values[key] for key in _MESSAGE_DEFAULTS if key in values},
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


def create_journey(settings: Settings, name: str, values: Mapping[str, Any]) -> Journey:
    """Make a journey's file.

    Raises:
        PlanError: The name is taken or not one.
        ConfigurationError: The values are not a journey's.
    """
    file = settings.journeys / f"{name}.toml"
    if not _NAME.fullmatch(name):
        raise PlanError(f"{name!r} is not a journey's name", hint="use lower-case letters, digits, - and _")
    if file.exists():
        raise PlanError(f"journey {name!r} is there already", where=str(file))
    return save_journey(settings, name, values)


def save_journey(settings: Settings, name: str, values: Mapping[str, Any]) -> Journey:
    """Write a journey's file, in an order that does not change from one saving to the next.

    Comments in a file that is there already stay, as does the order of what did not change.

    Raises:
        ConfigurationError: The values are not a journey's; nothing is written.
    """
    file = settings.journeys / f"{name}.toml"
    journey = journey_from(settings, name, values, str(file))
    write_atomically(file, document(values, file.read_text(encoding="utf-8") if file.exists() else ""))
    return journey


def set_values(settings: Settings, name: str, **values: Any) -> Journey:
    """Change keys of a journey's file; all else in it stays as it is."""
    file = journey_file(settings, name)
    return save_journey(settings, name, {**read_values(file), **values})


def document(values: Mapping[str, Any], before: str = "") -> str:
    """A journey's file as text.

    Args:
        values: What it is to say.
        before: What it said; its comments and order are kept where the keys are.
    """
    text = tomlkit.parse(before)
    _merge(text, values, top=True)
    return tomlkit.dumps(text).strip("\n") + "\n"


_ORDER = ["title", "status", "labels", "control_percent", *_MESSAGE_DEFAULTS, "start", "end", "entry", "goal", "exit"]
_NODE_ORDER = ["kind", "title", "channel", "for", "until", "weekdays", "event", "where", "timeout", "to", "position"]


def _merge(target: Any, values: Mapping[str, Any], *, top: bool = False) -> None:
    for key in [key for key in target if key not in values]:
        del target[key]
    order = _ORDER if top else _NODE_ORDER

    # What is new comes in a fixed order, plain values before tables, which TOML demands.
    def is_table(key: str) -> bool:
        value = values[key]
        return isinstance(value, Mapping) and (top or key in ("nodes", "content") or "kind" in value)

    for key in sorted(values, key=lambda key: (is_table(key), _rank(key, order))):
        value, there = values[key], target.get(key)
        if is_table(key):
            if not isinstance(there, (tomlkit.items.Table, dict)) or not there:
                target[key] = tomlkit.table(is_super_table=key == "nodes")
            _merge(target[key], value)
        elif there is None or (_plain(there) != _plain(value) and _written(there) != value):
            target[key] = _item(value)


def _rank(key: str, order: list[str]) -> int:
    return order.index(key) if key in order else len(order)


def _written(value: Any) -> Any:
    """A date or time as text, as a canvas gives it back."""
    return value.isoformat() if isinstance(value, (date, time)) else _plain(value)


def _plain(value: Any) -> Any:
    return value.unwrap() if hasattr(value, "unwrap") else value


def _item(value: Any) -> Any:
    if isinstance(value, Mapping):
        table = tomlkit.inline_table()
        for key, inner in value.items():
            table[key] = _item(inner)
        return table
    if isinstance(value, (list, tuple)):
        array = tomlkit.array()
        for inner in value:
            array.append(_item(inner))
        return array.multiline(any(isinstance(inner, Mapping) for inner in value))
    if isinstance(value, str) and "\n" in value:
        return tomlkit.string(value, multiline=True)
    return value
