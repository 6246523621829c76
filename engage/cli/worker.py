"""The worker, until it is stopped."""

from __future__ import annotations

import click

from engage.cli.options import opened
from engage.logs import print_logs
from engage.worker import work

__all__ = ["worker"]


@click.command()
@click.option("--once", is_flag=True, help="Do each duty once, and end.")
@click.pass_context
def worker(context: click.Context, once: bool) -> None:
    """Send what falls due of launched campaigns, finish unfinished runs and merge small files, until stopped.

    Each thing that happened is one line of JSON on stderr. SIGTERM stops it cleanly.
    """
    print_logs()
    work(opened(context), once=once)
