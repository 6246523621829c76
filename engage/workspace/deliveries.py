"""Runs: how far they got, pausing them, going on, and what to do about failed people and those in doubt."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Literal

import polars as pl

from engage.channels import registry
from engage.channels.provider import Provider
from engage.content.localised import make_renderer
from engage.delivery.again import plan_again
from engage.delivery.beside import beside_loop
from engage.delivery.control import pause, resolve, resume, settle
from engage.delivery.guard import recover
from engage.delivery.ledger import Ledger
from engage.delivery.metrics import metrics
from engage.delivery.pacing import Limits
from engage.delivery.sender import deliver, summarise
from engage.delivery.summary import Report, Summary
from engage.errors import ChannelError, ConfigurationError, EngageError, PlanError
from engage.lake.runs import Run, list_runs, read_run
from engage.logs import log
from engage.workspace.base import Base, Time
from engage.workspace.links import tracked

__all__ = ["DeliveryFace", "deliver_run", "open_ledger", "run_provider"]

_REFRESH = 30.0  # seconds; how long an answer about suppressed people is used while sending


def open_ledger(workspace: Base) -> Ledger:
    """The ledger: a SQLite file, or what ``ledger = "postgresql://…"`` names."""
    return Ledger.open(workspace.settings.options.get("ledger") or workspace.settings.ledger)


def run_provider(workspace: Base, channel: str, name: str | None) -> Provider:
    """The provider that serves a channel.

    Args:
        workspace: Where it is configured.
        channel: The channel.
        name: A provider to use instead of the channel's own; its options are those of
            ``[tool.engage.channels.<channel>.<provider>]``.
    """
    options = dict(workspace.settings.channel(channel))
    others = {one.name: options.pop(one.name, {}) for one in registry.PROVIDERS if channel in one.channels}
    if name and name != registry.setup(channel, options).name:
        options = {**others.get(name, {}), "provider": name}
    return registry.provider(channel, options, outbox=workspace.settings.outbox)


def deliver_run(workspace: Base, run: Run, *, now: datetime | None = None, report: Report | None = None) -> Summary:
    """Send what is still to be sent of a planned run, of a campaign or a journey; harmless to repeat.

    While its provider is down, those in ``fallback`` are asked in turn. What the first may have taken is not asked of
    another, but in doubt.

    Args:
        workspace: Where it was planned.
        run: The run.
        now: The clock of the messages; the present. Of the past only where the provider is the outbox.
        report: Told of progress.

    Raises:
        PlanError: As of the past, to real people.
        ConfigurationError: The channel is not set up right; nobody is left out.
        ChannelError: The provider cannot be reached; send again later.
    """
    channel = workspace.settings.channel(run.channel)
    names = [run.provider, *(run.fallback or _names(channel.get("fallback", ()), run.channel))]
    for n, name in enumerate(names):
        provider = run_provider(workspace, run.channel, name)
        try:
            return beside_loop(partial(_send, workspace, run, provider, now), report)
        except ChannelError as error:
            if n + 1 == len(names) or (workspace.stop is not None and workspace.stop.is_set()):
                raise
            log("falling_back", level=logging.WARNING, run=run.run_id, provider=provider.name, error=str(error))
    raise AssertionError


def _send(workspace: Base, run: Run, provider: Provider, now: datetime | None, report: Report | None) -> Summary:
    with closing(open_ledger(workspace)) as ledger:
        return deliver(
            run,
            lake=workspace.lake,
            ledger=ledger,
            provider=provider,
            make_renderer=make_renderer,
            through=tracked(run),
            now=now,
            limits=_limits(workspace, run.channel),
            suppressed=_suppressed(workspace, run) if now is None else None,
            report=report,
            stop=workspace.stop,
            gates=workspace.gates,
        )


def _limits(workspace: Base, channel: str) -> Limits:
    """The workspace's limits, and the channel's own ``rate`` and ``concurrency``, whichever is lower."""
    options = workspace.settings.options.get("delivery", {})
    short = {"patience": 2.0, "turn": 20.0} if workspace.stop is not None else {}  # a worker has others to see to
    limits = Limits.read(options, unreachable=3.0, **short)
    own = workspace.settings.channel(channel)
    for name, option in (("per_second", "rate"), ("concurrency", "concurrency")):
        if (value := own.get(option)) is not None:
            Limits.read({name: value})
            there = getattr(limits, name) if name in options else None
            limits = replace(limits, **{name: value if there is None else min(value, there)})
    return limits


def _names(given: object, channel: str) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else given
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        where = f"[tool.engage.channels.{channel}]"
        raise ConfigurationError("fallback is not a list of providers", where=where, hint='fallback = ["smtp"]')
    return tuple(names)


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

    def send_run(self, run_id: str, *, report: Report | None = None) -> Summary:
        """Go on with a run: after a kill, a provider's absence, a pause that ended, or when people were resolved.

        Raises:
            PlanError: There is no such run.
            ConfigurationError: The channel is not set up right; nobody is left out.
            ChannelError: The provider cannot be reached; send again later.
        """
        return deliver_run(self, read_run(self.settings, run_id), report=report)

    def deliver_due(self, *, report: Report | None = None) -> list[tuple[Summary, str]]:
        """Go on with every run that began, is not paused, and has something due that nobody is sending.

        Where the ledger is on Postgres, runs that others are sending are joined. A fault of one does not stop the
        others.

        Returns:
            What became of each so far, and what went wrong with it, in one line.
        """
        shared = str(self.settings.options.get("ledger", "")).startswith("postgres")
        with closing(open_ledger(self)) as ledger:
            going = [record for record in ledger.runs() if record.state in ("running", "stopping")]
            due = [one.run_id for one in going if ledger.batches.waiting(one.key, due=time.time(), join=shared)]
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

    def pause_run(self, run_id: str) -> bool:
        """Let nothing more of a run leave; senders at work stop within one commit.

        Returns:
            Whether it was running.
        """
        run = read_run(self.settings, run_id)
        with closing(open_ledger(self)) as ledger:
            return pause(run, ledger)

    def resume_run(self, run_id: str) -> bool:
        """Let a paused run go on, when it is next sent.

        Returns:
            Whether it was paused.
        """
        run = read_run(self.settings, run_id)
        with closing(open_ledger(self)) as ledger:
            return resume(run, ledger)

    def unsent(self, run_id: str) -> pl.DataFrame:
        """The people of a run who were not sent to, or of whom nobody knows.

        Returns:
            `user_id`, `message_id`, `outcome` (``failed:<reason>`` or ``in_doubt``), one row a person, by `user_id`.
        """
        read_run(self.settings, run_id)
        return self.engine.frame(_UNSENT, {"run": run_id})

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


def _suppressed(workspace: Base, run: Run) -> Callable[[Sequence[str]], Collection[str]]:
    """Asks who of a run unsubscribed or was suppressed since it was planned, at most every half minute."""
    known: set[str] = set()
    asked = float("-inf")

    def ask(users: Sequence[str]) -> Collection[str]:
        nonlocal asked, known
        if time.monotonic() - asked > _REFRESH:
            params = {"run": run.run_id, "transactional": run.options.get("transactional") is True}
            known, asked = set(workspace.engine.frame(_GONE, params)["user_id"]), time.monotonic()
        return [user for user in users if user in known]

    return ask


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

_GONE = """
select person.user_id
from audiences as person
left join suppressions as gone
    on gone.channel = person.channel
    and gone.address = case when person.channel = 'email' then lower(trim(person.address)) else person.address end
left join consents as told
    on told.user_id = person.user_id and told.channel = person.channel and told.topic = ''
    and not told.subscribed and not $transactional
where
    person.run_id = $run and person.planned = 'send'
    and (
        told.user_id is not null
        or (gone.address is not null and not ($transactional and gone.reason = 'unsubscribed'))
    )
"""
