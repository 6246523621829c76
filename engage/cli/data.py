"""Workspace and lake: init, import, sql, check."""

from __future__ import annotations

from pathlib import Path

import click

from engage.cli.options import as_of_option, opened, param_option, parsed_params
from engage.cli.output import format_option, progress_bar, say, show
from engage.errors import EngageError
from engage.template import template_root
from engage.workspace import Workspace

__all__ = ["check", "import_", "init", "sample", "sql", "upgrade"]


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--timezone", default="UTC", show_default=True, help="The time zone days are counted in.")
def init(path: Path, timezone: str) -> None:
    """Make a workspace at PATH."""
    workspace = Workspace.create(path, timezone=timezone)
    say(f"made {workspace.root}")
    say(f"next: cd {path} && engage import FILE --mapping sql/imports/example.sql, or engage sample")


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--mapping", "-m", help="A name under sql/imports/, or a path; none for a file of events.")
@click.pass_context
def import_(context: click.Context, file: Path, mapping: str | None) -> None:
    """Import FILE: CSV, NDJSON or Parquet, through a mapping."""
    with progress_bar(f"importing {file.name}") as progress:
        summary = opened(context).import_file(file, mapping, progress=progress)
    landed = ", ".join(f"{done.rows:,} {name}" for name, done in summary.landed.items())
    there = sum(done.duplicates for done in summary.landed.values())
    say(f"{file.name}: {summary.rows:,} rows; landed {landed}" + (f"; {there:,} were there already" if there else ""))
    if summary.rejected:
        say(f"{summary.rejected:,} rows rejected, told with line and reason in {summary.rejects_file}")


def _number(context: click.Context, parameter: click.Parameter, value: str) -> int:
    """Read 50k, 1M or 50000."""
    text = value.strip().lower().replace("_", "").replace(",", "")
    factor = {"k": 1_000, "m": 1_000_000}.get(text[-1:], 1)
    digits = text[:-1] if factor > 1 else text
    if not digits.isascii() or not digits.isdigit() or not int(digits):
        raise click.BadParameter("write a number such as 50k, 1M or 50000")
    return int(digits) * factor


@click.command()
@click.option("--users", default="50k", show_default=True, callback=_number, help="How many people.")
@click.option("--events", default="1M", show_default=True, callback=_number, help="How many events.")
@click.option("--seed", default=7, show_default=True, help="The same seed gives the same rows.")
@click.pass_context
def sample(context: click.Context, users: int, events: int, seed: int) -> None:
    """Land a made-up app's life: installs, sessions, purchases, campaigns with control groups."""
    with progress_bar("sample") as progress:
        made = opened(context).sample(users, events, seed=seed, progress=progress)
    say(f"{made.events:,} events of {users:,} people; planted effects on conversion within 14 days:")
    for campaign, planted in made.truth.items():
        people = f"{planted['sent']:,.0f} sent, {planted['held_out']:,.0f} held out"
        say(f"  {campaign}: {planted['conversion']:+.2%} ({people})")


@click.command()
@click.argument("query")
@as_of_option
@param_option
@format_option
@click.pass_context
def sql(context: click.Context, query: str, as_of: str | None, params: tuple[str, ...], format_: str) -> None:
    """Run one select over the lake; QUERY may be a .sql file."""
    file = Path(query)
    text = file.read_text() if query.endswith(".sql") and file.is_file() else query
    show(opened(context).sql(text, as_of=as_of, **parsed_params(params)), format_)


@click.command()
@click.pass_context
def check(context: click.Context) -> None:
    """Check every SQL file: reproducible, read-only, one row a user."""
    findings = opened(context).check()
    for finding in findings:
        say(str(finding))
    if findings:
        raise EngageError(f"{len(findings)} faults in sql/", hint="mend them and run `engage check` again")
    say("sql/ is in order")


@click.command()
@click.pass_context
def upgrade(context: click.Context) -> None:
    """Bring the workspace to this version's layout; stop server and worker first. Harmless to repeat."""
    workspace = opened(context)
    done = workspace.upgrade()
    for what, names in (("added", done.added), ("renewed", done.renewed)):
        for name in names:
            say(f"{what} {name}")
    for name in done.kept:
        say(f"kept {name}, which was edited here; compare it with {template_root() / name}")
    say(f"layout {done.after}" + (f", was {done.before}" if done.before != done.after else ""))
