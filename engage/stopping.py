"""What is told to stop, by a signal or by whoever started it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["stopping"]


@contextmanager
def stopping(stop: threading.Event | None) -> Iterator[threading.Event]:
    """Give the event that ends some work.

    Args:
        stop: Whoever started the work sets it. Without one, the first SIGTERM or SIGINT does, where this is the main
            thread, and a second signal does what it always does.

    Returns:
        A context with the event; signals mean afterwards what they meant before.
    """
    if stop is not None or threading.current_thread() is not threading.main_thread():
        yield stop or threading.Event()
        return
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def end(number: int, frame: object) -> None:
        stop.set()
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in before:
        signal.signal(number, end)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
