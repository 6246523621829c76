"""The suppression list: list, add, remove, import."""

from __future__ import annotations

from pathlib import Path

import click

from engage.cli.options import as_of_option, opened
from engage.cli.output import format_option, say, show

__all__ = ["suppression"]

_reason = click.option("--reason", default="manual", show_default=True, help="Why; it is recorded.")


@click.group()
def suppression() -> None:
    """Addresses that are not written to: bounced, unsubscribed, complained, or put here by hand."""


@suppression.command("list")
@click.option("--channel", help="Only of this channel.")
@as_of_option
@format_option
@click.pass_context
def list_(context: click.Context, channel: str | None, as_of: str | None, format_: str) -> None:
    """Every suppressed address."""
    show(opened(context).suppressions(channel, as_of=as_of), format_)


@suppression.command()
@click.argument("channel")
@click.argument("addresses", nargs=-1, required=True)
@_reason
@click.pass_context
def add(context: click.Context, channel: str, addresses: tuple[str, ...], reason: str) -> None:
    """Put ADDRESSES of CHANNEL on the list."""
    say(f"suppressed {opened(context).suppress(channel, addresses, reason=reason):,}")


@suppression.command()
@click.argument("channel")
@click.argument("addresses", nargs=-1, required=True)
@_reason
@click.pass_context
def remove(context: click.Context, channel: str, addresses: tuple[str, ...], reason: str) -> None:
    """Take ADDRESSES of CHANNEL off the list."""
    say(f"lifted {opened(context).unsuppress(channel, addresses, reason=reason):,}")


@suppression.command("import")
@click.argument("channel")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--reason", default="imported", show_default=True, help="Why; it is recorded.")
@click.pass_context
def import_(context: click.Context, channel: str, path: Path, reason: str) -> None:
    """Put the addresses of a text or CSV file on the list."""
    say(f"suppressed {opened(context).import_suppressions(channel, path, reason=reason):,}")
