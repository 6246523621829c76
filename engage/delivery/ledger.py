"""The ledger: what is in flight, so that a kill at any instant neither loses a message nor doubles one silently.

A run's recipients are cut into batches; a sender claims a batch, and holds it under a lease. Of a batch's messages
only those that were touched have a row::

    planned (no row) → sending → sent | failed | in_doubt
                          ↑  ↓
                         retry

``sending`` is durable *before* the request leaves. Every commit carries results, the next intents and the lease's
renewal, and is fenced by owner and epoch: a sender that was paused past its lease can no longer write. Once the
receipts of a row have landed in the lake, the row goes; those in doubt stay until somebody says what became of them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from engage.delivery.batches import Batches
from engage.delivery.database import Database, open_database
from engage.delivery.records import TABLES, Entry, RunRecord
from engage.errors import PlanError

__all__ = ["Ledger"]


class Ledger:
    """The ledger of one workspace.

    Args:
        database: Where it is kept.
    """

    def __init__(self, database: Database) -> None:
        self._db = database
        self.batches = Batches(database)
        with database.transaction():
            if database.skip_locked:
                database.execute("select pg_advisory_xact_lock(7265641)")  # two may come first at once
            for statement in TABLES.format(identity=database.identity, options=database.table_options).split(";"):
                database.execute(statement)

    @classmethod
    def open(cls, where: str | Path) -> Ledger:
        """Open a ledger by file or Postgres URL."""
        return cls(open_database(where))

    def close(self) -> None:
        """Give back the connection."""
        self._db.close()

    def run(self, run_id: str) -> RunRecord | None:
        """A run's record, or None when it never began."""
        return next(iter(self.runs(run_id)), None)

    def runs(self, run_id: str | None = None) -> list[RunRecord]:
        """Every run that began, the oldest first."""
        where, params = ("where run_id = ?", (run_id,)) if run_id is not None else ("", ())
        columns = "id, run_id, recipients, rows, held_out_landed, state, error"
        rows = self._db.execute(f"select {columns} from run {where} order by id", params)
        return [
            RunRecord(key, name, sha, n, bool(held), state, error) for key, name, sha, n, held, state, error in rows
        ]

    def begin(
        self,
        run_id: str,
        *,
        recipients: str,
        batches: Sequence[tuple[int, int, float]],
        now: float,
        done: Mapping[int, str] | None = None,
    ) -> RunRecord:
        """Enter a run; harmless when it is there.

        Args:
            run_id: The run.
            recipients: Sha256 of its recipients file.
            batches: First row, one past the last, and when the earliest of them is due (seconds since 1970).
            now: Seconds since 1970.
            done: Messages the lake knows an outcome of already, by `seq`: ``sent``, ``failed:<reason>`` or
                ``in_doubt``. They are not sent again.

        Raises:
            PlanError: It began with other recipients.
        """
        with self._db.transaction():
            self._db.execute(
                "insert into run (run_id, recipients, rows, state, started_at) values (?, ?, ?, 'running', ?) "
                "on conflict (run_id) do nothing",
                (run_id, recipients, batches[-1][1] if batches else 0, now),
            )
            record = self.run(run_id)
            assert record is not None
            if record.recipients != recipients:
                raise PlanError("it began with other recipients", where=run_id, hint="plan it under another id")
            if not self._db.execute("select 1 from batch where run = ? limit 1", (record.key,)):
                self._db.change_many(
                    "insert into batch (run, number, lo, hi, due) values (?, ?, ?, ?, ?)",
                    [(record.key, number, lo, hi, due) for number, (lo, hi, due) in enumerate(batches)],
                )
                self._take_over(record.key, batches, done or {})
        return record

    def _take_over(self, run: int, batches: Sequence[tuple[int, int, float]], done: Mapping[int, str]) -> None:
        """Enter what the lake knows of a run this ledger never saw."""
        self._db.change_many(
            "insert into message (run, seq, request, state, attempt, maybe, provider, body, first_at, landed) "
            "values (?, ?, ?, ?, 1, 0, '', '', 0, 1)",
            [(run, seq, seq, outcome.partition(":")[0]) for seq, outcome in sorted(done.items())],
        )
        for number, (lo, hi, _) in enumerate(batches):
            outcomes = Counter(done[seq] for seq in range(lo, hi) if seq in done and done[seq] != "in_doubt")
            if outcomes:
                self._db.execute(
                    "update batch set outcomes = ? where run = ? and number = ?", (json.dumps(outcomes), run, number)
                )

    def set_state(self, run: int, state: str, error: str = "", *, only_from: Iterable[str] = ()) -> bool:
        """Change a run's state.

        Args:
            run: The run's key.
            state: The new one.
            error: What stopped it.
            only_from: Do so only where its state is one of these.

        Returns:
            Whether it was changed.
        """
        states = tuple(only_from)
        condition = f"and state in ({', '.join('?' * len(states))})" if states else ""
        changed = self._db.change(
            f"update run set state = ?, error = ? where id = ? {condition}", (state, error, run, *states)
        )
        return changed == 1

    def held_out_landed(self, run: int) -> None:
        """Note that the rows of the control group are in the lake."""
        self._db.change("update run set held_out_landed = 1 where id = ?", (run,))

    def finish(self, run: int) -> str:
        """Note that a run is over, if no batch of it is open.

        Returns:
            The run's state.
        """
        with self._db.transaction():
            if not self._db.execute("select 1 from batch where run = ? and state = 'open' limit 1", (run,)):
                self.set_state(run, "stopped", only_from=("stopping",))
                self.set_state(run, "completed", only_from=("running", "paused", "failed"))
            state: str = self._db.execute("select state from run where id = ?", (run,))[0][0]
            return state

    def next_due(self, run: int) -> float | None:
        """When the earliest open batch that nobody holds is due, in seconds since 1970; None when there is none."""
        due: float | None = self._db.execute(
            "select min(due) from batch where run = ? and state = 'open' and owner is null", (run,)
        )[0][0]
        return due

    def counts(self, run: int) -> Counter[str]:
        """What became of the messages of a run so far.

        Returns:
            Numbers by ``sent``, ``failed:<reason>``, ``in_doubt`` and ``pending``; they add up to its rows.
        """
        with self._db.transaction():
            total = Counter[str]()
            for (text,) in self._db.execute("select outcomes from batch where run = ?", (run,)):
                total.update(json.loads(text))
            for state, reason, n in self._db.execute(
                "select state, reason, count(*) from message where run = ? "
                "and (state = 'in_doubt' or (landed = 0 and state in ('sent', 'failed'))) group by state, reason",
                (run,),
            ):
                total[f"failed:{reason}" if state == "failed" else state] += n
            rows = self._db.execute("select rows from run where id = ?", (run,))[0][0]
        total["pending"] = rows - sum(total.values())
        return total

    def totals(self) -> list[tuple[str, str, Counter[str]]]:
        """Every run's id, state and counts, as :meth:`counts` gives them."""
        return [(record.run_id, record.state, self.counts(record.key)) for record in self.runs()]

    def doubtful(self) -> list[str]:
        """The runs with messages in doubt, by their ids."""
        rows = self._db.execute(
            "select run_id from run where exists (select 1 from message where run = run.id and state = 'in_doubt')"
        )
        return sorted(run_id for (run_id,) in rows)

    def forget(self, run_id: str) -> None:
        """Let go of all that is known of a run."""
        with self._db.transaction():
            for (key,) in self._db.execute("select id from run where run_id = ?", (run_id,)):
                for table in ("message", "batch"):
                    self._db.change(f"delete from {table} where run = ?", (key,))
                self._db.change("delete from run where id = ?", (key,))

    def add_latency(self, provider: str, buckets: Mapping[float, tuple[int, float]]) -> None:
        """Add to how long a provider's answers took.

        Args:
            provider: Its name.
            buckets: Answers and their seconds in all, by the upper bound of the bucket.
        """
        self._db.change_many(
            "insert into latency (provider, le, n, seconds) values (?, ?, ?, ?) on conflict (provider, le) "
            "do update set n = latency.n + excluded.n, seconds = latency.seconds + excluded.seconds",
            [(provider, le, n, seconds) for le, (n, seconds) in sorted(buckets.items())],
        )

    def latency(self) -> dict[str, dict[float, tuple[int, float]]]:
        """Answers and their seconds in all, by provider and upper bound."""
        found: dict[str, dict[float, tuple[int, float]]] = {}
        for provider, le, n, seconds in self._db.execute("select provider, le, n, seconds from latency"):
            found.setdefault(provider, {})[le] = (n, seconds)
        return found

    def disable(self, endpoint: str, *, now: float) -> None:
        """Remember that an endpoint said it is gone, since when in seconds since 1970."""
        self._db.change(
            "insert into gone (endpoint, since) values (?, ?) on conflict (endpoint) do nothing", (endpoint, now)
        )

    def enable(self, endpoint: str) -> bool:
        """Forget that an endpoint is gone; whether it was known to be."""
        return self._db.change("delete from gone where endpoint = ?", (endpoint,)) > 0

    def disabled(self) -> dict[str, float]:
        """Endpoints that are gone, and since when in seconds since 1970."""
        return dict(self._db.execute("select endpoint, since from gone order by endpoint"))

    def in_doubt(self, run: int) -> list[Entry]:
        """The messages in doubt, by `seq`."""
        columns = ", ".join(Entry._fields)
        rows = self._db.execute(
            f"select {columns} from message where run = ? and state = 'in_doubt' order by seq", (run,)
        )
        return [Entry(*row) for row in rows]

    def resolve(self, run: int, seqs: Sequence[int], outcome: str) -> int:
        """Say what became of messages in doubt.

        Args:
            run: The run's key.
            seqs: The messages.
            outcome: ``sent``, ``failed:<reason>``, or ``retry`` to send again.

        Returns:
            How many of them were in doubt.
        """
        resolved = 0
        with self._db.transaction():
            for number, lo, hi in self._db.execute(
                "select number, lo, hi from batch where run = ? order by number", (run,)
            ):
                mine = [(run, seq) for seq in seqs if lo <= seq < hi]
                if not mine:
                    continue
                where = "where run = ? and seq = ? and state = 'in_doubt'"
                if outcome == "retry":
                    n = self._db.change_many(
                        "update message set state = 'retry', maybe = 0, attempt = 0, not_before = 0, landed = 0, "
                        f"body = '', reason = null, detail = null {where}",
                        mine,
                    )
                    self._db.change(
                        "update batch set state = 'open', due = 0 where run = ? and number = ?", (run, number)
                    )
                else:
                    n = self._settle_doubt(run, number, mine, outcome, where)
                resolved += n
            if outcome == "retry" and resolved:
                self.set_state(run, "running", only_from=("completed", "stopped"))
        return resolved

    def _settle_doubt(self, run: int, number: int, mine: Sequence[tuple[int, int]], outcome: str, where: str) -> int:
        """A batch whose rows may still be counted from their absence keeps them; another lets them go."""
        attempted = self._db.execute("select attempted from batch where run = ? and number = ?", (run, number))[0][0]
        if attempted:
            n = self._db.change_many(f"delete from message {where}", mine)
        else:
            state = outcome.partition(":")[0]
            n = self._db.change_many(f"update message set state = '{state}', landed = 1 {where}", mine)
        if n:
            self.batches.count(run, number, {outcome: n})
        return n
