"""The worker, until it is stopped."""

from __future__ import annotations

import os
import signal
import sys
import threading

import click

from engage.cli.options import opened
from engage.logs import print_logs
from engage.worker import work

__all__ = ["worker"]


@click.command()
@click.option("--once", is_flag=True, help="Do each duty once, and end.")
@click.option("--with-parent", is_flag=True, hidden=True, help="Stop when stdin ends, as it does when the parent dies.")
@click.pass_context
def worker(context: click.Context, once: bool, with_parent: bool) -> None:
    """Send what falls due of launched campaigns, finish unfinished runs and merge small files, until stopped.

    Each thing that happened is one line of JSON on stderr. SIGTERM stops it cleanly.
    """
    print_logs()
    if with_parent:
        threading.Thread(target=_stop_with_parent, daemon=True).start()
    work(opened(context), once=once)


def _stop_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)
