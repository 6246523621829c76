"""The batches of a run: who holds them, and what became of their messages."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from typing import Any

from engage.delivery.database import Database
from engage.delivery.records import Changes, Claim, Entry, Intent, Result
from engage.errors import EngageError

__all__ = ["Batches"]

_FEW = 16  # rows below which a statement a row costs less than one for all
_but_number: Callable[[Intent | Result], tuple[Any, ...]] = itemgetter(slice(1, None))


class Batches:
    """What a sender does with the batches it holds.

    Args:
        database: Where the ledger is kept.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def vouch(self, owner: str) -> None:
        """Say that this process is alive under that name, until it ends."""
        self._db.vouch(owner)

    def claim(self, run: int, owner: str, *, now: float, due: float, lease: float) -> Claim | None:
        """Take a batch nobody holds: one never claimed, given back, or whose holder is dead or past its lease.

        Args:
            run: The run's key.
            owner: Who takes it. An owner never takes a batch it holds.
            now: Seconds since 1970.
            due: The send's clock, in seconds since 1970; batches due later are left alone.
            lease: Seconds until others may take it, unless renewed.

        Returns:
            The first that is due, or None.
        """
        for (other,) in self._db.execute(
            "select distinct owner from batch where run = ? and state = 'open' and owner <> ?", (run, owner)
        ):
            if self._db.is_dead(other):
                self._db.change("update batch set owner = null where run = ? and owner = ?", (run, other))
        with self._db.transaction():
            rows = self._db.execute(
                "update batch set owner = ?, epoch = epoch + 1, lease_until = ? where run = ? and number = ("
                "  select number from batch where run = ? and state = 'open' and due <= ?"
                "  and (owner is null or (owner <> ? and lease_until < ?))"
                f"  order by number limit 1 {self._db.skip_locked}) "
                "returning number, lo, hi, epoch, attempted",
                (owner, now + lease, run, run, due, owner, now),
            )
        if not rows:
            return None
        number, lo, hi, epoch, attempted = rows[0]
        return Claim(run, number, lo, hi, epoch, bool(attempted))

    def waiting(self, run: int, *, due: float, join: bool) -> bool:
        """Say whether a run has a batch to be taken.

        Args:
            run: The run's key.
            due: The send's clock, in seconds since 1970.
            join: Also when a living sender holds other batches of it.
        """
        now = time.time()
        held = self._db.execute(
            "select distinct owner from batch where run = ? and state = 'open' and owner is not null "
            "and lease_until >= ?",
            (run, now),
        )
        dead = [owner for (owner,) in held if self._db.is_dead(owner)]
        if len(dead) < len(held) and not join:
            return False
        free = self._db.execute(
            "select 1 from batch where run = ? and state = 'open' and due <= ? and (owner is null or lease_until < ?) "
            "limit 1",
            (run, due, now),
        )
        return bool(dead or free)

    def entries(self, claim: Claim) -> list[Entry]:
        """The rows a claimed batch has, by `seq`."""
        columns = ", ".join(Entry._fields)
        rows = self._db.execute(
            f"select {columns} from message where run = ? and seq >= ? and seq < ? order by seq",
            (claim.run, claim.lo, claim.hi),
        )
        return [Entry(*row) for row in rows]

    def commit(self, owner: str, changes: Mapping[Claim, Changes], *, lease_until: float) -> tuple[set[Claim], str]:
        """Make results and the next intents durable, and renew the leases, all at once.

        Args:
            owner: Who holds the batches.
            changes: By batch; a batch without changes has its lease renewed.
            lease_until: Seconds since 1970.

        Returns:
            The batches that were lost to another owner, of which nothing was written; and the run's state.
        """
        with self.committing(owner, changes, lease_until=lease_until) as told:
            return told

    @contextmanager
    def committing(
        self, owner: str, changes: Mapping[Claim, Changes], *, lease_until: float
    ) -> Iterator[tuple[set[Claim], str]]:
        """The same in two steps: everything is written when the block begins, and durable when it has ended.

        Its end waits for the disk and may be left to another thread, as long as the ledger is not used meanwhile.
        """
        lost = set()
        with self._db.transaction():
            for claim, change in changes.items():
                if not self._holds(owner, claim, lease_until):
                    lost.add(claim)
                    continue
                run = claim.run
                self._intend(run, change.first)
                again = self._db.change_many(
                    "update message set request = ?, attempt = ?, maybe = ?, provider = ?, body = ?, first_at = ?, "
                    "state = 'sending', landed = 0 where run = ? and seq = ? and state = 'retry'",
                    [(*intent[1:], run, intent.seq) for intent in change.again],
                )
                results = self._record(run, change.results)
                if again != len(change.again) or results != len(change.results):
                    raise EngageError("the ledger's rows are not in the state they were left in", where=f"run {run}")
                self._db.change_many(
                    "insert into message (run, seq, request, state, attempt, maybe, provider, body, first_at, at, "
                    "reason, detail) values (?, ?, ?, ?, 0, 0, ?, '', 0, ?, ?, ?)",
                    [(run, r.seq, r.seq, r.state, r.provider, r.at, r.reason, r.detail) for r in change.direct],
                )
            keys = {claim.run for claim in changes}
            states = [self._db.execute("select state from run where id = ?", (key,))[0][0] for key in keys]
            yield lost, states[0] if states else ""

    def _intend(self, run: int, intents: Sequence[Intent]) -> None:
        """Enter first attempts; those of one request, which differ only in their number, by one statement."""
        columns = "(run, seq, request, attempt, maybe, provider, body, first_at, state)"
        single: list[tuple[object, ...]] = []
        for same, group in groupby(intents, key=_but_number):
            seqs = [intent.seq for intent in group]
            if len(seqs) < _FEW:
                single += [(run, seq, *same) for seq in seqs]
            else:
                many = f"select ?, value, ?, ?, ?, ?, ?, ?, 'sending' from {self._db.numbers}"
                self._db.change(f"insert into message {columns} {many}", (run, *same, json.dumps(seqs)))
        self._db.change_many(f"insert into message {columns} values (?, ?, ?, ?, ?, ?, ?, ?, 'sending')", single)

    def _record(self, run: int, results: Sequence[Result]) -> int:
        """Enter what became of attempts; equal results by one statement. Returns how many rows that changed."""
        change = (
            "update message set state = ?, maybe = ?, not_before = ?, at = ?, provider_id = ?, reason = ?, detail = ?, "
            "suppress = ?, landed = 0 where run = ? and state in ('sending', 'retry') and seq"
        )
        changed, single = 0, []
        for same, group in groupby(results, key=_but_number):
            seqs = [result.seq for result in group]
            if len(seqs) < _FEW:
                single += [(*same[:8], run, seq) for seq in seqs]
            else:
                params = (*same[:8], run, json.dumps(seqs))
                changed += self._db.change(f"{change} in (select value from {self._db.numbers})", params)
        return changed + self._db.change_many(f"{change} = ?", single)

    def _holds(self, owner: str, claim: Claim, lease_until: float | None = None) -> bool:
        """Fence: true when the owner still holds the batch, whose row is then locked until the transaction's end."""
        return bool(
            self._db.change(
                "update batch set lease_until = coalesce(?, lease_until) "
                "where run = ? and number = ? and owner = ? and epoch = ?",
                (lease_until, claim.run, claim.number, owner, claim.epoch),
            )
        )

    def landed(
        self,
        owner: str,
        claim: Claim,
        *,
        seqs: Sequence[int] | None,
        outcomes: Mapping[str, int],
        attempted: bool,
        give_back: float | None = None,
    ) -> bool:
        """Note that receipts are in the lake; their rows go once every message of the batch has been touched.

        Args:
            owner: Who holds the batch.
            claim: The batch.
            seqs: The messages whose receipts landed; None for every one that has ended.
            outcomes: What to add to the batch's counts, ``sent`` or ``failed:<reason>``.
            attempted: Every message of the batch has an entry, or had one.
            give_back: When given, the batch is given up: done if nothing is left to do, else due then.

        Returns:
            False when the batch was lost, and nothing was written.
        """
        with self._db.transaction():
            if not self._holds(owner, claim):
                return False
            span = (claim.run, claim.lo, claim.hi)
            if outcomes:
                self.count(claim.run, claim.number, outcomes)
            if seqs is None and not attempted:
                self._db.change(
                    "update message set landed = 1 where run = ? and seq >= ? and seq < ? "
                    "and state in ('sent', 'failed', 'in_doubt')",
                    span,
                )
            elif seqs is None:  # they would only be marked to be let go in the same breath
                self._db.change(
                    "update message set landed = 1 where run = ? and seq >= ? and seq < ? and state = 'in_doubt'", span
                )
            else:
                self._db.change_many(
                    "update message set landed = 1 where run = ? and seq = ?", [(claim.run, seq) for seq in seqs]
                )
            if attempted:
                ended = "state in ('sent', 'failed')" + ("" if seqs is None else " and landed = 1")
                self._db.change(f"delete from message where run = ? and seq >= ? and seq < ? and {ended}", span)
                self._db.change(
                    "update batch set attempted = 1 where run = ? and number = ?", (claim.run, claim.number)
                )
            if give_back is not None:
                left = self._db.execute(
                    "select 1 from message where run = ? and seq >= ? and seq < ? "
                    "and (state in ('retry', 'sending') or landed = 0) limit 1",
                    span,
                )
                state, due = ("done", 0.0) if attempted and not left else ("open", give_back)
                self._db.change(
                    "update batch set owner = null, state = ?, due = ? where run = ? and number = ?",
                    (state, due, claim.run, claim.number),
                )
        return True

    def count(self, run: int, number: int, outcomes: Mapping[str, int]) -> None:
        """Add to a batch's counts; within a transaction."""
        text = self._db.execute("select outcomes from batch where run = ? and number = ?", (run, number))[0][0]
        total = Counter(json.loads(text))
        total.update(outcomes)
        self._db.change(
            "update batch set outcomes = ? where run = ? and number = ?",
            (json.dumps(dict(sorted(total.items()))), run, number),
        )
