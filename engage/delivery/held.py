"""A batch as its sender holds it: what is still to be done, and what was done and not yet recorded."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import httpx

from engage.channels.message import Message
from engage.delivery.receipts import Ending
from engage.delivery.recipients import Slice
from engage.delivery.records import Changes, Claim, Entry, Intent, Result

__all__ = ["Group", "Held", "Job"]

_ENDED = ("sent", "failed", "in_doubt")
_order = itertools.count()


@dataclass(slots=True)
class Group:
    """Messages that leave together, again.

    Args:
        seqs: The messages.
        attempt: Attempts made.
        maybe: An earlier attempt may have been delivered, so the request may only be repeated as it was.
        body: Hash of the request as it was.
        first_at: When the first attempt was made, in seconds since 1970.
        provider: Who was asked; only it knows the key.
    """

    seqs: tuple[int, ...]
    attempt: int
    maybe: bool
    body: str
    first_at: float
    provider: str


@dataclass(slots=True)
class Job:
    """One request, ready to leave.

    Args:
        attempt: The number of this attempt, from 1.
        fresh: The messages have no row in the ledger yet.
        body: Hash of the request.
    """

    held: Held
    seqs: Sequence[int]
    messages: list[Message]
    request: httpx.Request | None
    body: str
    attempt: int = 1
    maybe: bool = False
    first_at: float = 0.0
    fresh: bool = True

    def intents(self, provider: str) -> list[Intent]:
        """What the ledger is told before the request leaves."""
        head = self.seqs[0]
        return [
            Intent(seq, head, self.attempt, int(self.maybe), provider, self.body, self.first_at) for seq in self.seqs
        ]


@dataclass(slots=True, eq=False)
class Held:
    """One claimed batch.

    Args:
        claim: The claim.
        rows: Its recipients.
        todo: Messages never tried that are due, those of a variant together.
        postponed: Messages never tried that are not due: a heap of (microseconds since 1970, seq).
        later: Groups to be tried again: a heap by the time from which they may be.
        changes: What the next commit writes.
        retries: Groups to be tried again once that is written, and from when.
        endings: How messages ended since the batch was claimed.
        landed: How many of those are in the lake.
        checked_at: When suppression was looked up, in monotonic seconds.
        renewed_at: When the ledger was last written, in seconds since 1970.
        lost: Another sender took the batch.
    """

    claim: Claim
    rows: Slice
    todo: deque[int] = field(default_factory=deque)
    postponed: list[tuple[int, int]] = field(default_factory=list)
    later: list[tuple[float, int, Group]] = field(default_factory=list)
    changes: Changes = field(default_factory=Changes)
    retries: list[tuple[float, Group]] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    landed: int = 0
    checked_at: float = float("-inf")
    renewed_at: float = 0.0
    lost: bool = False

    @classmethod
    def take_up(cls, claim: Claim, rows: Slice, entries: Sequence[Entry], *, now: int) -> tuple[Held, list[Group]]:
        """Go on where whoever held the batch before left off.

        Args:
            claim: The claim.
            rows: Its recipients.
            entries: Its rows in the ledger.
            now: The send's clock, in microseconds since 1970.

        Returns:
            The batch; and the groups that were being sent when that sender ended: their outcome is unknown.
        """
        held = cls(claim, rows)
        if not claim.attempted:
            known = {entry.seq for entry in entries}
            held.postpone(seq for seq in range(claim.lo, claim.hi) if seq not in known)
            held.wake(now)
        held.endings = [held.ending(_result(entry)) for entry in entries if not entry.landed and _over(entry)]
        cut_off = []
        for state in ("retry", "sending"):
            for group, not_before in _groups(entries, state):
                if state == "sending":
                    cut_off.append(group)
                else:
                    held.try_later(group, not_before)
        return held, cut_off

    def postpone(self, seqs: Iterator[int]) -> None:
        """Take messages never tried, to be sent when they are due."""
        lo, due = self.rows.lo, self.rows.due
        self.postponed = [(due[seq - lo] or 0, seq) for seq in seqs]
        heapq.heapify(self.postponed)

    def wake(self, now: int) -> None:
        """Move what has come due to what is to be done, the messages of a variant together."""
        if not self.postponed or self.postponed[0][0] > now:
            return
        due = [seq for when, seq in self.postponed if when <= now]
        self.postponed = [(when, seq) for when, seq in self.postponed if when > now]
        heapq.heapify(self.postponed)
        variants, lo = self.rows.variants, self.rows.lo
        self.todo.extend(sorted(due, key=lambda seq: (variants[seq - lo] or "", seq)))

    def next_fresh(self, size: int) -> list[int]:
        """Take up to `size` messages never tried, all of one variant."""
        variants, lo = self.rows.variants, self.rows.lo
        taken: list[int] = []
        while self.todo and len(taken) < size:
            if taken and variants[self.todo[0] - lo] != variants[taken[0] - lo]:
                break
            taken.append(self.todo.popleft())
        return taken

    def try_later(self, group: Group, not_before: float) -> None:
        """Try a group again, not before a time in seconds since 1970."""
        heapq.heappush(self.later, (not_before, next(_order), group))

    def next_again(self, now: float) -> Group | None:
        """Take a group that may be tried again, if there is one."""
        return heapq.heappop(self.later)[2] if self.later and self.later[0][0] <= now else None

    def unsent(self) -> list[int]:
        """Messages to be done that certainly did not arrive before: never tried, or refused for now."""
        tried = [seq for _, _, group in self.later if not group.maybe for seq in group.seqs]
        return [*self.todo, *tried]

    def let_go(self, gone: Collection[int]) -> tuple[list[int], list[int]]:
        """Take messages out of those of :meth:`unsent`.

        Args:
            gone: Which.

        Returns:
            Those of them that were never tried, and those that were: they have a row in the ledger.
        """
        fresh = sorted(seq for seq in self.todo if seq in gone)
        self.todo = deque(seq for seq in self.todo if seq not in gone)
        tried: list[int] = []
        for _, _, group in self.later:
            if not group.maybe:
                tried += [seq for seq in group.seqs if seq in gone]
                group.seqs = tuple(seq for seq in group.seqs if seq not in gone)
        self.later = [entry for entry in self.later if entry[2].seqs]
        heapq.heapify(self.later)
        return fresh, tried

    def end_all(self, reason: str, at: int) -> None:
        """End whatever has not left, without an attempt."""
        fresh = [*self.todo, *(seq for _, seq in self.postponed)]
        self.changes.direct += [Result(seq, "failed", at=at, reason=reason) for seq in fresh]
        for _, _, group in self.later:
            state, why = ("in_doubt", None) if group.maybe else ("failed", reason)
            self.changes.results += [Result(seq, state, int(group.maybe), at=at, reason=why) for seq in group.seqs]
        self.todo.clear()
        self.postponed, self.later = [], []

    def ending(self, result: Result) -> Ending:
        """A result as the lake is to have it."""
        return Ending(
            result.seq - self.claim.lo,
            result.state,
            result.at,
            result.provider,
            result.provider_id,
            result.reason,
            result.detail,
            result.suppress,
        )

    @property
    def attempted(self) -> bool:
        """Every message has a row in the ledger, or had one."""
        return not (self.todo or self.postponed)

    def next_due(self, *, moving: bool) -> float | None:
        """When something is to be done again, in seconds since 1970.

        Args:
            moving: The send's clock goes forward by itself, so that what is postponed comes due.
        """
        times = [when for when, _, _ in self.later[:1]]
        if self.postponed and moving:
            times.append(self.postponed[0][0] / 1e6)
        return min(times, default=None)


def _over(entry: Entry) -> bool:
    return entry.state in _ENDED


def _result(entry: Entry) -> Result:
    return Result(
        entry.seq,
        entry.state,
        entry.maybe,
        entry.not_before,
        entry.at,
        entry.provider_id,
        entry.reason,
        entry.detail,
        entry.suppress,
        entry.provider,
    )


def _groups(entries: Sequence[Entry], state: str) -> list[tuple[Group, float]]:
    """Rows in one state as the requests they left with."""
    requests: dict[tuple[int, int, int], list[Entry]] = {}
    for entry in entries:
        if entry.state == state:
            requests.setdefault((entry.request, entry.attempt, entry.maybe), []).append(entry)
    return [
        (
            Group(
                tuple(entry.seq for entry in group),
                group[0].attempt,
                bool(group[0].maybe),
                group[0].body,
                group[0].first_at,
                group[0].provider,
            ),
            max(entry.not_before for entry in group),
        )
        for group in requests.values()
    ]
