"""Answers into results: what each message of a request becomes, and what the gate learns from it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from engage.channels.message import Outcome
from engage.channels.provider import Provider
from engage.delivery.answers import KEPT
from engage.delivery.held import Group, Held, Job
from engage.delivery.pacing import Gate, Limits, backoff
from engage.delivery.records import Result
from engage.delivery.verdict import Verdict, verdict
from engage.vocabulary import OutcomeStatus, PermanentReason

__all__ = ["Judge"]

_LONGEST_WAIT = 3600.0  # seconds; a Retry-After beyond it is a mistake
_WORKING = {OutcomeStatus.SENT, OutcomeStatus.PERMANENT, OutcomeStatus.RATE_LIMITED, OutcomeStatus.CONFIG_ERROR}
_UNCOUNTED = {OutcomeStatus.RATE_LIMITED, OutcomeStatus.CONFIG_ERROR}


class Judge:
    """Settles what answers mean for one provider's messages.

    Args:
        provider: The provider.
        gate: Its entrance.
        limits: How often and how long to try.
        chance: Where jitter comes from.
        now: The send's clock, in microseconds since 1970.
        wall: Seconds since 1970.
    """

    def __init__(
        self,
        provider: Provider,
        gate: Gate,
        limits: Limits,
        *,
        chance: random.Random,
        now: Callable[[], int],
        wall: Callable[[], float],
    ) -> None:
        self._provider, self._gate, self._limits = provider, gate, limits
        self._chance, self._now, self._wall = chance, now, wall
        self._limited = 0
        self._failing: set[int] = set()
        self.note = ""
        """The last answer that was not one of success, in a few words."""

    @property
    def one_alone(self) -> bool:
        """Since the last success no more than one request failed: it may be that message, not the provider."""
        return len(self._failing) == 1

    def keyed(self, first_at: float) -> bool:
        """Whether the provider still knows the key of a request first made then, in seconds since 1970."""
        lives = self._provider.idempotency
        return lives is not None and self._wall() - first_at < lives.total_seconds()

    def settle(self, job: Job, outcomes: Sequence[Outcome]) -> None:
        """Record what an answer means; messages to be tried again are kept for later."""
        statuses = {outcome.status for outcome in outcomes}
        if self._learn(statuses):
            self._failing.clear()
        else:
            self._failing.add(job.seqs[0])
            self.note = next((outcome.detail[:120] for outcome in outcomes if outcome.detail), "")
        whole = len(outcomes) == 1 or statuses == {OutcomeStatus.UNKNOWN}
        keyed = self.keyed(job.first_at)
        exhausted = job.attempt >= self._limits.attempts
        verdicts = [
            verdict(
                outcome.status,
                maybe=job.maybe,
                keyed=keyed and (whole or outcome.status is not OutcomeStatus.UNKNOWN),
                exhausted=exhausted,
            )
            for outcome in outcomes
        ]
        self._finish(job, outcomes, _whole_or_not(verdicts))

    def unreachable(self, job: Job) -> None:
        """Record that a request could not leave; that does not count as an attempt."""
        self._gate.failed()
        self._failing.update((job.seqs[0], -1))
        wait = backoff(1, base=self._limits.backoff_base, cap=self._limits.backoff_cap, chance=self._chance)
        self._never_left(job, self._wall() + wait)

    def withdrawn(self, job: Job) -> None:
        """Record that a request was not let leave; it may be tried again at once, and that was no attempt."""
        self._never_left(job, 0.0)

    def _never_left(self, job: Job, not_before: float) -> None:
        again = Group(tuple(job.seqs), job.attempt - 1, job.maybe, job.body, job.first_at, self._provider.name)
        self._retry(job.held, again, not_before, [None] * len(job.seqs))

    def cut_off(self, held: Held, group: Group) -> None:
        """Record that the sender of a request ended before its answer was recorded."""
        judged = verdict(OutcomeStatus.UNKNOWN, maybe=group.maybe, keyed=self._knows(group), exhausted=False)
        if judged.state == "retry":
            group.maybe = True
            self._retry(held, group, 0.0, [None] * len(group.seqs))
        else:
            detail = "the sender ended before the answer was recorded"
            held.changes.results += [Result(seq, "in_doubt", 1, at=self._now(), detail=detail) for seq in group.seqs]

    def stale(self, held: Held, group: Group) -> bool:
        """Put a group in doubt whose first attempt may have been delivered and whose key is no longer known."""
        if not group.maybe or self._knows(group):
            return False
        detail = "the provider no longer knows the key of the first attempt"
        held.changes.results += [Result(seq, "in_doubt", 1, at=self._now(), detail=detail) for seq in group.seqs]
        return True

    def _knows(self, group: Group) -> bool:
        """Whether a request made then may be made again here: the provider is the one that was asked, and knows it."""
        return group.provider == self._provider.name and self.keyed(group.first_at)

    def _learn(self, statuses: set[OutcomeStatus]) -> bool:
        """Tell the gate; True when the answer shows the provider at work."""
        working = bool(statuses & _WORKING)
        if working:
            self._gate.succeeded()
        else:
            self._gate.failed()
        if OutcomeStatus.SENT in statuses:
            self._limited = 0
        return working

    def _finish(self, job: Job, outcomes: Sequence[Outcome], verdicts: Sequence[Verdict]) -> None:
        held, name, at = job.held, self._provider.name, self._now()
        again: list[tuple[int, Outcome]] = []
        for seq, outcome, judged in zip(job.seqs, outcomes, verdicts, strict=True):
            if judged.state == "retry":
                again.append((seq, outcome))
                continue
            reason = None
            if judged.state == "failed":
                reason = "gave_up" if judged.gave_up else str(outcome.reason or PermanentReason.REFUSED)
            held.changes.results.append(
                Result(
                    seq,
                    judged.state,
                    int(judged.maybe and judged.state == "in_doubt"),
                    0.0,
                    at,
                    outcome.provider_id,
                    reason,
                    outcome.detail[:KEPT] or None,
                    _suppress(outcome),
                    name,
                )
            )
        if again:
            maybe = any(judged.maybe for judged in verdicts if judged.state == "retry")
            counted = any(outcome.status not in _UNCOUNTED for _, outcome in again)
            attempt = job.attempt if counted else job.attempt - 1
            group = Group(tuple(seq for seq, _ in again), attempt, maybe, job.body, job.first_at, self._provider.name)
            kinds = {(outcome.status, outcome.retry_after): outcome for _, outcome in again}
            wait = max(self._wait(outcome, job.attempt) for outcome in kinds.values())
            self._retry(held, group, self._wall() + wait, [outcome.detail[:KEPT] or None for _, outcome in again])

    def _wait(self, outcome: Outcome, attempt: int) -> float:
        """Seconds before a message is tried again; a provider that asks for time gets it for all messages."""
        limits = self._limits
        if outcome.status is OutcomeStatus.CONFIG_ERROR:
            return 0.0
        if outcome.retry_after is not None:
            wait = min(outcome.retry_after, _LONGEST_WAIT)
            self._gate.close_for(wait)
            return wait
        if outcome.status is OutcomeStatus.RATE_LIMITED:
            if not self._gate.closed:  # requests under way when it closed say nothing new
                self._limited += 1
            wait = backoff(self._limited, base=limits.backoff_base, cap=limits.backoff_cap, chance=self._chance)
            self._gate.close_for(wait)
            return wait
        return backoff(attempt, base=limits.backoff_base, cap=limits.backoff_cap, chance=self._chance)

    def _retry(self, held: Held, group: Group, not_before: float, details: Sequence[str | None]) -> None:
        held.changes.results += [
            Result(seq, "retry", int(group.maybe), not_before, self._now(), None, None, detail)
            for seq, detail in zip(group.seqs, details, strict=True)
        ]
        held.retries.append((not_before, group))


def _suppress(outcome: Outcome) -> int:
    """Whether the address is dead, and since when, as the ledger has it."""
    if outcome.suppress and outcome.dead_since is not None:
        return max(1, int(outcome.dead_since.timestamp() * 1e6))
    return int(outcome.suppress)


def _whole_or_not(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """A request that may have been delivered is repeated whole or not at all: otherwise its key is another."""
    if all(judged.state == "retry" for judged in verdicts):
        return list(verdicts)
    return [
        Verdict("in_doubt", maybe=True) if judged.state == "retry" and judged.maybe else judged for judged in verdicts
    ]
