"""Runs: see how far they got, pause them, go on, and settle failed people and those in doubt."""

from __future__ import annotations

import time

import click
import polars as pl

from engage.cli.options import opened
from engage.cli.output import format_option, progress_bar, say, show
from engage.delivery.summary import Progress, Summary
from engage.workspace import Workspace

__all__ = ["delivery"]

_OVER = ("completed", "stopped", "failed", "paused")


@click.group()
def delivery() -> None:
    """Runs: what was sent and what is in flight."""


@delivery.command()
@click.argument("run", required=False)
@format_option
@click.pass_context
def status(context: click.Context, run: str | None, format_: str) -> None:
    """Every run with its outcomes; or RUN alone, each outcome in a row."""
    workspace = opened(context)
    if run is not None:
        found = workspace.run(run)
        rows = [{"outcome": outcome, "people": n} for outcome, n in found.counts().items()]
        title = f"{run}: {found.state}{f', {found.error}' if found.error else ''}"
        show(pl.DataFrame(rows, schema={"outcome": pl.String, "people": pl.Int64}), format_, title=title)
        return
    show(pl.DataFrame([_row(one) for one in workspace.runs()]), format_)


def _row(item: Summary) -> dict[str, object]:
    return {
        "run": item.run_id,
        "state": item.state,
        "audience": item.audience,
        "sent": item.sent,
        "held out": item.held_out,
        "excluded": sum(item.excluded.values()),
        "failed": sum(item.failed.values()),
        "in doubt": item.in_doubt,
        "pending": item.pending,
    }


@delivery.command()
@click.argument("run")
@click.pass_context
def pause(context: click.Context, run: str) -> None:
    """Let nothing more of RUN leave."""
    say(f"{run} is paused" if opened(context).pause_run(run) else f"{run} was not running")


@delivery.command()
@click.argument("run")
@click.pass_context
def resume(context: click.Context, run: str) -> None:
    """Go on with RUN after a pause, a kill or a provider's absence."""
    workspace = opened(context)
    workspace.resume_run(run)
    _send(workspace, run)


@delivery.command()
@click.argument("run")
@format_option
@click.pass_context
def failed(context: click.Context, run: str, format_: str) -> None:
    """The people of RUN who were not sent to, and those in doubt; --format csv exports them."""
    show(opened(context).unsent(run), format_)


@delivery.command()
@click.argument("run")
@click.option("--reason", help="Only those who failed for this reason.")
@click.option("--plan-only", is_flag=True, help="Plan the new run, and send nothing.")
@click.pass_context
def retry(context: click.Context, run: str, reason: str | None, plan_only: bool) -> None:
    """Send the people of RUN who failed its message again, as a run of their own."""
    workspace = opened(context)
    planned = workspace.retry_run(run, reason)
    if plan_only:
        say(f"{planned.run_id}: {planned.counts.send:,} to send")
    else:
        _send(workspace, planned.run_id)


@delivery.command()
@click.argument("run")
@click.argument("outcome", type=click.Choice(["sent", "failed", "retry"]))
@click.option("--user", "users", multiple=True, help="Only this person; may be given again.")
@click.pass_context
def resolve(context: click.Context, run: str, outcome: str, users: tuple[str, ...]) -> None:
    """Say what became of those in doubt of RUN: they were sent to, they were not, or send them again."""
    resolved = opened(context).resolve_run(run, outcome, users=users or None)  # type: ignore[arg-type]
    then = f"; `engage delivery resume {run}` sends them" if outcome == "retry" and resolved else ""
    say(f"{run}: {resolved:,} {'to be sent again' if outcome == 'retry' else outcome}{then}")


@delivery.command()
@click.argument("run")
@click.option("--pending", is_flag=True, help="Send to those the lake knows nothing of: certainly none had left.")
@click.pass_context
def recover(context: click.Context, run: str, pending: bool) -> None:
    """Enter RUN, whose ledger was lost, anew by what the lake knows; the others are in doubt."""
    _told(opened(context).recover_run(run, "pending" if pending else "in_doubt"))


@delivery.command()
@click.pass_context
def metrics(context: click.Context) -> None:
    """Print counters of all runs as OpenMetrics text."""
    click.echo(opened(context).metrics(), nl=False)


@delivery.command()
@click.argument("run", required=False)
@click.option("--every", default=1.0, show_default=True, help="Seconds between looks.")
@click.pass_context
def watch(context: click.Context, run: str | None, every: float) -> None:
    """Follow RUN, or the newest that is not over, until it is over or nothing of it is due."""
    workspace = opened(context)
    if run is None:
        going = [one for one in workspace.runs() if one.state == "running"]
        if not going:
            say("no run is under way")
            return
        run = going[-1].run_id
    with progress_bar(run) as advance:
        while True:
            found = workspace.run(run)
            total = found.audience - found.held_out - sum(found.excluded.values())
            advance(found.state, total - found.pending, total)
            if found.state in _OVER or found.next_at is not None:
                break
            time.sleep(every)
    _told(found)


def _send(workspace: Workspace, run: str) -> None:
    with progress_bar(f"sending {run}") as advance:

        def told(progress: Progress) -> None:
            advance(progress.line, progress.done, progress.total)

        summary = workspace.send_run(run, report=told)
    _told(summary)


def _told(found: Summary) -> None:
    counts = ", ".join(f"{outcome.replace('_', ' ')} {n:,}" for outcome, n in found.counts().items())
    due = f"; next due {found.next_at:%Y-%m-%d %H:%M} UTC" if found.next_at else ""
    say(f"{found.run_id} {found.state}: {counts or 'nobody to reach'}{due}")
