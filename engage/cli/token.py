"""``engage token``: what an app or page proves with for whom it speaks."""

from __future__ import annotations

import click

from engage.cli.options import opened

__all__ = ["token"]


@click.command()
@click.argument("user")
@click.option("--lasts", default="30 days", show_default=True, help="How long it is good.")
@click.pass_context
def token(context: click.Context, user: str, lasts: str) -> None:
    """A signed token of USER, for trying things; a site gives each user theirs when they log in."""
    click.echo(opened(context).user_token(user, lasts))
