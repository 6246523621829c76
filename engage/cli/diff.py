"""What a change of the SQL does to each segment."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from engage.analysis.segment_diff import as_frame, as_markdown
from engage.cli.options import as_of_option, opened
from engage.cli.output import say, show

__all__ = ["diff"]


@click.command()
@click.argument("revision")
@as_of_option
@click.option(
    "--format", "format_", type=click.Choice(["table", "csv", "json", "markdown"]), default="table", show_default=True
)
@click.pass_context
def diff(context: click.Context, revision: str, as_of: str | None, format_: str) -> None:
    """What the SQL changed since REVISION does to each segment: who comes in, who drops out."""
    workspace = opened(context)
    clock = workspace.moment(as_of) or datetime.now(UTC)
    changes = workspace.segment_diff(revision, clock)
    if format_ == "markdown":
        click.echo(as_markdown(changes, revision, clock), nl=False)
    elif not changes and format_ == "table":
        say("no segment changes")
    else:
        show(as_frame(changes), format_)
