"""The requests of a send: those under way, and those that may leave as soon as a place is free."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence

from engage.channels.provider import HttpProvider, Provider
from engage.delivery.held import Job
from engage.delivery.ledger import Ledger
from engage.delivery.meter import Meter
from engage.delivery.pacing import Gate
from engage.delivery.settle import Judge
from engage.delivery.transport import Caller
from engage.errors import ChannelError, ConfigurationError
from engage.vocabulary import OutcomeStatus

__all__ = ["Flight"]


class Flight:
    """What has been entered in the ledger and not been answered.

    A provider that knows a message by its key is kept busy while the disk is waited for: as many requests as may be
    under way are entered ahead, and leave as places become free. After a kill they are asked again with their key.
    Without a key they would be in doubt, so there nothing is entered ahead.

    Args:
        provider: Who is asked.
        channel: The run's channel, to tell where a fault is to be mended.
        concurrency: Requests under way at once.
        gate: The provider's entrance.
        judge: Settles answers.
        meter: Told how long they took.
        ledger: Told of endpoints that are gone.
        may_leave: Whether anything of the run may still leave; asked before each request that was entered ahead.
        fail: Told what stops the run: a wrong key or sender, or a fault of ours.
    """

    def __init__(
        self,
        provider: Provider,
        channel: str,
        *,
        concurrency: int,
        gate: Gate,
        judge: Judge,
        meter: Meter,
        ledger: Ledger,
        may_leave: Callable[[], bool],
        fail: Callable[[Exception], None],
    ) -> None:
        # What delivers by itself has one connection; what speaks HTTP has as many as are allowed.
        self.concurrency = concurrency if isinstance(provider, HttpProvider) else 1
        self._ahead = self.concurrency if isinstance(provider, HttpProvider) and provider.idempotency else 0
        self._provider, self._channel = provider, channel
        self._gate, self._judge, self._meter, self._ledger = gate, judge, meter, ledger
        self._may_leave, self._fail = may_leave, fail
        self._caller: Caller | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready: deque[Job] = deque()
        self._answered = asyncio.Event()

    @property
    def under_way(self) -> bool:
        """Whether an answer is to come."""
        return bool(self._tasks)

    @property
    def is_held_up(self) -> bool:
        """Whether something was entered and may not leave yet."""
        return bool(self._ready)

    @property
    def room(self) -> int:
        """How many more requests may be entered."""
        ahead = self._ahead if self._gate.is_open else 0
        return self.concurrency + ahead - len(self._tasks) - len(self._ready)

    def leave(self, caller: Caller, jobs: Sequence[Job]) -> None:
        """Let requests leave that are durable in the ledger, as far as there are places; the rest follow."""
        self._caller = caller
        self._ready.extend(jobs)
        for _ in range(min(len(jobs), self.concurrency - len(self._tasks))):
            self._start()
        self._fill()

    def _fill(self) -> None:
        while self._ready and len(self._tasks) < self.concurrency and self._gate.is_open and self._may_leave():
            self._start()

    def _start(self) -> None:
        assert self._caller is not None
        self._tasks.add(asyncio.create_task(self._ask(self._caller, self._ready.popleft())))

    def withdraw(self) -> None:
        """Take back what was entered ahead, unless it may leave now; it is tried again like what never left."""
        if self._ready and not (self._gate.is_open and self._may_leave()):
            while self._ready:
                self._judge.withdrawn(self._ready.popleft())

    async def wait(self, seconds: float) -> None:
        """Wait until there is something to write: an answer, or half of what was entered ahead has left."""
        look = asyncio.get_running_loop().call_later(seconds, self._answered.set)
        await self._answered.wait()
        look.cancel()
        self._answered.clear()

    @property
    def is_fed(self) -> bool:
        """Whether more than half of what is entered ahead has yet to leave: answers can be gathered for one commit."""
        return bool(self._tasks) and 2 * len(self._ready) > self._ahead

    async def end(self) -> None:
        """Wait for nothing more: what has no answer by now is in doubt for whoever goes on."""
        self._ready.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _ask(self, caller: Caller, job: Job) -> None:
        """One request and its answer; its place is free before the window is told."""
        began = time.monotonic()
        try:
            outcomes = await caller(job.messages, job.request)
            self._meter.answered(time.monotonic() - began)
        except ChannelError as error:
            self._judge.note = str(error)
            self._judge.unreachable(job)
        except ConfigurationError as error:
            self._judge.unreachable(job)
            self._fail(error)
        except Exception as error:  # ours: the run stops, and what was asked is in doubt for whoever goes on
            self._fail(error)
        else:
            self._judge.settle(job, outcomes)
            for outcome in outcomes:
                if outcome.gone and job.request is not None:
                    self._ledger.disable(str(job.request.url), now=time.time())
                if outcome.status is OutcomeStatus.CONFIG_ERROR:
                    self._fail(
                        ConfigurationError(
                            f"{self._provider.name} refuses the key, sender or account ({outcome.detail})",
                            where=f"[tool.engage.channels.{self._channel}]",
                            hint="mend it and send again; nobody was left out",
                        )
                    )
                    break
        finally:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.discard(task)
            if not task.cancelling():
                self._fill()
            if not self.is_fed:
                self._answered.set()
