"""Runs: how far they got, pausing them, going on, and what to do about failed people and those in doubt."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Literal

import polars as pl

from engage.access.roles import Right
from engage.campaigns.follow_up import is_followed_up
from engage.delivery.again import plan_again
from engage.delivery.control import pause, resolve, resume, settle
from engage.delivery.guard import recover
from engage.delivery.metrics import metrics
from engage.delivery.sender import summarise
from engage.delivery.summary import Report, Summary
from engage.errors import ConfigurationError, EngageError, PlanError
from engage.lake.runs import Run, list_runs, read_run
from engage.workspace.base import Base, Time
from engage.workspace.guarding import guarded
from engage.workspace.sending import deliver_run, open_ledger

__all__ = ["DeliveryFace"]


class DeliveryFace(Base):
    """What shows runs and steers them."""

    def runs(self) -> list[Summary]:
        """What became of every run, oldest first."""
        runs = list_runs(self.settings)
        if not runs:
            return []
        with closing(open_ledger(self)) as ledger:
            return [summarise(run, ledger) for run in runs]

    def run(self, run_id: str) -> Summary:
        """What became of one run so far.

        Raises:
            PlanError: There is no such run.
        """
        run = read_run(self.settings, run_id)
        with closing(open_ledger(self)) as ledger:
            return summarise(run, ledger)

    @guarded(Right.SEND, "run.send")
    def send_run(self, run_id: str, *, report: Report | None = None) -> Summary:
        """Go on with a run: after a kill, a provider's absence, a pause that ended, or when people were resolved.

        Raises:
            PlanError: There is no such run.
            ConfigurationError: The channel is not set up right; nobody is left out.
            ChannelError: The provider cannot be reached; send again later.
        """
        return deliver_run(self, read_run(self.settings, run_id), report=report)

    @guarded(Right.SEND)
    def deliver_due(self, *, report: Report | None = None) -> list[tuple[Summary, str]]:
        """Go on with every run that began, is not paused, and has something due that nobody is sending.

        Where the ledger is on Postgres, runs that others are sending are joined. A fault of one does not stop the
        others.

        Returns:
            What became of each so far, and what went wrong with it, in one line.
        """
        shared = str(self.settings.options.get("ledger", "")).startswith("postgres")
        with closing(open_ledger(self)) as ledger:
            records = ledger.runs()
            going = [record for record in records if record.state in ("running", "stopping")]
            due = [one.run_id for one in going if ledger.batches.waiting(one.key, due=time.time(), join=shared)]
        due += self._to_follow_up({record.run_id for record in records if record.state == "completed"})
        done = []
        for run_id in due:
            if self.stop is not None and self.stop.is_set():
                break
            if self.rests(run_id):
                continue
            error = ""
            try:
                deliver_run(self, read_run(self.settings, run_id), report=report)
            except (EngageError, ConfigurationError) as problem:
                error = str(problem)
            self.went(run_id, wrong=bool(error))
            done.append((self.run(run_id), error))
        return done

    def _to_follow_up(self, completed: Collection[str]) -> list[str]:
        """Runs that are over and whose failures another channel was not tried for yet: a kill came in between."""
        return [
            run.run_id
            for run in list_runs(self.settings)
            if run.options.get("fallback") and run.run_id in completed and run.journey_id is None
            if not is_followed_up(self.settings, run.run_id)
        ]

    @guarded(Right.COMPOSE, "run.pause")
    def pause_run(self, run_id: str) -> bool:
        """Let nothing more of a run leave; senders at work stop within one commit.

        Returns:
            Whether it was running.
        """
        run = read_run(self.settings, run_id)
        with closing(open_ledger(self)) as ledger:
            return pause(run, ledger)

    @guarded(Right.SEND, "run.resume")
    def resume_run(self, run_id: str) -> bool:
        """Let a paused run go on, when it is next sent.

        Returns:
            Whether it was paused.
        """
        run = read_run(self.settings, run_id)
        with closing(open_ledger(self)) as ledger:
            return resume(run, ledger)

    @guarded(Right.ANALYSE)
    def unsent(self, run_id: str) -> pl.DataFrame:
        """The people of a run who were not sent to, or of whom nobody knows.

        Returns:
            `user_id`, `message_id`, `outcome` (``failed:<reason>`` or ``in_doubt``), one row a person, by `user_id`.
        """
        read_run(self.settings, run_id)
        return self.engine.frame(_UNSENT, {"run": run_id})

    @guarded(Right.SEND, "run.retry")
    def retry_run(self, run_id: str, reason: str | None = None, *, now: Time = None) -> Run:
        """Plan a new run for the people of a run who failed, with the same content; those in doubt are not in it.

        Planning it again gives the same run. Send it with :meth:`send_run`.

        Args:
            run_id: The run, which must be over.
            reason: Only those who failed for this reason.
            now: The clock.

        Returns:
            The new run, named after the first: ``<run>-retry1``, then ``-retry2``.

        Raises:
            PlanError: It is not over, or nobody failed.
        """
        run = read_run(self.settings, run_id)
        state = self.run(run_id).state
        if state not in ("completed", "stopped"):
            raise PlanError(f"it is {state}, not over", where=run_id, hint="send it to its end first")
        wanted = f"failed:{reason}" if reason else None
        failed = self.unsent(run_id).filter(
            pl.col("outcome") == wanted if wanted else pl.col("outcome").str.starts_with("failed:")
        )
        return plan_again(self.settings, run, failed["message_id"].to_list(), now=self.moment(now) or datetime.now(UTC))

    @guarded(Right.SEND)
    def settle_doubt(self) -> int:
        """Take people out of doubt of whose message the provider told afterwards: delivered, viewed, clicked or failed.

        Returns:
            How many there were.
        """
        with closing(open_ledger(self)) as ledger:
            settled = 0
            for run_id in ledger.doubtful():
                told = dict(self.engine.frame(_TOLD_LATER, {"run": run_id}).rows())
                if told:
                    settled += settle(read_run(self.settings, run_id), told, lake=self.lake, ledger=ledger)
        return settled

    @guarded(Right.SEND, "run.recover")
    def recover_run(self, run_id: str, others: Literal["in_doubt", "pending"] = "in_doubt") -> Summary:
        """Enter a run whose ledger was lost anew, by what the lake knows of it.

        Args:
            run_id: The run.
            others: What becomes of those the lake knows nothing of; see :func:`engage.delivery.guard.recover`.

        Raises:
            PlanError: Its ledger is not lost.
        """
        run = read_run(self.settings, run_id)
        with closing(open_ledger(self)) as ledger:
            recover(self.lake, run, ledger, others=others)
            return summarise(run, ledger)

    def metrics(self) -> str:
        """What runs have come to, as OpenMetrics text; see :func:`engage.delivery.metrics.metrics`."""
        channels = {run.run_id: run.channel for run in list_runs(self.settings)}
        with closing(open_ledger(self)) as ledger:
            return metrics(ledger, channels)

    @guarded(Right.SEND, "run.resolve")
    def resolve_run(
        self,
        run_id: str,
        outcome: Literal["sent", "failed", "retry"],
        *,
        users: Sequence[str] | None = None,
        now: Time = None,
    ) -> int:
        """Say what became of people in doubt.

        Args:
            run_id: The run.
            outcome: They were sent; they were not and shall not be; or they are to be sent again, at the risk of
                twice, by :meth:`send_run` or the worker.
            users: Only these.
            now: The clock.

        Returns:
            How many there were.

        Raises:
            PlanError: The run never began.
        """
        run = read_run(self.settings, run_id)
        messages = None
        if users is not None:
            doubt = self.unsent(run_id).filter(pl.col("outcome") == "in_doubt", pl.col("user_id").is_in(list(users)))
            messages = doubt["message_id"].to_list()
        with closing(open_ledger(self)) as ledger:
            return resolve(run, outcome, lake=self.lake, ledger=ledger, messages=messages, now=self.moment(now))


_UNSENT = """
select user_id, message_id, outcome
from outcomes
where run_id = $run and (outcome = 'in_doubt' or outcome like 'failed:%')
order by user_id
"""

_TOLD_LATER = """
select message_id, outcome
from outcomes
where run_id = $run and (outcome = 'sent' or outcome like 'failed:%') and message_id in (
    select message_id from notifications where run_id = $run and event_name = 'Notification In Doubt'
)
"""
