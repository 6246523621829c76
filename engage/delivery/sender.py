"""Sending a run: admit, then intend, then send, in a sliding window, so that a kill leaves nothing untold."""

from __future__ import annotations

import asyncio
import random
import signal
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from engage.channels.message import Outcome
from engage.channels.provider import HttpProvider, Provider
from engage.delivery.held import Held, Job
from engage.delivery.ledger import Ledger
from engage.delivery.pacing import Gate, Limits
from engage.delivery.prepare import Preparer
from engage.delivery.receipts import land_endings, land_held_out, tally
from engage.delivery.recipients import MakeRenderer, Recipients, Rendering, Slice
from engage.delivery.records import Changes, Result, RunRecord
from engage.delivery.settle import Judge
from engage.delivery.summary import Progress, Report, Summary
from engage.delivery.transport import Caller
from engage.errors import ChannelError, ConfigurationError, PlanError
from engage.lake.landing import Lake
from engage.lake.runs import Run, recipients_path
from engage.vocabulary import OutcomeStatus

__all__ = ["Suppressed", "deliver", "summarise"]

_BATCH = 5_000  # recipients a sender holds at a time
_LAND = 5_000  # endings landed together

Suppressed = Callable[[Sequence[str]], Collection[str]]
"""Which of these users must not be written to any more, asked just before sending."""


def deliver(
    run: Run,
    *,
    lake: Lake,
    ledger: Ledger,
    provider: Provider,
    make_renderer: MakeRenderer,
    now: datetime | None = None,
    limits: Limits | None = None,
    suppressed: Suppressed | None = None,
    report: Report | None = None,
    seed: int | None = None,
) -> Summary:
    """Send what is still to be sent of a run.

    Args:
        run: The run, as planned.
        lake: Where receipts land.
        ledger: Knows what is in flight.
        provider: Who sends.
        make_renderer: Compiles the content of a variant.
        now: The clock of the messages; the present, unless the provider may send as of the past.
        limits: How hard to press the provider.
        suppressed: Asked for each batch just before it is sent.
        report: Told of progress a few times a second.
        seed: Where jitter comes from.

    Returns:
        What became of everyone in the audience so far. A run that is over is sent nothing more.

    Raises:
        PlanError: `now` is in the past and the provider reaches real people.
        ConfigurationError: A key or sender is wrong; the run stops, nobody is suppressed, the rest can be sent later.
        ChannelError: The provider cannot be reached; the rest can be sent later.
    """
    if now is not None and now < datetime.now(UTC) and not provider.past:
        raise PlanError(
            f"{provider.name} cannot send as of the past", where=run.run_id, hint="leave out --as-of, or use the outbox"
        )
    recipients = Recipients(recipients_path(lake.settings, run.run_id), run.counts.send)
    try:
        record = ledger.begin(
            run.run_id, recipients=run.recipients_sha256, batches=recipients.batches(_BATCH), now=time.time()
        )
        if record.state not in ("running", "failed"):
            return summarise(run, ledger)
        ledger.set_state(record.key, "running", only_from=("failed",))
        renderers = {name: make_renderer(run.channel, content) for name, content in run.content.items()}
        sender = _Sender(run, record, lake, ledger, provider, recipients, renderers, now, limits or Limits(), seed)
        sender.suppressed, sender.report = suppressed, report
        asyncio.run(sender.send())
    finally:
        recipients.close()
    return summarise(run, ledger)


def summarise(run: Run, ledger: Ledger) -> Summary:
    """What became of everyone in a run's audience so far; the parts add up to it."""
    record = ledger.run(run.run_id)
    common = {"run_id": run.run_id, "held_out": run.counts.held_out, "excluded": dict(run.counts.excluded)}
    if record is None:
        return Summary(state="planned", pending=run.counts.send, **common)  # type: ignore[arg-type]
    counts = ledger.counts(record.key)
    failed = {key.partition(":")[2]: n for key, n in counts.items() if key.startswith("failed:")}
    due = ledger.next_due(record.key)
    return Summary(
        state=record.state,
        sent=counts["sent"],
        failed=failed,
        in_doubt=counts["in_doubt"],
        pending=counts["pending"],
        next_at=datetime.fromtimestamp(due, UTC) if due and due > time.time() else None,
        error=record.error,
        **common,  # type: ignore[arg-type]
    )


