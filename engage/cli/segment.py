"""Segments: list, count, show, compare, export, check."""

from __future__ import annotations

from pathlib import Path

import click
import polars as pl

from engage.cli.options import as_of_option, opened, param_option, parsed_params
from engage.cli.output import format_option, say, show
from engage.errors import EngageError

__all__ = ["segment"]


@click.group()
def segment() -> None:
    """Named lists of users, each a file under sql/segments/."""


@segment.command("list")
@format_option
@click.pass_context
def list_(context: click.Context, format_: str) -> None:
    """Every segment with its size now."""
    workspace = opened(context)
    rows = []
    for file in workspace.segments():
        try:
            users: int | None = workspace.segment(file.name).count()
        except EngageError:
            users = None  # `engage segment check` tells why
        params = ", ".join(f"{name}={value}" for name, value in file.params.items())
        rows.append({"segment": file.name, "users": users, "title": file.title, "params": params})
    show(
        pl.DataFrame(rows, schema={"segment": pl.String, "users": pl.Int64, "title": pl.String, "params": pl.String}),
        format_,
    )


@segment.command()
@click.argument("name")
@as_of_option
@param_option
@click.pass_context
def count(context: click.Context, name: str, as_of: str | None, params: tuple[str, ...]) -> None:
    """How many users are in segment NAME, and how many of them can be reached on each channel."""
    table = opened(context).reach(name, as_of=as_of, **parsed_params(params))
    say(f"{table['users'][0]:,}")
    say("reachable: " + ", ".join(f"{channel} {n:,}" for channel, n in table.select("channel", "reachable").rows()))


@segment.command()
@click.argument("name")
@as_of_option
@param_option
@format_option
@click.pass_context
def reach(context: click.Context, name: str, as_of: str | None, params: tuple[str, ...], format_: str) -> None:
    """How many users of segment NAME can be reached on each channel: opted in, live address, not suppressed."""
    show(opened(context).reach(name, as_of=as_of, **parsed_params(params)), format_, percent=["rate"])


@segment.command("show")
@click.argument("name")
@as_of_option
@param_option
@format_option
@click.option("--sql", "only_sql", is_flag=True, help="Print its SQL instead.")
@click.pass_context
def show_(
    context: click.Context, name: str, as_of: str | None, params: tuple[str, ...], format_: str, only_sql: bool
) -> None:
    """Who is in segment NAME."""
    found = opened(context).segment(name, as_of=as_of, **parsed_params(params))
    if only_sql:
        say(found.sql.rstrip())
    else:
        show(found.users(), format_, title=found.title, rows=20)


@segment.command()
@click.argument("name")
@click.option("--since", required=True, metavar="TIME", help="From then.")
@click.option("--until", metavar="TIME", help="Until then.  [default: now]")
@click.option("--every", type=click.Choice(["hour", "day", "week", "month"]), default="week", show_default=True)
@param_option
@format_option
@click.pass_context
def sizes(
    context: click.Context,
    name: str,
    since: str,
    until: str | None,
    every: str,
    params: tuple[str, ...],
    format_: str,
) -> None:
    """How many users were in segment NAME at the start of each period."""
    show(opened(context).segment_sizes(name, since, until, every, **parsed_params(params)), format_, rows=1000)


@segment.command()
@click.argument("name")
@click.option("--since", required=True, metavar="TIME", help="The earlier time.")
@click.option("--until", metavar="TIME", help="The later time.  [default: now]")
@param_option
@format_option
@click.pass_context
def moved(
    context: click.Context, name: str, since: str, until: str | None, params: tuple[str, ...], format_: str
) -> None:
    """Who came into segment NAME and who dropped out of it between two times."""
    table = opened(context).segment_moved(name, since, until, **parsed_params(params))
    counts = dict(table.group_by("change").len().iter_rows())
    if format_ == "table":
        say(f"{counts.get('came_in', 0):,} came in, {counts.get('dropped_out', 0):,} dropped out")
    show(table, format_, rows=20)


@segment.command()
@click.argument("first")
@click.argument("second")
@as_of_option
@format_option
@click.pass_context
def overlap(context: click.Context, first: str, second: str, as_of: str | None, format_: str) -> None:
    """How many users segments FIRST and SECOND share."""
    show(opened(context).segment_overlap(first, second, as_of), format_, percent=["rate"])


@segment.command()
@click.argument("name")
@click.argument("property_", metavar="PROPERTY")
@click.option("--top", default=20, show_default=True, help="How many values to tell apart.")
@as_of_option
@param_option
@format_option
@click.pass_context
def breakdown(
    context: click.Context,
    name: str,
    property_: str,
    top: int,
    as_of: str | None,
    params: tuple[str, ...],
    format_: str,
) -> None:
    """How many users of segment NAME have each value of profile PROPERTY."""
    table = opened(context).segment_breakdown(name, property_, top=top, as_of=as_of, **parsed_params(params))
    show(table, format_, percent=["rate"])


@segment.command()
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--property", "properties", multiple=True, metavar="NAME", help="A profile property to add; repeatable.")
@as_of_option
@param_option
@click.pass_context
def export(
    context: click.Context,
    name: str,
    file: Path,
    properties: tuple[str, ...],
    as_of: str | None,
    params: tuple[str, ...],
) -> None:
    """Write the users of segment NAME into FILE, .csv or .parquet."""
    users = opened(context).export_people(name, file, properties, as_of, **parsed_params(params))
    say(f"{users:,} users in {file}")


@segment.command()
@click.argument("name", required=False)
@click.pass_context
def check(context: click.Context, name: str | None) -> None:
    """Check segment NAME, or all: reproducible, read-only, one row a user."""
    workspace = opened(context)
    files = [workspace.segment(name).file] if name else workspace.segments()
    findings = [finding for file in files for finding in workspace.check_file(file.path)]
    for finding in findings:
        say(str(finding))
    if findings:
        raise EngageError(f"{len(findings)} faults", where="sql/segments/", hint="mend them and check again")
    say(f"{len(files)} segments are in order")
