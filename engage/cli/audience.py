"""Facebook custom audiences: sync, list, delete."""

from __future__ import annotations

import click

from engage.cli.options import opened
from engage.cli.output import format_option, say, show

__all__ = ["audience"]


@click.group()
def audience() -> None:
    """Custom audiences at Facebook, kept in step with segments."""


@audience.command()
@click.argument("name")
@click.argument("segment", required=False)
@click.option("--replace", is_flag=True, help="Send everything anew, not only the difference.")
@click.option("--dry-run", is_flag=True, help="Say how many people it would hold; send nothing.")
@click.pass_context
def sync(context: click.Context, name: str, segment: str | None, replace: bool, dry_run: bool) -> None:
    """Bring the audience NAME into step with SEGMENT, or with everyone who opted in."""
    workspace = opened(context)
    if dry_run:
        say(f"{name}: {workspace.audience_people(segment).height:,} people")
        return
    done = workspace.sync_audience(name, segment, replace=replace)
    say(
        f"{done.name}: {done.members:,} rows; added {done.added:,}, removed {done.removed:,}; "
        f"Facebook received {done.received:,}, of which {done.invalid:,} invalid"
    )


@audience.command("list")
@format_option
@click.pass_context
def list_(context: click.Context, format_: str) -> None:
    """The ad account's audiences."""
    show(opened(context).facebook_audiences(), format_)


@audience.command()
@click.argument("name")
@click.confirmation_option(prompt="Delete it at Facebook?")
@click.pass_context
def delete(context: click.Context, name: str) -> None:
    """Delete the audience NAME."""
    say("deleted" if opened(context).delete_audience(name) else "there is no such audience")
