"""Options that several commands share."""

from __future__ import annotations

import tomllib
from typing import Any

import click

from engage.errors import UnknownParameterError
from engage.query.files import parse_value
from engage.workspace import Workspace

__all__ = ["as_of_option", "nested_values", "opened", "param_option", "parsed_params"]

as_of_option = click.option("--as-of", metavar="TIME", help="Answer as of then, e.g. 2026-03-01.")
param_option = click.option("--param", "-p", "params", multiple=True, metavar="NAME=VALUE", help="A parameter's value.")


def opened(context: click.Context) -> Workspace:
    """The workspace the command line names."""
    return Workspace.open(context.find_root().obj)


def parsed_params(params: tuple[str, ...]) -> dict[str, Any]:
    """Read ``name=value`` pairs; numbers, dates, true and false are taken as such."""
    found: dict[str, Any] = {}
    for pair in params:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UnknownParameterError(f"{pair!r} is not name=value", hint="write e.g. --param days=30")
        found[name.strip()] = parse_value(value.strip())
    return found


def nested_values(pairs: tuple[str, ...], *, gone: bool = False) -> dict[str, Any]:
    """Read ``table.key=value`` pairs as TOML would have them; a value that is not TOML is a text.

    Args:
        pairs: The pairs, or with `gone` only keys.
        gone: Each key is None.

    Raises:
        UnknownParameterError: A pair is not one.

    >>> nested_values(("content.subject=Hi there", "control_percent=10"))
    {'content': {'subject': 'Hi there'}, 'control_percent': 10}
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        *tables, key = (part.strip() for part in name.split("."))
        if not key or not all(tables) or bool(equals) == gone:
            raise UnknownParameterError(f"{pair!r} is not key=value", hint='write e.g. content.subject="Hi"')
        try:
            value = None if gone else tomllib.loads(f"value = {text.strip()}")["value"]
        except tomllib.TOMLDecodeError:
            value = text.strip()
        inner = found
        for table in tables:
            inner = inner.setdefault(table, {})
            if not isinstance(inner, dict):
                raise UnknownParameterError(f"{table!r} is both a value and a table", hint=pair)
        inner[key] = value
    return found
