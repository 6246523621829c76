"""Behaviour: funnels and what people do; every answer is a table to print or to write to a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import polars as pl

from engage.analysis.events import Selector
from engage.cli.options import as_of_option, opened
from engage.cli.output import format_option, say, show
from engage.cli.selectors import EVENT

__all__ = ["active", "funnel", "paths", "rfm", "stickiness", "trends", "uninstalls"]

_period_option = click.option(
    "--period", type=click.Choice(["hour", "day", "week", "month"]), default="day", show_default=True
)


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
@click.argument("steps", nargs=-1, required=True, type=EVENT)
@click.option("--within", default="7 days", show_default=True, help="The time from the first step to the last.")
@click.option("--order", type=click.Choice(["ordered", "strict", "any"]), default="ordered", show_default=True)
@click.option("--exclude", multiple=True, type=EVENT, help="An event that spoils an attempt.")
@click.option("--breakdown", metavar="PROPERTY", help="By this property of the first step.")
@click.option("--users", "step", type=int, metavar="STEP", help="List who reached this step (1 is the first).")
@click.option("--dropped", type=int, metavar="STEP", help="List who reached the step before this one and no further.")
@click.option("--save", metavar="NAME", help="Keep those listed as a segment of this name.")
@click.option("--times", is_flag=True, help="How the time from the first step to the last is spread.")
@_answering
@click.pass_context
def funnel(
    context: click.Context,
    steps: tuple[Selector, ...],
    within: str,
    step: int | None,
    dropped: int | None,
    save: str | None,
    times: bool,
    format_: str,
    output: Path | None,
    **question: Any,
) -> None:
    """How many went through STEPS, each an event's name, and how long it took them.

    With conditions on its properties a step is Viewed[price >= 10 and color in ('red', 'blue')].
    """
    workspace, names = opened(context), list(steps)
    is_dropped, place = dropped is not None, dropped or step or 1
    if save is not None:
        if (step is not None) == is_dropped:
            raise click.UsageError("--save keeps those of --users STEP or of --dropped STEP")
        question.pop("as_of")  # a segment is asked as of any time
        say(f"wrote {workspace.save_funnel_segment(names, place, save, within, is_dropped=is_dropped, **question)}")
    elif times:
        _give(workspace.funnel_times(names, within=within, **question), format_, output)
    elif step is not None or is_dropped:
        users = workspace.funnel_users(names, place, within, is_dropped=is_dropped, **question)
        _give(users, format_, output)
    else:
        _give(workspace.funnel(names, within, **question), format_, output, percent=("rate",))


@click.command()
@click.argument("events", nargs=-1, required=True, type=EVENT)
@_period_option
@click.option("--measure", type=click.Choice(["count", "users", "sum"]), default="count", show_default=True)
@click.option("--amount", metavar="PROPERTY", help="What is summed.")
@click.option("--breakdown", metavar="PROPERTY", help="By this property.")
@_answering
@click.pass_context
def trends(
    context: click.Context, events: tuple[Selector, ...], format_: str, output: Path | None, **question: Any
) -> None:
    """How often EVENTS happened, to how many people, or for how much, period by period."""
    _give(opened(context).trends(list(events), **question), format_, output)


@click.command()
@click.option("--event", type=EVENT, help="What counts as active.  [default: anything]")
@_answering
@click.pass_context
def active(context: click.Context, format_: str, output: Path | None, **question: Any) -> None:
    """Daily, weekly and monthly active users."""
    _give(opened(context).active_users(**question), format_, output, percent=("stickiness",))


@click.command()
@click.option("--event", type=EVENT, help="What counts as active.  [default: anything]")
@_period_option
@click.option("--periods", default=30, show_default=True, help="How many, the last included.")
@_answering
@click.pass_context
def stickiness(context: click.Context, start: str | None, format_: str, output: Path | None, **question: Any) -> None:
    """On how many days (or other periods) people were active."""
    if start is not None:
        raise click.BadParameter("use --periods and --end", param_hint="--start")
    _give(opened(context).stickiness(**question), format_, output, percent=("rate",))


@click.command()
@click.argument("event", type=EVENT)
@click.option("--before", "direction", flag_value="before", help="What happened before it.")
@click.option("--after", "direction", flag_value="after", default="after", help="What happened after it.  [default]")
@click.option("--depth", default=4, show_default=True, help="How many steps.")
@click.option("--top", default=5, show_default=True, help="How many events to name at each step.")
@click.option("--within", default="1 day", show_default=True, help="How far from the event.")
@_answering
@click.pass_context
def paths(context: click.Context, event: Selector, format_: str, output: Path | None, **question: Any) -> None:
    """What people do after EVENT, or did before it."""
    _give(opened(context).paths(event, **question), format_, output)


@click.command()
@click.option("--event", type=EVENT, default="Charged", show_default=True, help="What a purchase is.")
@click.option("--amount", default="amount", show_default=True, help="The property that says for how much.")
@click.option("--users", "is_users", is_flag=True, help="Every customer's scores instead.")
@_answering
@click.pass_context
def rfm(context: click.Context, is_users: bool, format_: str, output: Path | None, **question: Any) -> None:
    """Customers by how recently, how often and for how much they bought."""
    workspace = opened(context)
    table = workspace.rfm_users(**question) if is_users else workspace.rfm(**question)
    _give(table, format_, output, percent=("rate",))


@click.command()
@_period_option
@click.option("--after", "by", type=click.Choice(["label", "campaign"]), help="After messages, by label or campaign.")
@click.option("--within", default="7 days", show_default=True, help="How soon after a message.")
@_answering
@click.pass_context
def uninstalls(
    context: click.Context,
    period: str,
    by: str | None,
    within: str,
    format_: str,
    output: Path | None,
    **question: Any,
) -> None:
    """How many uninstalled the app, by period or after messages."""
    workspace = opened(context)
    if by:
        table = workspace.uninstalls_after(by, within=within, **question)
    else:
        table = workspace.uninstalls(period=period, **question)
    _give(table, format_, output, percent=("rate", "low", "high"))
