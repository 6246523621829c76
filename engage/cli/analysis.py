"""Analysis: retention, lift."""

from __future__ import annotations

from typing import Any

import click
import polars as pl

from engage.analysis.retention_lift import compared
from engage.cli.options import as_of_option, opened
from engage.cli.output import format_option, say, show
from engage.cli.selectors import CONDITIONS, EVENT
from engage.workspace import Workspace

__all__ = ["lift", "retention", "show_label_retention"]


def show_label_retention(workspace: Workspace, label: str, days: int, as_of: str | None, format_: str) -> None:
    """Those sent a label, and beside them its control group and the rest."""
    sent, held_out, rest = (
        workspace.label_retention(label, days, group=group, as_of=as_of) for group in ("sent", "held_out", "rest")
    )
    if not sent.height:
        say(f"nobody was sent a message labelled {label!r}; see `engage report campaigns`")
        return
    table = sent
    for other, name in ((held_out, "held_out"), (rest, "not_sent")):
        if other.height:
            columns = {"people": f"{name}", "rate": f"{name}_rate"}
            table = table.join(other.select("day", *columns).rename(columns), on="day", how="left")
    if held_out.height:
        lift = compared(sent, held_out).select("day", "difference", "difference_low", "difference_high")
        if format_ == "table":
            told = [f"{value:+.1%} ({low:+.1%} to {high:+.1%})" for _, value, low, high in lift.rows()]
            lift = lift.select("day", pl.Series("against_held_out", told, dtype=pl.String))
        table = table.join(lift, on="day", how="left")
    rates = [name for name in table.columns if name.endswith("rate")]
    show(table, format_, percent=rates, title=f"Back after being sent {label}")


@click.command()
@click.option("--label", help="Of those sent a message with this label.")
@click.option("--days", default=30, show_default=True, help="How many days (or other periods) to follow.")
@click.option(
    "--start-event", type=EVENT, help="What starts a cohort, without --label: Charged, Charged[amount >= 10]."
)
@click.option("--return-event", type=EVENT, help="What counts as coming back.  [default: anything]")
@click.option("--where", type=CONDITIONS, metavar="CONDITIONS", help="What holds of both: \"screen = 'cart'\".")
@click.option("--at-least", "minimum_occurrences", type=click.IntRange(1), help="How often in a period to be back.")
@click.option("--period", type=click.Choice(["hour", "day", "week", "month"]), default="day", show_default=True)
@click.option("--week-start", metavar="WEEKDAY", help="The weekday a week begins on.  [default: the workspace's]")
@click.option("--kind", type=click.Choice(["recurring", "first_time", "first_ever"]))
@click.option("--date-from", metavar="DAY", help="The first cohort's day.")
@click.option("--date-to", metavar="DAY", help="The last day that is looked at.  [default: the last event's]")
@click.option("--cohorts", type=click.IntRange(1), help="How many cohorts.  [default: up to the last day]")
@click.option("--mode", type=click.Choice(["on", "on_or_after"]), help="In that very period, or in it or later.")
@click.option(
    "--bracket", "brackets", type=click.IntRange(1), multiple=True, help="So many periods together; repeat it."
)
@click.option("--window", type=click.Choice(["calendar", "24h"]), help="Of the calendar, or from each one's own start.")
@click.option("--segment", help="Only users of this segment.")
@click.option("--campaign", help="Only users sent this campaign.")
@click.option("--breakdown", metavar="PROPERTY", help="By this property of the first event, or by profile.PROPERTY.")
@click.option("--against-rest", is_flag=True, help="Count everyone else too, beside the segment, label or campaign.")
@as_of_option
@format_option
@click.pass_context
def retention(
    context: click.Context, label: str | None, days: int, as_of: str | None, format_: str, **question: Any
) -> None:
    """Who came back."""
    workspace = opened(context)
    given = {name: value for name, value in question.items() if value not in (None, False, ())}
    if "brackets" in given:
        given["mode"] = "bracket"
    if label and set(given) == {"period"} and given["period"] == "day":
        show_label_retention(workspace, label, days, as_of, format_)
        return
    show(workspace.retention(label=label, periods=days + 1, as_of=as_of, **given), format_, percent=("rate",))


@click.command()
@click.argument("campaign")
@click.option("--metric", default="revenue", show_default=True, help="revenue, conversion, or an event's name.")
@click.option("--within", default="14 days", show_default=True, help="How long after the message it counts.")
@as_of_option
@click.pass_context
def lift(context: click.Context, campaign: str, metric: str, within: str, as_of: str | None) -> None:
    """What CAMPAIGN caused, against its control group."""
    say(str(opened(context).lift(campaign, metric=metric, within=within, as_of=as_of)))
