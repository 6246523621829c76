"""Events on the command line: a name, or a name with conditions on its properties, written as in SQL."""

from __future__ import annotations

import re
from typing import Any

import click

from engage.analysis.events import Selector
from engage.analysis.written_conditions import read_conditions

__all__ = ["CONDITIONS", "EVENT"]

_SELECTOR = re.compile(r"(?P<name>[^\[\]]*)\[(?P<conditions>.*)\]\s*", re.DOTALL)


class _Event(click.ParamType):
    name = "event"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Selector:
        if not isinstance(value, str) or not (match := _SELECTOR.fullmatch(value)):
            return value
        return {"event": match["name"].strip() or None, "where": read_conditions(match["conditions"])}


class _Conditions(click.ParamType):
    name = "conditions"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        return read_conditions(value) if isinstance(value, str) else value


EVENT = _Event()
"""The type of an argument that names an event: ``Charged``, or ``Charged[amount >= 10]``; ``[…]`` for any activity."""

CONDITIONS = _Conditions()
"""The type of an argument that holds conditions: ``amount >= 10``."""
