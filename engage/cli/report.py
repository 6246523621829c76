"""Reports: see, mail, schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import polars as pl

from engage.cli.options import as_of_option, opened
from engage.cli.output import format_option, say, show
from engage.errors import ChannelError
from engage.reports.files import to_csv, to_excel, to_parquet
from engage.reports.mail import Mailed

__all__ = ["report", "show_report"]

_FILTERS = (
    click.option("--channel", "channels", multiple=True, help="Only this channel; may be repeated."),
    click.option("--status", "statuses", multiple=True, help="Only campaigns in this state."),
    click.option("--type", "delivery_types", multiple=True, help="Only this delivery type."),
    click.option("--label", "labels", multiple=True, help="Only campaigns sent with this label."),
    click.option("--text", help="Only names that contain this."),
    click.option("--from", "date_from", help="Only what was sent on this day or later."),
    click.option("--to-date", "date_to", help="Only what was sent on this day or earlier."),
    click.option("--last-days", type=click.IntRange(1), help="Only what was sent in so many days."),
    click.option("--column", "columns", multiple=True, help="Show this column; may be repeated."),
    click.option("--sort", help="The column to sort by, the largest first."),
)


def _filters(command: Any) -> Any:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


def _given(view: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in view.items() if value}


@click.group()
def report() -> None:
    """Reports."""


@report.command()
@as_of_option
@format_option
@click.option("--all", "everything", is_flag=True, help="Show every column.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write a .csv, .xlsx or .parquet.")
@_filters
@click.pass_context
def campaigns(
    context: click.Context, as_of: str | None, format_: str, everything: bool, output: Path | None, **view: Any
) -> None:
    """One row a campaign, over all channels."""
    shown = opened(context).report_view(as_of, **_given(view))
    if output is None:
        show_report(shown, format_, everything=everything or bool(view["columns"]))
        return
    write = {".csv": to_csv, ".xlsx": to_excel, ".parquet": to_parquet}.get(output.suffix.lower())
    if write is None:
        raise click.BadParameter("end it with .csv, .xlsx or .parquet", param_hint="--output")
    output.write_bytes(write(shown))
    say(f"wrote {shown.height:,} rows to {output}")


@report.command("mail")
@click.argument("to", nargs=-1, required=True)
@click.option("--title", default="Campaign report", show_default=True)
@as_of_option
@_filters
@click.pass_context
def mail_report(context: click.Context, to: tuple[str, ...], title: str, as_of: str | None, **view: Any) -> None:
    """E-mail the campaign report to the addresses TO: a summary, a picture, and the table as a .csv."""
    _say_mailed("report", opened(context).mail_report(to, _given(view), title=title, as_of=as_of))


@report.command("schedule")
@click.argument("name")
@click.argument("to", nargs=-1, required=True)
@click.option("--cron", default="0 8 * * 1", show_default=True, help="Five fields, in the workspace's time zone.")
@click.option("--title", default="")
@_filters
@click.pass_context
def schedule_report(context: click.Context, name: str, to: tuple[str, ...], cron: str, title: str, **view: Any) -> None:
    """E-mail the campaign report again and again; `engage worker` sends it."""
    made = opened(context).schedule_report(name, to, cron, _given(view), title=title)
    say(f"{made.name}: to {', '.join(made.to)} at {made.schedule.cron} ({made.schedule.timezone})")


@report.command("scheduled")
@format_option
@click.pass_context
def list_scheduled(context: click.Context, format_: str) -> None:
    """The reports that are mailed on a schedule."""
    rows = [
        {
            "name": one.name,
            "cron": one.schedule.cron,
            "to": ", ".join(one.to),
            "last": one.mailed_at,
            "shows": one.view.words(),
        }
        for one in opened(context).scheduled_reports()
    ]
    if not rows and format_ == "table":
        say("no report is scheduled; `engage report schedule weekly ada@example.com` makes one")
        return
    show(pl.DataFrame(rows), format_)


@report.command("unschedule")
@click.argument("name")
@click.pass_context
def unschedule_report(context: click.Context, name: str) -> None:
    """E-mail a report no more."""
    opened(context).unschedule_report(name)
    say(f"{name} is mailed no more")


@report.command("tick")
@click.pass_context
def tick_reports(context: click.Context) -> None:
    """E-mail every scheduled report that is due."""
    for one in opened(context).tick_reports():
        if one.mailed:
            _say_mailed(one.name, one.mailed)
        else:
            say(f"{one.name}: {one.error}")


def _say_mailed(name: str, mailed: Mailed) -> None:
    if mailed.sent:
        say(f"{name}: mailed to {', '.join(mailed.sent)}")
    if mailed.failed:
        address, why = mailed.failed[0]
        raise ChannelError(f"{address} was not sent it: {why}", where=name, hint="check the address and the provider")


@report.command("campaign")
@click.argument("campaign")
@as_of_option
@click.pass_context
def show_campaign(context: click.Context, campaign: str, as_of: str | None) -> None:
    """Look into CAMPAIGN: its funnel, variants, links, failures and days."""
    found = opened(context).campaign_detail(campaign, as_of)
    if not found.days.height:
        say(f"nothing is known of {campaign!r} yet; `engage report campaigns` lists all")
        return
    show(found.funnel, title=campaign, percent=("of_sent",))
    show(found.variants, title="Variants", percent=[name for name in found.variants.columns if name in _SHARES])
    for table, title in ((found.links, "Links"), (found.failures, "Failures"), (found.days, "Days")):
        if table.height:
            show(table, title=title)


_SHARES = (
    "clicked_rate", "conversion_rate", "conversion_low", "conversion_high", "difference", "difference_low",
    "difference_high",
)  # fmt: skip


@report.command("labels")
@as_of_option
@format_option
@click.option("--now", "as_now", is_flag=True, help="By the labels campaigns carry now, not those sent with.")
@click.pass_context
def label_report(context: click.Context, as_of: str | None, format_: str, as_now: bool) -> None:
    """One row a message label, over all campaigns and channels."""
    show(opened(context).label_report(as_of, as_now=as_now), format_, title="Labels")


def show_report(found: pl.DataFrame, format_: str, *, everything: bool = False) -> None:
    """Print the campaign report; a table has the columns people ask for first."""
    if format_ == "table" and not everything:
        found = found.select(
            "campaign_id", "channel", "status", "delivery_type", "labels", "sent", "held_out", "delivered", "viewed",
            "clicked", "converted", "revenue", "conversion_rate", "control_rate", "lift", "lift_low", "lift_high",
        )  # fmt: skip
    rates = ("conversion_rate", "control_rate", "lift", "lift_low", "lift_high", "delivered_rate", "viewed_rate")
    show(found, format_, percent=(*rates, "clicked_rate"), title="Campaigns")
