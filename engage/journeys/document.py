"""A journey's file as text, in an order that makes a diff of two versions readable."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from typing import Any

import tomlkit

from engage.journeys.definition import MESSAGE_DEFAULTS

__all__ = ["document"]


def document(values: Mapping[str, Any], before: str = "") -> str:
    """A journey's file as text.

    Args:
        values: What it is to say.
        before: What it said; its comments and order are kept where the keys are.
    """
    text = tomlkit.parse(before)
    _merge(text, values, top=True)
    return tomlkit.dumps(text).strip("\n") + "\n"


_ORDER = ["title", "status", "labels", "control_percent", *MESSAGE_DEFAULTS, "start", "end", "entry", "goal", "exit"]
_NODE_ORDER = ["kind", "title", "channel", "for", "until", "weekdays", "event", "where", "timeout", "to", "position"]
_TABLES = ("nodes", "content", "localise")


def _merge(target: Any, values: Mapping[str, Any], *, top: bool = False, texts: bool = False) -> None:
    for key in [key for key in target if key not in values]:
        del target[key]
    order = _ORDER if top else _NODE_ORDER

    # What is new comes in a fixed order, plain values before tables, which TOML demands.
    def is_table(key: str) -> bool:
        value = values[key]
        if key == "localise" and isinstance(target.get(key), tomlkit.items.InlineTable):
            return False  # no table can be in one that was written on a line
        return isinstance(value, Mapping) and (top or texts or key in _TABLES or "kind" in value)

    for key in sorted(values, key=lambda key: (is_table(key), _rank(key, order))):
        value, there = values[key], target.get(key)
        if is_table(key):
            if not isinstance(there, (tomlkit.items.Table, dict)) or not there:
                target[key] = tomlkit.table(is_super_table=key in ("nodes", "texts"))
            _merge(target[key], value, texts=texts or key == "localise")
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
