"""The sliding window: admit, then intend, then send, so that a kill leaves nothing untold.

One loop decides and writes to the ledger; requests are tasks; receipts land in a thread. What a kill leaves in doubt is
at most what was entered and not answered: `concurrency` requests, none where the provider knows messages by a key.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from engage.channels.provider import Provider
from engage.delivery.flight import Flight
from engage.delivery.held import Held, Job
from engage.delivery.landings import Landings
from engage.delivery.ledger import Ledger
from engage.delivery.meter import Meter
from engage.delivery.pacing import Gate, Limits
from engage.delivery.prepare import Preparer
from engage.delivery.recipients import Recipients, Slice
from engage.delivery.records import Changes, Result, RunRecord
from engage.delivery.settle import Judge
from engage.delivery.transport import Caller
from engage.errors import ChannelError
from engage.lake.runs import Run
from engage.vocabulary import PermanentReason

__all__ = ["Suppressed", "Window"]

Suppressed = Callable[[Sequence[str]], Collection[str]]
"""Which of these users must not be written to any more, asked just before sending."""

_LOOK = 0.25  # seconds between looks at the clock, the progress and the run's state


@dataclass(slots=True)
class Window:
    """One process sending one run.

    Args:
        run: The run.
        record: The ledger's record of it.
        ledger: What is in flight.
        recipients: Who is to be sent something.
        provider: Who sends.
        preparer: Makes its requests ready.
        gate: Its entrance.
        judge: Settles its answers.
        landings: Brings receipts into the lake.
        limits: How hard to press and how long to wait.
        meter: Told what has ended.
        now: The send's clock, in microseconds since 1970.
        moving: That clock goes forward by itself.
        suppressed: The last look at suppression.
        stop: Once set, nothing more leaves; what is under way is waited for.
    """

    run: Run
    record: RunRecord
    ledger: Ledger
    recipients: Recipients
    provider: Provider
    preparer: Preparer
    gate: Gate
    judge: Judge
    landings: Landings
    limits: Limits
    meter: Meter
    now: Callable[[], int]
    moving: bool
    suppressed: Suppressed | None
    stop: threading.Event
    error: Exception | None = None
    owner: str = ""
    _flight: Flight = field(init=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _finishing: asyncio.Task[None] | None = None
    _until: float = float("inf")
    _stopped_at: float = 0.0
    _state: str = "running"

    async def send(self) -> None:
        """Claim batch after batch until none is left that is due, or it is time to stop.

        What stopped it is left in `error`; all that was known by then has been recorded.
        """
        limits = self.limits
        self.owner = f"{self.provider.name}-{uuid.uuid4().hex}"
        self._flight = Flight(
            self.provider,
            self.run.channel,
            concurrency=limits.concurrency,
            gate=self.gate,
            judge=self.judge,
            meter=self.meter,
            ledger=self.ledger,
            may_leave=lambda: self._goes_on() and not self._called_off(),
            fail=self._fail,
        )
        self._state = self.record.state
        self._until = time.monotonic() + (limits.turn or float("inf"))
        self.ledger.batches.vouch(self.owner)
        try:
            async with Caller(self.provider, concurrency=self._flight.concurrency, timeout=limits.timeout) as caller:
                while self._goes_on():
                    held = self._claim()
                    if held is not None:
                        await self._work(held, caller)
                        await self._finished()
                        if not held.lost:
                            self._finishing = asyncio.create_task(self._give_back(held))
                    elif self._finishing is not None:
                        await self._finished()
                    elif not await self._idle():
                        break
            await self._finished()
        finally:
            if self._finishing is not None:
                await asyncio.gather(self._finishing, return_exceptions=True)
            self.meter.tell(last=True)

    def _fail(self, error: Exception) -> None:
        self.error = self.error or error

    async def _finished(self) -> None:
        """Wait for the batch that is being given back while the next is sent."""
        finishing, self._finishing = self._finishing, None
        if finishing is not None:
            await finishing

    def _clock(self) -> float:
        """The send's clock in seconds: what is due is due by it, also when a send of the past is played again."""
        return self.now() / 1e6

    def _goes_on(self) -> bool:
        if self.error is None and self.gate.down_for > self.limits.unreachable and not self.judge.one_alone:
            self.error = ChannelError(
                f"{self.provider.name} has not answered as it should for {self.gate.down_for:.0f} s"
                + (f" ({self.judge.note})" if self.judge.note else ""),
                where=self.run.run_id,
                hint="what was not sent is kept: send the run again when it does",
            )
        going = self.error is None and not self.stop.is_set() and self._state in ("running", "stopping")
        return going and time.monotonic() < self._until and self.gate.wait() <= self.limits.patience

    def _called_off(self) -> str | None:
        """Why nothing more of the run is to leave, if so."""
        if self._state == "stopping":
            return "stopped"
        if self.run.end_at is not None and self._clock() >= self.run.end_at.timestamp():
            return str(PermanentReason.EXPIRED)
        return None

    def _claim(self) -> Held | None:
        batches, at = self.ledger.batches, self._clock()
        claim = batches.claim(
            self.record.key,
            self.owner,
            now=time.time(),
            due=float("inf") if self._called_off() else at,
            lease=self.limits.lease,
        )
        if claim is None:
            return None
        rows = Slice.read(self.run, self.recipients, claim.lo, claim.hi)
        held, cut_off = Held.take_up(claim, rows, batches.entries(claim), now=self.now())
        for group in cut_off:
            self.judge.cut_off(held, group)
        return held

    async def _idle(self) -> bool:
        """Wait for a batch that is not due yet; False when that takes too long."""
        due = self.ledger.next_due(self.record.key)
        if due is None or due - self._clock() > self.limits.patience:
            return False
        await asyncio.sleep(min(_LOOK, max(0.02, due - self._clock())))
        self._look()
        return True

    def _look(self) -> None:
        """Learn the run's state when nothing is written."""
        record = self.ledger.run(self.run.run_id)
        self._state = record.state if record is not None else "stopped"

    def _leave_out(self, held: Held) -> None:
        """Let go of people who were suppressed since the run was planned."""
        held.checked_at = time.monotonic()
        if not self.suppressed:
            return
        users = {held.rows.user_ids[seq - held.rows.lo]: seq for seq in held.unsent()}
        gone = {users[user] for user in self.suppressed(list(users))} if users else set()
        if gone:
            at = self.now()
            fresh, tried = held.let_go(gone)
            held.changes.direct += [Result(seq, "failed", at=at, reason="unsubscribed") for seq in fresh]
            held.changes.results += [Result(seq, "failed", at=at, reason="unsubscribed") for seq in tried]

    async def _work(self, held: Held, caller: Caller) -> None:
        """Send a batch: every turn records what was answered and what is about to leave in one commit."""
        flight = self._flight
        try:
            while True:
                going = self._goes_on()
                flight.withdraw()
                if going and (reason := self._called_off()):
                    held.end_all(reason, self.now())
                admitted = self._admit(held) if going else []
                await self._commit(held)
                if held.lost:
                    return
                flight.leave(caller, admitted)
                self.landings.begin_when_due(held)
                self._tell()
                if flight.is_fed:
                    await flight.wait(_LOOK)
                elif held.changes.results or held.changes.direct or (flight.is_held_up and not flight.under_way):
                    await asyncio.sleep(0)
                elif flight.under_way:
                    if self._out_of_grace():
                        break
                    await flight.wait(_LOOK)
                elif (wait := self._pause(held)) is not None:
                    await asyncio.sleep(wait)
                else:
                    break
            await self.landings.finished()
        finally:
            await flight.end()
            await self.landings.settled()

    def _admit(self, held: Held) -> list[Job]:
        """Take what may be entered now: no more requests than there is room for, no faster than the rate."""
        admitted: list[Job] = []
        held.wake(self.now())
        if time.monotonic() - held.checked_at > self.limits.recheck:
            self._leave_out(held)
        free, wall = self._flight.room, time.time()
        while len(admitted) < free and self.gate.wait() == 0.0:
            group = held.next_again(wall)
            if group is not None:
                if self.judge.stale(held, group):
                    continue
                jobs = self.preparer.again(held, group)
            elif held.todo:
                jobs = self.preparer.fresh(held)
            else:
                break
            for job in jobs:
                job.first_at = job.first_at or wall
                self.gate.admit(len(job.seqs))
                (held.changes.first if job.fresh else held.changes.again).extend(job.intents(self.provider.name))
            admitted += jobs
        return admitted

    async def _commit(self, held: Held) -> None:
        """Make results and intents durable, and renew the lease; only then do admitted requests leave.

        While the disk is waited for, answers are taken: what they change is written the next time.
        """
        wall = time.time()
        if held.changes.empty and wall < held.renewed_at + min(_LOOK, self.limits.lease / 4):
            return
        changes, held.changes = held.changes, Changes()
        retries, held.retries = held.retries, []
        held.renewed_at = wall
        async with self._turn:
            writing = ExitStack()
            lost, self._state = writing.enter_context(
                self.ledger.batches.committing(self.owner, {held.claim: changes}, lease_until=wall + self.limits.lease)
            )
            await asyncio.to_thread(writing.close)
        if lost:
            held.lost = True
            return
        ended = [result for result in (*changes.results, *changes.direct) if result.state != "retry"]
        held.endings += [held.ending(result) for result in ended]
        self.meter.count(ended)
        for not_before, group in retries:
            held.try_later(group, not_before)

    def _out_of_grace(self) -> bool:
        """Whether answers were waited for long enough after the stop; they are in doubt for whoever goes on."""
        if not self.stop.is_set():
            return False
        self._stopped_at = self._stopped_at or time.monotonic()
        return time.monotonic() - self._stopped_at > self.limits.grace

    def _pause(self, held: Held) -> float | None:
        """Seconds until something of the batch can be done; None when it is to be given back."""
        if not self._goes_on():
            return None
        if held.todo:
            return max(0.01, min(_LOOK, self.gate.wait()))
        due = held.next_due(moving=self.moving)
        if due is None or due - self._clock() > self.limits.patience:
            return None
        return max(0.01, min(_LOOK, max(due - self._clock(), self.gate.wait())))

    async def _give_back(self, held: Held) -> None:
        await self.landings.land(held)
        async with self._turn:
            self.landings.let_go(held, self.owner)
            self.ledger.add_latency(self.provider.name, self.meter.take_latency())

    def _tell(self) -> None:
        wait = self.gate.wait()
        self.meter.tell(f"waiting {wait:.0f} s for {self.provider.name}" if wait > 1 else "")
