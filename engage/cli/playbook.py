"""Clever Campaigns: list, show, add."""

from __future__ import annotations

import click
import polars as pl

from engage.cli.options import as_of_option, opened, param_option, parsed_params
from engage.cli.output import format_option, say, show

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
    for key, value in filled.answers.items():
        say(f"{key} = {value}")
    for segment, people in filled.reach.items():
        say(f"{people:,} people in {segment} now")


@playbook.command()
@click.argument("name")
@click.option("--name", "journey", help="The journey's name; the playbook's by default.")
@param_option
@click.option("--now", metavar="TIME", help="The clock.")
@click.pass_context
def add(context: click.Context, name: str, journey: str | None, params: tuple[str, ...], now: str | None) -> None:
    """Make a journey of playbook NAME, as a draft, and tell what it would have done in the past 30 days."""
    made = opened(context).create_from_playbook(name, journey, parsed_params(params), now)
    say(f"made data/journeys/{made.journey.definition.journey_id}.toml")
    for segment, people in made.filled.reach.items():
        say(f"{people:,} people in {segment} now")
    if made.simulation:
        say(f"{made.simulation.entries:,} would have entered in the past 30 days")
        show(made.simulation.messages, "table")
