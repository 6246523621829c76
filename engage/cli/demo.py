"""The main job on the sample data, from events to retention by label, and the command that opens the notebooks."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from engage.cli.analysis import show_label_retention
from engage.cli.options import opened
from engage.cli.output import console, progress_bar, say
from engage.cli.report import show_report
from engage.delivery.summary import Progress
from engage.errors import ConfigurationError
from engage.template import template_root
from engage.workspace import Workspace

__all__ = ["demo", "notebooks"]

_AS_OF = "1997-02-01"
_UNTIL = "1997-04-01"


@click.group(invoke_without_command=True)
@click.pass_context
def demo(context: click.Context) -> None:
    """Run the main job on the sample data (CDNOW, 1997), in this workspace."""
    if context.invoked_subcommand is not None:
        return
    workspace = opened(context)
    run_demo(workspace)
    command = "engage notebooks"
    if (workspace.root / ".venv" / "bin" / "engage").exists():
        command = ".venv/bin/engage notebooks"
    say("")
    say(f"Open the notebooks with:  {command}")
    if os.environ.get("ENGAGE_OPEN") == "1" or (
        console.is_terminal and sys.stdin.isatty() and click.confirm("Open them now?", default=False)
    ):
        open_notebooks(workspace)


@demo.command()
@click.option("--port", default=8025, show_default=True, type=click.IntRange(1, 65535), help="The port.")
@click.option("--smtp-port", default=8026, show_default=True, type=click.IntRange(1, 65535), help="Of the mail server.")
@click.option("--use", multiple=True, metavar="PROVIDER", help="A provider to choose, not its channel's first.")
@click.option("--write", is_flag=True, help="Write the settings into this workspace, and the keys beside it.")
@click.pass_context
def providers(context: click.Context, port: int, smtp_port: int, use: tuple[str, ...], write: bool) -> None:
    """Run a server that stands for every provider, so that each channel works without an account.

    Nothing leaves this machine. Open the server's page to see what each channel sent. Without --write, the settings to
    paste are printed.
    """
    try:
        import uvicorn

        from engage.sample.providers import Received, create_providers
        from engage.sample.providers.configure import configuration, write_configuration
        from engage.sample.providers.smtp import mail_server
    except ImportError as error:
        raise ConfigurationError(f"it needs {error.name}", hint="pip install 'engage[server,channels]'") from error
    received, base = Received(), f"http://127.0.0.1:{port}"
    with mail_server(received, smtp_port) as mail:
        told = configuration(base, smtp_port=mail, use=use)
        if write:
            file, environment = write_configuration(opened(context).settings, told)
            say(f"written: {file}")
            say(f"in each shell that sends:  . {environment}")
        else:
            say(f"# into the workspace's pyproject.toml\n{told.toml}")
            say(f"# into the shell that sends\n{told.exports}")
        say("try:")
        for command in told.commands:
            say(f"  {command}")
        if mail is None:
            say("no mail server: pip install aiosmtpd for one; the other e-mail providers are there")
        say(f"what they got is shown at {base}/; Ctrl-C stops it")
        uvicorn.run(
            create_providers(received), host="127.0.0.1", port=port, ws="none", access_log=False, log_level="warning"
        )


def run_demo(workspace: Workspace) -> None:
    """Import, segment, send as of February 1997, and show what came of it; harmless to repeat."""
    sample = template_root() / "data" / "sample" / "cdnow.parquet"
    say("1. Events in: 69,659 real purchases of 23,570 CDNOW customers")
    with progress_bar("importing") as advance:
        summary = workspace.import_file(sample, "cdnow", progress=advance)
    for name, done in summary.landed.items():
        say(f"   {name}: {done.rows:,} landed, {done.duplicates:,} were there already")
    say(f"2. A segment in SQL: sql/segments/new_customers.sql, as of {_AS_OF}")
    segment = workspace.segment("new_customers", as_of=_AS_OF)
    say(f"   {segment.title}: {segment.count():,} people")
    say("3. A campaign labelled Onboarding to them, a tenth held out, into data/outbox/")
    with progress_bar("sending") as advance:

        def told(progress: Progress) -> None:
            advance(progress.note or f"{progress.rate:,.0f} a second", progress.done, progress.total)

        sent = workspace.campaign("onboarding").send(as_of=_AS_OF, report=told)
    say("   " + ", ".join(f"{outcome.replace('_', ' ')} {count:,}" for outcome, count in sent.counts().items()))
    say("4. A made-up app beside it, whose campaigns have control groups and a planted effect")
    with progress_bar("sample") as advance:
        made = workspace.sample(20_000, 200_000, seed=7, progress=advance)
    for name, planted in made.truth.items():
        say(f"   {name}: planted {planted['conversion']:+.1%} on conversion; the report below should find it")
    say("")
    show_label_retention(workspace, "Onboarding", 30, _UNTIL, "table")
    say("")
    show_report(workspace.campaign_report(), "table")


@click.command()
@click.option("--port", default=2718, show_default=True)
@click.option("--app", is_flag=True, help="Show results only, without code.")
@click.pass_context
def notebooks(context: click.Context, port: int, app: bool) -> None:
    """Open marimo on this workspace's notebooks."""
    open_notebooks(opened(context), port=port, app=app)


def open_notebooks(workspace: Workspace, *, port: int = 2718, app: bool = False) -> None:
    """Run marimo on the workspace's notebooks until it is stopped."""
    if find_spec("marimo") is None:
        raise ConfigurationError("the notebooks need marimo", hint="pip install 'engage[notebooks]'")
    folder: Path = workspace.settings.notebooks
    marimo = [sys.executable, "-m", "marimo", "run" if app else "edit", str(folder), "--port", str(port)]
    subprocess.run(marimo, check=False)
