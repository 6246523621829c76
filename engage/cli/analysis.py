"""Analysis: retention, lift."""

from __future__ import annotations

from typing import Any

import click
import polars as pl

from engage.cli.options import as_of_option, opened
from engage.cli.output import format_option, say, show
from engage.workspace import Workspace

__all__ = ["lift", "retention", "retention_table"]


def retention_table(workspace: Workspace, label: str, days: int, as_of: str | None) -> pl.DataFrame:
    """One row a day: the share of those sent a label who were back on it, of all its cohorts that got that far."""
    first = workspace.sql(
        "select min(event_time) as t from notifications where event_name = 'Notification Sent' "
        "and list_contains(labels, $label)", as_of, label=label
    ).item()  # fmt: skip
    if first is None:
        return pl.DataFrame(schema={"day": pl.Int64, "people": pl.Int64, "back": pl.Int64, "rate": pl.Float64})
    table = workspace.retention(label=label, periods=days + 1, date_from=first, as_of=as_of)
    known = table.filter(pl.col("users").is_not_null() & (pl.col("size") > 0))
    return (
        known.group_by(day="period")
        .agg(people=pl.col("size").sum(), back=pl.col("users").sum())
        .with_columns(rate=pl.col("back") / pl.col("people"))
        .sort("day")
    )


@click.command()
@click.option("--label", help="Of those sent a message with this label.")
@click.option("--days", default=30, show_default=True, help="How many days (or other periods) to follow.")
@click.option("--start-event", help="What starts a cohort, without --label.")
@click.option("--return-event", help="What counts as coming back.  [default: anything]")
@click.option("--period", type=click.Choice(["hour", "day", "week", "month"]), default="day", show_default=True)
@click.option("--kind", type=click.Choice(["recurring", "first_time", "first_ever"]))
@click.option("--date-to", help="The last cohort's day.")
@as_of_option
@format_option
@click.pass_context
def retention(
    context: click.Context, label: str | None, days: int, as_of: str | None, format_: str, **question: Any
) -> None:
    """Who came back."""
    workspace = opened(context)
    given = {name: value for name, value in question.items() if value is not None}
    if label and set(given) == {"period"} and given["period"] == "day":
        table = retention_table(workspace, label, days, as_of)
        if not table.height:
            say(f"nobody was sent a message labelled {label!r}; see `engage report campaigns`")
            return
        show(table, format_, percent=("rate",), title=f"Back after being sent {label}")
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
