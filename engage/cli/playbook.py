"""Clever Campaigns: list, show, add."""

from __future__ import annotations

import sys

import click
import polars as pl

from engage.cli.options import as_of_option, opened, param_option, parsed_params
from engage.cli.output import format_option, say, show
from engage.query.files import parse_value

__all__ = ["playbook"]


@click.group()
def playbook() -> None:
    """Ready-made journeys, filled in from the lake."""


@playbook.command("list")
@format_option
@click.pass_context
def list_(context: click.Context, format_: str) -> None:
    """Every playbook."""
    rows = [{"playbook": p.name, "title": p.title} for p in opened(context).playbooks()]
    show(pl.DataFrame(rows, schema={"playbook": pl.String, "title": pl.String}), format_)


@playbook.command("show")
@click.argument("name")
@param_option
@as_of_option
@click.pass_context
def show_(context: click.Context, name: str, params: tuple[str, ...], as_of: str | None) -> None:
    """What playbook NAME is for, what it asks, what this lake suggests and how many it would reach."""
    filled = opened(context).fill_playbook(name, parsed_params(params), as_of)
    book = filled.playbook
    for line in (book.title, f"why: {book.why}", f"when: {book.when}", f"expect: {book.expect}"):
        say(line)
    for key, about in book.asks.items():
        say(f"{key} = {filled.answers[key]}  # {about}")
    for segment, people in filled.reach.items():
        say(f"{people:,} people in {segment} now")


@playbook.command()
@click.argument("name")
@click.option("--name", "journey", help="The journey's name; the playbook's by default.")
@param_option
@click.option("--now", metavar="TIME", help="The clock.")
@click.option("--yes", "-y", is_flag=True, help="Take what the lake suggests; at a terminal it is asked otherwise.")
@click.pass_context
def add(
    context: click.Context, name: str, journey: str | None, params: tuple[str, ...], now: str | None, yes: bool
) -> None:
    """Make a journey of playbook NAME, as a draft, and tell what it would have done in the past 30 days."""
    workspace, answers = opened(context), parsed_params(params)
    if not yes and sys.stdin.isatty():
        for key, about in workspace.fill_playbook(name, answers, now).playbook.asks.items():
            if key not in answers:
                # Asked one after another: what is suggested follows from the answers before.
                suggested = workspace.fill_playbook(name, answers, now).answers[key]
                answers[key] = parse_value(str(click.prompt(f"{about}\n  {key}", default=suggested)))
    made = workspace.create_from_playbook(name, journey, answers, now)
    say(f"made data/journeys/{made.journey.definition.journey_id}.toml")
    for segment, people in made.filled.reach.items():
        say(f"{people:,} people in {segment} now")
    say(f"{made.simulation.entries:,} would have entered in the past 30 days")
    show(made.simulation.messages, "table")
