"""The worker: what a workspace does by itself, again and again until it is told to stop.

It does a list of duties, each in its turn: campaigns that are due, runs that are unfinished, what
providers told later of messages in doubt, reports to mail, small files of the lake.
One worker leads a workspace. Where the ledger is on Postgres more may run: they send what the leader planned, and one
of them leads when it is gone. Killed at any instant, whoever starts next goes on where it was.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engage.access.actor import service
from engage.errors import ConfigurationError, EngageError
from engage.logs import log
from engage.stopping import stopping
from engage.workspace import Workspace
from engage.workspace.leading import Leadership

__all__ = ["DUTIES", "Duty", "work"]

_PARTING = 10.0  # seconds given to what is done beside the others; it is killed then, which loses nothing
_LONGEST = 300.0  # seconds a duty that fails is left alone at most


@dataclass(frozen=True, slots=True)
class Duty:
    """Something to be done again and again.

    Args:
        name: What it is called in logs.
        every: Seconds from its end to its next beginning.
        do: Does it; returns what went wrong with parts of it, a line each. Where it raises, all of it went wrong.
        shared: Workers that do not lead do it too.
        beside: It may take long, mostly waiting for somebody, and is done while the others go on.
    """

    name: str
    every: float
    do: Callable[[Workspace], Sequence[str]]
    shared: bool = False
    beside: bool = False


def _campaigns(workspace: Workspace) -> list[str]:
    return [done.error for done in workspace.tick_campaigns() if done.error]


def _triggers(workspace: Workspace) -> list[str]:
    return [done.error for done in workspace.tick_triggers() if done.error]


def _runs(workspace: Workspace) -> list[str]:
    return [error for _, error in workspace.deliver_due() if error]


def _doubt(workspace: Workspace) -> list[str]:
    if settled := workspace.settle_doubt():
        log("doubt_settled", messages=settled)
    return []


def _journeys(workspace: Workspace) -> list[str]:
    return [done.error for done in workspace.tick_journeys() if done.error]


def _reports(workspace: Workspace) -> list[str]:
    done = workspace.tick_reports()
    refused = [
        f"{one.name}: {len(one.mailed.failed)} addresses refused" for one in done if one.mailed and one.mailed.failed
    ]
    return [one.error for one in done if one.error] + refused


def _audiences(workspace: Workspace) -> list[str]:
    return [f"{done.name}: {done.error}" for done in workspace.reopened().tick_audiences() if done.error]


def _compaction(workspace: Workspace) -> list[str]:
    workspace.compact()
    workspace.sweep_mailbox()
    return []


DUTIES: tuple[Duty, ...] = (
    Duty("campaigns", 5.0, _campaigns),
    Duty("triggers", 0.5, _triggers),
    Duty("journeys", 5.0, _journeys),
    Duty("runs", 5.0, _runs, shared=True),
    Duty("doubt", 60.0, _doubt),
    Duty("reports", 60.0, _reports),
    Duty("audiences", 30.0, _audiences, beside=True),
    Duty("compaction", 3600.0, _compaction),
)
"""What a worker does, in this order."""


def work(
    workspace: Workspace,
    *,
    duties: Sequence[Duty] = DUTIES,
    once: bool = False,
    stop: threading.Event | None = None,
) -> None:
    """Do a workspace's duties until told to stop.

    A duty that raises is logged and left alone for longer each time, up to five minutes; the others go on. So is a
    campaign or run that goes wrong, while the other campaigns go on.

    Args:
        workspace: The workspace.
        duties: What to do.
        once: Do each once, and return.
        stop: Stops it: what is being sent is brought to an end within a few seconds, receipts landed, and batches
            given back. By default SIGTERM and SIGINT do that.

    Raises:
        ConfigurationError: Another worker leads this workspace, and its ledger is a file.
    """
    with stopping(stop) as ended, Leadership(workspace) as leadership:
        workspace.stop = ended
        workspace.acts_as(service("worker"))
        log("worker_started", leads=leadership.leads)
        due = {duty.name: 0.0 for duty in duties}
        failures = dict.fromkeys(due, 0)
        beside: dict[str, threading.Thread] = {}

        def do(duty: Duty) -> None:
            failures[duty.name] = 0 if _done(duty, workspace) else failures[duty.name] + 1
            wait = min(_LONGEST, duty.every * 2 ** min(failures[duty.name], 16))
            due[duty.name] = time.monotonic() + max(wait, duty.every)

        try:
            while not ended.is_set():
                for duty in duties:
                    mine = duty.shared or leadership.leads
                    if ended.is_set() or not mine or time.monotonic() < due[duty.name]:
                        continue
                    if not duty.beside or once:
                        do(duty)
                        continue
                    due[duty.name] = time.monotonic() + duty.every
                    if duty.name not in beside or not beside[duty.name].is_alive():
                        beside[duty.name] = threading.Thread(target=do, args=(duty,), name=duty.name, daemon=True)
                        beside[duty.name].start()
                if once:
                    return
                leadership.seek()
                ended.wait(max(0.05, min(1.0, min(due.values()) - time.monotonic())))
        finally:
            if beside:
                ended.set()
            for thread in beside.values():
                thread.join(_PARTING)
            workspace.stop = None
            workspace.acts_as(None)
            log("worker_stopped")


def _done(duty: Duty, workspace: Workspace) -> bool:
    """Do a duty; False when all of it went wrong."""
    began, well = time.monotonic(), False
    errors: Sequence[str]
    try:
        errors = duty.do(workspace)
        well = True
    except (EngageError, ConfigurationError) as error:
        errors = [str(error)]
    except Exception as error:  # a fault of ours must not end the other duties
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        where = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame is not None else ""
        errors = [f"{type(error).__name__} at {where}"]
    seconds = round(time.monotonic() - began, 3)
    for told in errors:
        log("duty_failed", level=logging.ERROR, duty=duty.name, error=told, seconds=seconds)
    return well
