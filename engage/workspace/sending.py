"""One run sent: its provider and who stands in for it, the ledger, the limits, and who is let go at the last moment."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from engage.campaigns.attachments import thaw_attachments
from engage.campaigns.definition import read_campaign
from engage.campaigns.follow_up import is_followed_up, mark_followed_up, plan_failed
from engage.campaigns.tracking import public_url
from engage.channels import registry
from engage.channels.provider import Provider
from engage.content.localised import make_renderer
from engage.delivery.beside import beside_loop
from engage.delivery.ledger import Ledger
from engage.delivery.pacing import Limits
from engage.delivery.sender import deliver
from engage.delivery.summary import Report, Summary
from engage.errors import ChannelError, ConfigurationError, EngageError
from engage.lake.runs import Run
from engage.logs import log
from engage.workspace.base import Base
from engage.workspace.links import tracked

__all__ = ["deliver_run", "open_ledger", "run_provider"]

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

    Where the server has a public address, a provider that is told where to call back is told that.
    """
    options = dict(workspace.settings.channel(channel))
    others = {one.name: options.pop(one.name, {}) for one in registry.PROVIDERS if channel in one.channels}
    if name and name != registry.setup(channel, options).name:
        options = {**others.get(name, {}), "provider": name}
    chosen = registry.setup(channel, options)
    public = public_url(workspace.settings)
    if "callback_url" in chosen.options and not options.get("callback_url") and public.startswith("https://"):
        options["callback_url"] = f"{public}/callbacks/{chosen.name}"
    return registry.provider(channel, options, outbox=workspace.settings.outbox)


def deliver_run(
    workspace: Base,
    run: Run,
    *,
    now: datetime | None = None,
    report: Report | None = None,
    stop: threading.Event | None = None,
) -> Summary:
    """Send what is still to be sent of a planned run, of a campaign or a journey; harmless to repeat.

    While its provider is down, those in ``fallback`` are asked in turn. What the first may have taken is not asked of
    another, but in doubt.

    Args:
        workspace: Where it was planned.
        run: The run.
        now: The clock of the messages; the present. Of the past only where the provider is the outbox.
        report: Told of progress.
        stop: Once set, nothing more leaves; a worker's own by default, else SIGTERM and SIGINT.

    Raises:
        PlanError: As of the past, to real people.
        ConfigurationError: The channel is not set up right; nobody is left out.
        ChannelError: The provider cannot be reached; send again later.
    """
    stop = stop or workspace.stop
    channel = workspace.settings.channel(run.channel)
    names = [run.provider, *(run.fallback or _names(channel.get("fallback", ()), run.channel))]
    for n, name in enumerate(names):
        provider = run_provider(workspace, run.channel, name)
        try:
            summary = beside_loop(partial(_send, workspace, run, provider, now, stop), report)
        except ChannelError as error:
            if n + 1 == len(names) or (stop is not None and stop.is_set()):
                raise
            log("falling_back", level=logging.WARNING, run=run.run_id, provider=provider.name, error=str(error))
            continue
        if summary.state == "completed":
            _follow_up(workspace, run, now, report, stop)
        return summary
    raise AssertionError


def _follow_up(
    workspace: Base, run: Run, now: datetime | None, report: Report | None, stop: threading.Event | None
) -> None:
    """Reach on another channel those whom a run turned out not to reach, where its campaign has a fallback.

    Done again after a kill, it goes on where it was. A journey's messages have ways out of their own for that.
    """
    settings = workspace.settings
    if not run.options.get("fallback") or is_followed_up(settings, run.run_id) or run.journey_id is not None:
        return
    try:
        campaign = read_campaign(settings, run.campaign_id)
    except (EngageError, ConfigurationError) as error:
        log("not_followed_up", level=logging.WARNING, run=run.run_id, error=str(error))
        mark_followed_up(settings, run.run_id)
        return
    for later in plan_failed(workspace.engine, campaign, run, now=now or datetime.now(UTC), as_of=now):
        deliver_run(workspace, later, now=now, report=report, stop=stop)
    mark_followed_up(settings, run.run_id)


def _send(
    workspace: Base,
    run: Run,
    provider: Provider,
    now: datetime | None,
    stop: threading.Event | None,
    report: Report | None,
) -> Summary:
    whole = {name: thaw_attachments(workspace.settings, content) for name, content in run.content.items()}
    with closing(open_ledger(workspace)) as ledger:
        return deliver(
            replace(run, content=whole),
            lake=workspace.lake,
            ledger=ledger,
            provider=provider,
            make_renderer=make_renderer,
            through=tracked(run),
            now=now,
            limits=_limits(workspace, run.channel),
            suppressed=_suppressed(workspace, run) if now is None else None,
            report=report,
            stop=stop,
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
