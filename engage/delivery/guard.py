"""A ledger that was lost or is older than what was sent: noticed before anybody is sent anything twice.

A run that began to leave has a mark beside its recipients. A run with a mark and without a record in the ledger, or of
which the lake knows more than the ledger, was sent with another ledger.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from engage.channels.provider import Provider
from engage.delivery.ledger import Ledger
from engage.delivery.receipts import Ending, land_endings
from engage.delivery.recipients import Recipients
from engage.delivery.records import RunRecord
from engage.errors import ConfigurationError, PlanError
from engage.lake.landing import Lake
from engage.lake.runs import Run, has_begun, recipients_path
from engage.lake.scratch import scratch

__all__ = ["check", "recover", "refuse_gone"]

_TOLD = """
select message_id, max(case
    when event_id = message_id || ':sent' then 'z'
    when event_id = message_id || ':failed' then 'failed:' || coalesce(reason, '')
    else 'a'
end) as outcome
from read_parquet($files)
where run_id = $run
    and event_id in (message_id || ':sent', message_id || ':failed', message_id || ':in_doubt')
group by message_id
"""


def check(lake: Lake, run: Run, ledger: Ledger) -> None:
    """Refuse a run that was sent with another ledger than this.

    Raises:
        PlanError: The ledger was lost, or is an old copy.
    """
    if not has_begun(lake.settings, run.run_id):
        return
    record = ledger.run(run.run_id)
    hint = f"bring the ledger back, or `engage delivery recover {run.run_id}` to go by what the lake knows"
    if record is None:
        raise PlanError("it was begun with a ledger that is not here any more", where=run.run_id, hint=hint)
    if record.state in ("completed", "stopped"):
        return
    counts = ledger.counts(record.key)
    ended = sum(n for outcome, n in counts.items() if outcome != "pending")
    if sum(outcome != "in_doubt" for outcome in _told(lake, run).values()) > ended:
        raise PlanError("the ledger is older than what the lake knows was sent", where=run.run_id, hint=hint)


def refuse_gone(run: Run, provider: Provider, ledger: Ledger) -> None:
    """Refuse a run to an endpoint that said it is gone (HTTP 410), until somebody says that it is back.

    Raises:
        ConfigurationError: It is remembered as gone; nobody was left out.
    """
    endpoint = getattr(provider, "endpoint", None)
    gone = ledger.disabled() if endpoint is not None else {}
    for content in run.content.values() if gone else ():
        if (url := endpoint(content)) in gone:  # type: ignore[misc]
            since = datetime.fromtimestamp(gone[url], UTC)
            raise ConfigurationError(
                f"{url} is disabled: it answered 410 Gone on {since:%Y-%m-%d %H:%M} UTC",
                where=run.run_id,
                hint=f"when it is back, `engage channel enable {url}`",
            )


def recover(
    lake: Lake, run: Run, ledger: Ledger, *, others: Literal["in_doubt", "pending"], now: datetime | None = None
) -> RunRecord:
    """Enter a run anew, by what the lake knows of it.

    Args:
        lake: The lake.
        run: The run.
        ledger: The new ledger, or the old copy; what it knows of the run is forgotten.
        others: What becomes of those the lake knows nothing of: in doubt, since they may have been sent; or pending,
            where it is certain that no sender was at work when the ledger was lost.
        now: The clock.

    Raises:
        PlanError: The ledger is not lost.
    """
    try:
        check(lake, run, ledger)
    except PlanError:
        pass
    else:
        raise PlanError("its ledger is as it should be", where=run.run_id, hint="there is nothing to recover")
    moment = now or datetime.now(UTC)
    recipients = Recipients(recipients_path(lake.settings, run.run_id), run.counts.send)
    try:
        told = _told(lake, run)
        done = {seq: told[message_id] for message_id, seq in recipients.numbers(set(told)).items()}
        if others == "in_doubt":
            unknown = [seq for seq in range(run.counts.send) if seq not in done]
            at, detail = int(moment.timestamp() * 1e6), "the ledger was lost"
            endings = [Ending(seq, "in_doubt", at, run.provider or "", detail=detail) for seq in unknown]
            if endings:
                land_endings(lake, run, [(recipients.rows(0, run.counts.send), endings)], received_at=moment)
            done |= dict.fromkeys(unknown, "in_doubt")
        ledger.forget(run.run_id)
        batches = recipients.batches(10_000)
    finally:
        recipients.close()
    return ledger.begin(
        run.run_id, recipients=run.recipients_sha256, batches=batches, now=moment.timestamp(), done=done
    )


def _told(lake: Lake, run: Run) -> Mapping[str, str]:
    """What the lake has of a sender's own receipts, by message."""
    files = str(lake.folder("notifications") / "*" / "*.parquet")
    with scratch() as connection:
        rows = connection.execute(_TOLD, {"files": files, "run": run.run_id}).fetchall()
    names = {"z": "sent", "a": "in_doubt"}
    return {message_id: names.get(outcome, outcome) for message_id, outcome in rows}