class _Sender:
    """One process sending one run."""

    def __init__(
        self,
        run: Run,
        record: RunRecord,
        lake: Lake,
        ledger: Ledger,
        provider: Provider,
        recipients: Recipients,
        renderers: Mapping[str, Rendering],
        now: datetime | None,
        limits: Limits,
        seed: int | None,
    ) -> None:
        self._run, self._record, self._lake, self._ledger = run, record, lake, ledger
        self._provider, self._recipients, self._limits = provider, recipients, limits
        self._fixed = int(now.timestamp() * 1e6) if now else None
        chance = random.Random(seed)
        self._gate = Gate(limits, per_second=run.throttle_per_second, chance=chance)
        self._judge = Judge(provider, self._gate, limits, chance=chance, now=self._now, wall=time.time)
        self._preparer = Preparer(provider, renderers, self._now)
        self._owner = f"{provider.name}-{uuid.uuid4().hex}"
        # What delivers by itself has one connection; what speaks HTTP has as many as are allowed.
        self._concurrency = limits.concurrency if isinstance(provider, HttpProvider) else 1
        self._stop: Exception | None = None
        self._ending = False
        self._counts = ledger.counts(record.key)
        self._began, self._reported = time.monotonic(), 0.0
        self._done_before = self._counts["sent"]
        self.suppressed: Suppressed | None = None
        self.report: Report | None = None

    def _now(self) -> int:
        return self._fixed if self._fixed is not None else int(time.time() * 1e6)

    def _clock(self) -> float:
        """The send's clock in seconds: what is due is due by it, also when a send of the past is played again."""
        return self._now() / 1e6

    async def send(self) -> None:
        """Claim batch after batch until none is left that is due."""
        self._ledger.batches.vouch(self._owner)
        self._land_held_out()
        self._listen()
        async with Caller(self._provider, concurrency=self._concurrency, timeout=self._limits.timeout) as caller:
            while not (self._stop or self._ending):
                claim = self._ledger.batches.claim(
                    self._record.key, self._owner, now=time.time(), due=self._clock(), lease=self._limits.lease
                )
                if claim is None:
                    due = self._ledger.next_due(self._record.key)
                    if due is None or due - self._clock() > self._limits.patience:
                        break
                    await asyncio.sleep(min(1.0, max(0.02, due - self._clock())))
                    continue
                rows = Slice.read(self._run, self._recipients, claim.lo, claim.hi)
                held, cut_off = Held.take_up(claim, rows, self._ledger.batches.entries(claim), now=self._now())
                for group in cut_off:
                    self._judge.cut_off(held, group)
                self._leave_out_suppressed(held)
                await self._work(held, caller)
                self._give_back(held)
        self._ledger.finish(self._record.key)
        self._tell(force=True)
        if self._stop:
            state = "failed" if isinstance(self._stop, ConfigurationError) else "running"
            self._ledger.set_state(self._record.key, state, str(self._stop), only_from=("running",))
            raise self._stop

    def _land_held_out(self) -> None:
        if self._record.held_out_landed:
            return
        at = datetime.fromtimestamp(self._now() / 1e6, UTC)
        people = self._recipients.others("held_out")
        land_held_out(self._lake, self._run, people, at=at, received_at=datetime.now(UTC))
        self._ledger.held_out_landed(self._record.key)

    def _listen(self) -> None:
        """End gracefully when told to: what is under way is waited for."""

        def end() -> None:
            self._ending = True

        with suppress(ValueError, NotImplementedError, RuntimeError):  # only a main thread can listen
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, end)

    def _leave_out_suppressed(self, held: Held) -> None:
        if not self.suppressed:
            return
        users = {held.rows.user_ids[seq - held.rows.lo]: seq for seq in held.todo}
        for user in self.suppressed(list(users)):
            seq = users[user]
            held.todo.remove(seq)
            held.changes.direct.append(Result(seq, "failed", at=self._now(), reason="unsubscribed"))

    async def _work(self, held: Held, caller: Caller) -> None:
        """Send a batch: every turn records what was answered and what is about to leave in one commit."""
        tasks: dict[asyncio.Task[list[Outcome]], Job] = {}
        while True:
            admitted = [] if self._stop or self._ending else self._admit(held, len(tasks))
            state = self._commit(held, admitted)
            if held.lost:
                break
            for job in admitted:
                tasks[asyncio.create_task(caller(job.messages, job.request))] = job
            if len(held.endings) >= _LAND:
                self._land(held)
            self._tell()
            if state != "running":
                self._ending = True
            if not tasks:
                wait = self._pause(held)
                if wait is None:
                    break
                await asyncio.sleep(wait)
                continue
            finished, _ = await asyncio.wait(tasks, timeout=0.5, return_when=asyncio.FIRST_COMPLETED)
            for task in finished:
                self._take(task, tasks.pop(task))
        for task in tasks:
            task.cancel()

    def _admit(self, held: Held, in_flight: int) -> list[Job]:
        admitted: list[Job] = []
        held.wake(self._now())
        while in_flight + len(admitted) < self._concurrency and self._gate.wait() == 0.0:
            group = held.next_again(time.time())
            if group is not None:
                if self._judge.stale(held, group):
                    continue
                jobs = self._preparer.again(held, group)
            elif held.todo:
                jobs = self._preparer.fresh(held)
            else:
                break
            for job in jobs:
                job.first_at = job.first_at or time.time()
                self._gate.admit(len(job.seqs))
                intents = job.intents(self._provider.name)
                (held.changes.first if job.fresh else held.changes.again).extend(intents)
            admitted += jobs
        return admitted

    def _commit(self, held: Held, admitted: list[Job]) -> str:
        changes, held.changes = held.changes, Changes()
        lost, state = self._ledger.batches.commit(
            self._owner, {held.claim: changes}, lease_until=time.time() + self._limits.lease
        )
        if lost:
            held.lost = True
            return state
        for result in (*changes.results, *changes.direct):
            if result.state != "retry":
                held.endings.append(held.ending(result))
                self._counts[f"failed:{result.reason}" if result.state == "failed" else result.state] += 1
        for not_before, group in held.retries:
            held.try_later(group, not_before)
        held.retries = []
        return state

    def _take(self, task: asyncio.Task[list[Outcome]], job: Job) -> None:
        try:
            outcomes = task.result()
        except ChannelError as error:
            self._judge.unreachable(job)
            if self._gate.down_for > self._limits.unreachable:
                self._stop = error
        except ConfigurationError as error:
            self._judge.unreachable(job)
            self._stop = error
        else:
            self._judge.settle(job, outcomes)
            for outcome in outcomes:
                if outcome.status is OutcomeStatus.CONFIG_ERROR:
                    self._stop = ConfigurationError(
                        f"{self._provider.name} refuses the key, sender or account ({outcome.detail})",
                        where=f"[tool.engage.channels.{self._run.channel}]",
                        hint="mend it and send again; nobody was left out",
                    )
                    break

    def _pause(self, held: Held) -> float | None:
        """Seconds until something of the batch can be done; None when it is to be given back."""
        if held.todo and not (self._stop or self._ending):
            return max(0.01, min(1.0, self._gate.wait()))
        due = held.next_due(moving=self._fixed is None)
        if due is None or self._stop or self._ending or due - self._clock() > self._limits.patience:
            return None
        return max(0.01, min(1.0, max(due - self._clock(), self._gate.wait())))

    def _land(self, held: Held) -> bool:
        """Receipts into the lake, then their rows out of the ledger: in that order, and harmless to repeat."""
        endings, held.endings = held.endings, []
        if endings:
            land_endings(self._lake, self._run, [(held.rows.table, endings)], received_at=datetime.now(UTC))
        return self._ledger.batches.landed(
            self._owner, held.claim, seqs=None, outcomes=tally(endings), attempted=held.attempted
        )

    def _give_back(self, held: Held) -> None:
        if held.lost or not self._land(held):
            return
        due = held.next_due(moving=True)
        if held.todo:
            due = 0.0
        self._ledger.batches.landed(
            self._owner, held.claim, seqs=[], outcomes={}, attempted=held.attempted, give_back=due or 0.0
        )

    def _tell(self, *, force: bool = False) -> None:
        elapsed = time.monotonic()
        if self.report is None or (not force and elapsed - self._reported < 0.2):
            return
        self._reported = elapsed
        failed = {key.partition(":")[2]: n for key, n in self._counts.items() if key.startswith("failed:")}
        sent = self._counts["sent"]
        rate = (sent - self._done_before) / max(elapsed - self._began, 1e-9)
        done = sent + sum(failed.values()) + self._counts["in_doubt"]
        left = (self._recipients.send - done) / rate if rate > 0 else None
        wait = self._gate.wait()
        note = f"waiting {wait:.0f} s for {self._provider.name}" if wait > 1 else ""
        self.report(
            Progress(self._run.run_id, self._recipients.send, sent, failed, self._counts["in_doubt"], rate, left, note)
        )
