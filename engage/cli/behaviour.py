"""Behaviour: funnels and what people do; every answer is a table to print or to write to a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import polars as pl

from engage.cli.options import as_of_option, opened
from engage.cli.output import format_option, say, show

__all__ = ["funnel"]


def _answering(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every question: whose events, which days, and where the answer goes."""
    options = (
        click.option("--segment", help="Only users of this segment."),
        click.option("--label", help="Only users sent a message with this label."),
        click.option("--campaign", help="Only users sent this campaign."),
        click.option("--start", metavar="DAY", help="Only events from then on."),
        click.option("--end", metavar="DAY", help="Only events up to then, the day included."),
        as_of_option,
        format_option,
        click.option(
            "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the table to a .csv or .parquet."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _give(table: pl.DataFrame, format_: str, output: Path | None, percent: Sequence[str] = ()) -> None:
    if output is None:
        show(table, format_, percent=percent)
        return
    if output.suffix == ".csv":
        table.write_csv(output)
    elif output.suffix == ".parquet":
        table.write_parquet(output)
    else:
        raise click.BadParameter("end it with .csv or .parquet", param_hint="--output")
    say(f"wrote {table.height:,} rows to {output}")


@click.command()
@click.argument("steps", nargs=-1, required=True)
@click.option("--within", default="7 days", show_default=True, help="The time from the first step to the last.")
@click.option("--order", type=click.Choice(["ordered", "strict", "any"]), default="ordered", show_default=True)
@click.option("--exclude", multiple=True, metavar="EVENT", help="An event that spoils an attempt.")
@click.option("--breakdown", metavar="PROPERTY", help="By this property of the first step.")
@click.option("--users", "step", type=int, metavar="STEP", help="List who reached this step (1 is the first).")
@click.option("--dropped", type=int, metavar="STEP", help="List who reached the step before this one and no further.")
@click.option("--times", is_flag=True, help="How the time from the first step to the last is spread.")
@_answering
@click.pass_context
def funnel(
    context: click.Context,
    steps: tuple[str, ...],
    within: str,
    step: int | None,
    dropped: int | None,
    times: bool,
    format_: str,
    output: Path | None,
    **question: Any,
) -> None:
    """How many went through STEPS, each an event's name, and how long it took them."""
    workspace, names = opened(context), list(steps)
    if times:
        _give(workspace.funnel_times(names, within=within, **question), format_, output)
    elif step is not None or dropped is not None:
        users = workspace.funnel_users(names, dropped or step or 1, within, is_dropped=dropped is not None, **question)
        _give(users, format_, output)
    else:
        _give(workspace.funnel(names, within, **question), format_, output, percent=("rate",))
