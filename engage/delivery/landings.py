"""Receipts on their way into the lake while a run is sent."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from engage.delivery.held import Held
from engage.delivery.ledger import Ledger
from engage.delivery.receipts import land_endings, tally
from engage.lake.landing import Lake
from engage.lake.runs import Run
from engage.traces import span

__all__ = ["Landings"]

_MANY = 20_000  # endings that land before their time


class Landings:
    """Lands how messages ended, beside the sending and in a thread; harmless to repeat after a kill.

    Args:
        run: The run.
        lake: Where receipts go.
        ledger: Lets go of a batch's rows once they have landed.
        every: Seconds after which endings land, however few they are.
    """

    def __init__(self, run: Run, lake: Lake, ledger: Ledger, *, every: float) -> None:
        self._run, self._lake, self._ledger, self._every = run, lake, ledger, every
        self._task: asyncio.Task[None] | None = None
        self._last = time.monotonic()

    def begin_when_due(self, held: Held) -> None:
        """Begin to land a batch's receipts, when there are many or the last landing is long ago."""
        if self._task is not None:
            if not self._task.done():
                return
            self._task.result()
            self._task = None
        waiting = len(held.endings) - held.landed
        if waiting >= _MANY or (waiting and time.monotonic() - self._last > self._every):
            self._task = asyncio.create_task(self.land(held))

    async def finished(self) -> None:
        """Wait for what is landing; its fault is raised."""
        if self._task is not None:
            await self._task

    async def settled(self) -> None:
        """Wait for what is landing, whatever becomes of it; the ledger still has its rows."""
        task, self._task = self._task, None
        if task is not None:
            await asyncio.gather(task, return_exceptions=True)

    def let_go(self, held: Held, owner: str) -> None:
        """Let the rows of a batch go out of the ledger, and the batch itself, once its receipts are in the lake.

        Args:
            held: The batch.
            owner: Who holds it.
        """
        due = 0.0 if held.todo else held.next_due(moving=True) or 0.0
        self._ledger.batches.landed(
            owner,
            held.claim,
            seqs=None,
            outcomes=tally(held.endings),
            attempted=held.attempted,
            give_back=due,
        )

    async def land(self, held: Held) -> None:
        """Land what is left of a batch's receipts."""
        upto = len(held.endings)
        part = held.endings[held.landed : upto]
        if part:
            parts = [(held.rows.table, part)]
            with span("engage.land", run=self._run.run_id, rows=len(part)):
                await asyncio.to_thread(land_endings, self._lake, self._run, parts, received_at=datetime.now(UTC))
            held.landed = upto
        self._last = time.monotonic()
