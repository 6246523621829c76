"""Journeys: list, check, simulate, launch, pause, stop, status."""

from __future__ import annotations

import click
import polars as pl

from engage.cli.options import as_of_option, opened
from engage.cli.output import format_option, say, show
from engage.errors import PlanError
from engage.journeys.simulation import compared

__all__ = ["journey"]


@click.group()
def journey() -> None:
    """Journeys, each a file under data/journeys/."""


@journey.command("list")
@format_option
@click.pass_context
def list_(context: click.Context, format_: str) -> None:
    """Every journey."""
    rows = [
        {"journey": j.journey_id, "title": j.title, "status": j.status, "nodes": len(j.nodes)}
        for j in opened(context).journeys()
    ]
    schema = {"journey": pl.String, "title": pl.String, "status": pl.String, "nodes": pl.Int64}
    show(pl.DataFrame(rows, schema=schema), format_)


@journey.command()
@click.argument("name")
@click.pass_context
def check(context: click.Context, name: str) -> None:
    """Tell every fault of journey NAME, by node."""
    faults = opened(context).journey(name).check()
    for fault in faults:
        say(f"{fault.node}: {fault.what}")
    if faults:
        raise PlanError(f"{len(faults)} fault{'s' if len(faults) > 1 else ''}", where=name)
    say(f"{name} may be launched")


@journey.command("show")
@click.argument("name")
@click.pass_context
def picture(context: click.Context, name: str) -> None:
    """Journey NAME as a Mermaid picture, with counts once it was launched."""
    say(opened(context).journey(name).picture().rstrip())


@journey.command()
@click.argument("name")
@click.option("--from", "since", required=True, metavar="TIME", help="From when.")
@click.option("--to", "until", required=True, metavar="TIME", help="Until before when.")
@click.option("--step", metavar="LENGTH", help='How far each tick goes, e.g. "1 day".')
@click.option("--against", metavar="VERSION", type=int, help="Beside this published version.")
@click.option(
    "--show", "part", type=click.Choice(["nodes", "days", "reasons", "people"]), default="nodes", show_default=True
)
@format_option
@click.pass_context
def simulate(
    context: click.Context,
    name: str,
    since: str,
    until: str,
    step: str | None,
    against: int | None,
    part: str,
    format_: str,
) -> None:
    """Run journey NAME over what happened; nothing is sent."""
    opened_ = opened(context).journey(name)
    found = opened_.simulate(since, until, step=step)
    if against is not None:
        before = opened_.simulate(since, until, step=step, values=opened_.version(against))
        show(compared(before, found), format_)
        return
    if part != "nodes":
        parts = {"days": found.inside, "reasons": found.left_out, "people": found.recipients}
        show(parts[part].head(100) if format_ == "table" else parts[part], format_)
        return
    if format_ == "table":
        say(f"{found.entries:,} entries, {found.moves:,} moves")
    show(found.nodes, format_)
    if format_ == "table" and found.messages.height:
        show(found.messages, format_)
    if format_ == "table" and found.left_out.height:
        show(found.left_out, format_)


@journey.command()
@click.argument("name")
@click.option(
    "--inside",
    type=click.Choice(["finish", "move", "leave"]),
    default="finish",
    show_default=True,
    help="What those inside an older version do.",
)
@click.option("--to", metavar="NODE", help="The node they move to; the one of the same name otherwise.")
@click.pass_context
def launch(context: click.Context, name: str, inside: str, to: str | None) -> None:
    """Let people into journey NAME, go on after a pause, or publish what was changed."""
    opened_ = opened(context).journey(name)
    there = opened_.inside(to)
    if inside == "move" and there.height:
        show(there, "table")
    elif there.height:
        say(f"{there['people'].sum():,} people are inside")
    opened_.launch(inside=inside, to=to)
    say(f"{name} is running; `engage worker` moves people on")


@journey.command()
@click.argument("name")
@click.pass_context
def pause(context: click.Context, name: str) -> None:
    """Let nobody in and nothing happen until journey NAME is launched again."""
    opened(context).journey(name).pause()
    say(f"{name} is paused")


@journey.command()
@click.argument("name")
@click.pass_context
def stop(context: click.Context, name: str) -> None:
    """End journey NAME for good."""
    opened(context).journey(name).stop()
    say(f"{name} is stopped")


@journey.command()
@click.argument("name")
@click.option("--user", help="This person's path instead.")
@click.option("--lift", is_flag=True, help="What it and each version caused, against the control group, instead.")
@as_of_option
@format_option
@click.pass_context
def status(context: click.Context, name: str, user: str | None, lift: bool, as_of: str | None, format_: str) -> None:
    """People at each node of journey NAME."""
    found = opened(context).journey(name)
    if lift:
        show(found.lifts(as_of), format_)
        return
    show(found.path(user) if user else found.status(as_of), format_)


@journey.command()
@click.option("--now", metavar="TIME", help="The clock; of the past only with the outbox.")
@click.pass_context
def tick(context: click.Context, now: str | None) -> None:
    """Bring every running journey up to now, and send what falls due."""
    for done in opened(context).tick_journeys(now):
        sent = sum((done.sent or {}).values())
        say(f"{done.journey_id}: {done.moves:,} moves, {sent:,} sent{'; ' if done.error else ''}{done.error}")
