"""Audiences at ad networks: pushed, listed, taken as a file, deleted."""

from __future__ import annotations

from pathlib import Path

import click

from engage.cli.options import opened, param_option, parsed_params
from engage.cli.output import format_option, progress_bar, say, show
from engage.delivery.audience_schedule import NETWORKS

__all__ = ["audience"]


@click.group()
def audience() -> None:
    """Custom audiences at Facebook, kept in step with segments."""


@audience.command()
@click.argument("segment", required=False)
@click.option("--to", required=True, type=click.Choice(NETWORKS), help="The ad network.")
@click.option("--name", default="", help="The audience's name there; by default the segment's title.")
@click.option("--replace", is_flag=True, help="Send everything anew, not only the difference.")
@click.option("--dry-run", is_flag=True, help="Say how many people it would hold; send nothing.")
@param_option
@click.pass_context
def push(
    context: click.Context,
    segment: str | None,
    to: str,
    name: str,
    replace: bool,
    dry_run: bool,
    params: tuple[str, ...],
) -> None:
    """Bring an audience into step with SEGMENT, or with everyone, of those who opted in to ads."""
    workspace, values = opened(context), parsed_params(params)
    if dry_run:
        say(f"{name or segment or 'everyone'}: {workspace.audience_people(segment, **values).height:,} people")
        return
    with progress_bar("facebook") as advance:
        done = workspace.push_audience(segment, name, replace=replace, params=values, report=advance)
    say(
        f"{done.name}: {done.people:,} people in {done.members:,} rows; added {done.added:,}, removed "
        f"{done.removed:,}; Facebook received {done.received:,}, of which {done.invalid:,} invalid"
    )


@audience.command()
@click.argument("segment", required=False)
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="A .csv or .parquet file.")
@click.option("--plain", is_flag=True, help="In the clear, normalised; Ads Manager hashes it in the browser.")
@param_option
@click.pass_context
def export(context: click.Context, segment: str | None, out: Path, plain: bool, params: tuple[str, ...]) -> None:
    """Write the audience of SEGMENT, or of everyone, to a file for upload by hand; hashed."""
    rows = opened(context).export_audience(out, segment, plain=plain, **parsed_params(params))
    say(f"{out}: {rows:,} rows")


@audience.command()
@click.argument("name", required=False)
@format_option
@click.pass_context
def syncs(context: click.Context, name: str | None, format_: str) -> None:
    """What every sync did, of the audience NAME or of all."""
    show(opened(context).audience_syncs(name), format_)


@audience.command()
@format_option
@click.pass_context
def scheduled(context: click.Context, format_: str) -> None:
    """The audiences that the worker keeps in step, from the settings."""
    show(opened(context).scheduled_audiences(), format_)


@audience.command("list")
@format_option
@click.pass_context
def list_(context: click.Context, format_: str) -> None:
    """The ad account's audiences, as Facebook has them."""
    show(opened(context).facebook_audiences(), format_)


@audience.command()
@click.argument("name")
@click.confirmation_option(prompt="Delete it at Facebook?")
@click.pass_context
def delete(context: click.Context, name: str) -> None:
    """Delete the audience NAME."""
    say("deleted" if opened(context).delete_audience(name) else "there is no such audience")
