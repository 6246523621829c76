"""Sending a run: recipients file in, messages out, receipts into the lake."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from engage.channels.provider import Provider
from engage.delivery.guard import check, refuse_gone
from engage.delivery.landings import Landings
from engage.delivery.ledger import Ledger
from engage.delivery.meter import Meter
from engage.delivery.pacing import Gate, Limits
from engage.delivery.prepare import Preparer
from engage.delivery.receipts import land_held_out
from engage.delivery.recipients import MakeRenderer, Recipients, Through
from engage.delivery.settle import Judge
from engage.delivery.summary import Report, Summary
from engage.delivery.window import Suppressed, Window
from engage.errors import ConfigurationError, PlanError
from engage.lake.landing import Lake
from engage.lake.runs import Run, mark_begun, recipients_path
from engage.logs import log
from engage.stopping import stopping
from engage.traces import span

__all__ = ["deliver", "summarise"]


def deliver(
    run: Run,
    *,
    lake: Lake,
    ledger: Ledger,
    provider: Provider,
    make_renderer: MakeRenderer,
    through: Through | None = None,
    now: datetime | None = None,
    limits: Limits | None = None,
    suppressed: Suppressed | None = None,
    report: Report | None = None,
    seed: int | None = None,
    stop: threading.Event | None = None,
    gates: MutableMapping[str, Gate] | None = None,
) -> Summary:
    """Send what is still to be sent of a run.

    Killed at any instant and called again, it loses no message and sends none twice silently: a message whose outcome
    is not known is sent again only where the provider takes an idempotency key, and is in doubt otherwise.

    Args:
        run: The run, as planned.
        lake: Where receipts land.
        ledger: Knows what is in flight.
        provider: Who sends.
        make_renderer: Compiles the content of a variant.
        through: What each variant's messages are put through once they are rendered: links of the run's own.
        now: The clock of the messages; the present, unless the provider may send as of the past.
        limits: How hard to press the provider.
        suppressed: Asked for each batch just before it is sent.
        report: Told of progress a few times a second.
        seed: Where jitter comes from.
        stop: Once set, nothing more leaves and answers under way are waited for. By default SIGTERM and SIGINT do
            that, where this is the main thread.
        gates: The entrances to providers as the last sends left them, so that a provider's wish to be left alone
            outlives one send; by channel and name.

    Returns:
        What became of everyone in the audience so far. A run that is over is sent nothing more.

    Raises:
        PlanError: `now` is in the past and the provider reaches real people; or the run was begun with a ledger that
            is lost, or older than this one.
        ConfigurationError: A key or sender is wrong; the run stops, nobody is suppressed, the rest can be sent later.
        ChannelError: The provider cannot be reached; the rest can be sent later.
    """
    if now is not None and now < datetime.now(UTC) and not provider.past:
        raise PlanError(
            f"{provider.name} cannot send as of the past", where=run.run_id, hint="leave out --as-of, or use the outbox"
        )
    check(lake, run, ledger)
    refuse_gone(run, provider, ledger)
    limits = limits or Limits()
    recipients = Recipients(recipients_path(lake.settings, run.run_id), run.counts.send)
    try:
        # Small enough to be shared between senders, large enough that taking them up costs little.
        size = min(50_000, max(1_000, 100 * provider.batch_size, min(10_000, run.counts.send // 16)))
        batches = recipients.batches(size)
        record = ledger.begin(run.run_id, recipients=run.recipients_sha256, batches=batches, now=time.time())
        if record.state not in ("running", "failed", "stopping"):
            return summarise(run, ledger)
        ledger.set_state(record.key, "running", only_from=("failed",))
        record = ledger.run(run.run_id) or record
        mark_begun(lake.settings, run.run_id)
        fixed = int(now.timestamp() * 1e6) if now else None

        def clock() -> int:
            return fixed if fixed is not None else int(time.time() * 1e6)

        if not record.held_out_landed:
            people, at = recipients.others("held_out"), datetime.fromtimestamp(clock() / 1e6, UTC)
            land_held_out(lake, run, people, at=at, received_at=datetime.now(UTC))
            ledger.held_out_landed(record.key)
        chance = random.Random(seed)
        gate, name = Gate(limits, per_second=run.throttle_per_second, chance=chance), f"{run.channel}/{provider.name}"
        if gates is not None and name in gates:
            gate.take_over(gates[name])
        with stopping(stop) as stopped:
            window = Window(
                run=run,
                record=record,
                ledger=ledger,
                recipients=recipients,
                provider=provider,
                preparer=Preparer(
                    provider,
                    {
                        name: through(name, made) if through else made
                        for name, content in run.content.items()
                        for made in (make_renderer(run.channel, content),)
                    },
                    clock,
                ),
                gate=gate,
                judge=Judge(provider, gate, limits, chance=chance, now=clock, wall=time.time),
                landings=Landings(run, lake, ledger, every=limits.land_every),
                limits=limits,
                meter=Meter(run.run_id, run.counts.send, ledger.counts(record.key), report),
                now=clock,
                moving=fixed is None,
                suppressed=suppressed,
                stop=stopped,
            )
            began = time.monotonic()
            facts: dict[str, Any] = {"run": run.run_id, "channel": run.channel, "provider": provider.name}
            log("sending", **facts)
            with _rarely_collecting(), span("engage.deliver", **facts):
                asyncio.run(window.send())
        if gates is not None:
            gates[name] = gate
    finally:
        recipients.close()
    ledger.finish(record.key)
    summary, seconds = summarise(run, ledger), round(time.monotonic() - began, 3)
    log("sent", **facts, seconds=seconds, state=summary.state, **summary.counts(), error=str(window.error or ""))
    if window.error is not None:
        state = "failed" if isinstance(window.error, ConfigurationError) else "running"
        ledger.set_state(record.key, state, str(window.error), only_from=("running",))
        raise window.error
    return summary


@contextmanager
def _rarely_collecting() -> Iterator[None]:
    """Look for cycles of garbage less often: a send makes many objects that live long and hardly any cycle.

    With Python's own thresholds the collector took 10 of 41 µs of CPU a message in batches of 500.
    """
    before = gc.get_threshold()
    gc.set_threshold(100_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def summarise(run: Run, ledger: Ledger) -> Summary:
    """What became of everyone in a run's audience so far; the parts add up to it."""
    record = ledger.run(run.run_id)
    common = {
        "run_id": run.run_id,
        "held_out": run.counts.held_out,
        "excluded": dict(run.counts.excluded),
        "campaign_id": run.campaign_id,
        "retry_of": str(run.options.get("retry_of", "")),
        "fallback_of": str(run.options.get("fallback_of", "")),
    }
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
