"""Waiting for messages: one look into the mailbox for all who wait."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from engage.channels.in_app.mailbox import Mailbox

__all__ = ["Arrivals"]

_EVERY = 0.25  # seconds between two looks
_log = logging.getLogger(__name__)


class Arrivals:
    """Wakes those who wait when something was put into the mailbox for them, by whatever process.

    Args:
        mailbox: The mailbox.
        most: How many may wait at once; others are answered at once.
    """

    def __init__(self, mailbox: Mailbox, *, most: int = 5_000) -> None:
        self._mailbox, self._most = mailbox, most
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._count = 0

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Look while the block runs."""
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self._wake(set(self._waiting))

    @contextmanager
    def waiting(self, user_id: str) -> Iterator[asyncio.Event | None]:
        """An event that is set when something may have come for a person; None where too many wait already."""
        if self._count >= self._most:
            yield None
            return
        event = asyncio.Event()
        self._waiting[user_id].add(event)
        self._count += 1
        try:
            yield event
        finally:
            self._count -= 1
            self._waiting[user_id].discard(event)
            if not self._waiting[user_id]:
                del self._waiting[user_id]

    async def _watch(self) -> None:
        seen = 0
        while True:
            await asyncio.sleep(_EVERY)
            if not self._waiting:
                continue
            try:
                seen, who = await asyncio.to_thread(self._mailbox.arrivals, seen)
                self._wake(who)
            except sqlite3.Error as error:  # locked for long: look again
                _log.error("the mailbox could not be read: %s", type(error).__name__)

    def _wake(self, who: set[str]) -> None:
        for user_id in who & set(self._waiting):
            for event in self._waiting[user_id]:
                event.set()
