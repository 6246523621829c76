"""Calling what runs an event loop of its own from where one is running already, as notebooks do."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

from engage.delivery.summary import Progress, Report

__all__ = ["beside_loop"]

Result = TypeVar("Result")


def beside_loop(call: Callable[[Report | None], Result], report: Report | None = None) -> Result:
    """Call something that uses `asyncio.run`, in a thread of its own where this one has a running loop.

    Args:
        call: What to call; it is given the report to use.
        report: Told of progress in the caller's thread, where a notebook's output can be reached.

    Returns:
        What it returns; what it raises is raised here.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return call(report)
    told: queue.SimpleQueue[Progress | None] = queue.SimpleQueue()
    found: list[Result] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            found.append(call(told.put if report else None))
        except BaseException as error:
            failed.append(error)
        finally:
            told.put(None)

    thread = threading.Thread(target=work, name="engage-send")
    thread.start()
    while (progress := told.get()) is not None:
        if report:
            report(progress)
    thread.join()
    if failed:
        raise failed[0]
    return found[0]
