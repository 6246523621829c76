"""Options that several commands share."""

from __future__ import annotations

from typing import Any

import click

from engage.errors import UnknownParameterError
from engage.query.files import parse_value
from engage.workspace import Workspace

__all__ = ["as_of_option", "opened", "param_option", "parsed_params"]

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
