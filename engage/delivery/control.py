"""What a person may do with a run under way: pause it, go on, and say what became of messages in doubt."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Literal

from engage.delivery.ledger import Ledger
from engage.delivery.receipts import Ending, land_endings
from engage.delivery.recipients import Recipients
from engage.errors import PlanError
from engage.lake.landing import Lake
from engage.lake.runs import Run, recipients_path

__all__ = ["pause", "resolve", "resume", "settle"]


def pause(run: Run, ledger: Ledger) -> bool:
    """Let nothing more of a run leave; senders at work stop within one commit.

    Returns:
        Whether it was running.
    """
    record = ledger.run(run.run_id)
    return record is not None and ledger.set_state(record.key, "paused", only_from=("running",))


def resume(run: Run, ledger: Ledger) -> bool:
    """Let a paused run go on when it is next sent.

    Returns:
        Whether it was paused.
    """
    record = ledger.run(run.run_id)
    return record is not None and ledger.set_state(record.key, "running", only_from=("paused",))


def resolve(
    run: Run,
    outcome: Literal["sent", "failed", "retry"],
    *,
    lake: Lake,
    ledger: Ledger,
    messages: Collection[str] | None = None,
    detail: str = "said by a person",
    now: datetime | None = None,
) -> int:
    """Say what became of the messages of a run that are in doubt.

    Args:
        run: The run.
        outcome: They were sent; they were not and shall not be; or they are to be sent again, at the risk of twice.
        lake: Where the word on them lands.
        ledger: Where they are in doubt.
        messages: Ids of the messages; all that are in doubt by default.
        detail: How that is known.
        now: The clock.

    Returns:
        How many there were.

    Raises:
        PlanError: The run never began.
    """
    record = ledger.run(run.run_id)
    if record is None:
        raise PlanError("nothing of it was sent", where=run.run_id, hint="see `engage delivery status`")
    entries = ledger.in_doubt(record.key)
    recipients = Recipients(recipients_path(lake.settings, run.run_id), run.counts.send)
    try:
        if messages is not None:
            chosen = set(recipients.numbers(set(messages)).values())
            entries = [entry for entry in entries if entry.seq in chosen]
        if not entries:
            return 0
        seqs = [entry.seq for entry in entries]
        if outcome == "retry":
            return ledger.resolve(record.key, seqs, "retry")
        rows = recipients.rows(0, run.counts.send)
    finally:
        recipients.close()
    moment = now or datetime.now(UTC)
    at = int(moment.timestamp() * 1e6)
    reason = "resolved" if outcome == "failed" else None
    endings = [Ending(e.seq, outcome, at, e.provider, reason=reason, detail=detail) for e in entries]
    land_endings(lake, run, [(rows, endings)], received_at=moment)
    return ledger.resolve(record.key, seqs, outcome if reason is None else f"failed:{reason}")


def settle(run: Run, told: Mapping[str, str], *, lake: Lake, ledger: Ledger) -> int:
    """Take messages out of doubt of which the provider told afterwards what became of them.

    Args:
        run: The run.
        told: Outcomes the lake knows, ``sent`` or ``failed:<reason>``, by message.
        lake: Where it lands that they were sent.
        ledger: Where they are in doubt.

    Returns:
        How many there were.
    """
    record = ledger.run(run.run_id)
    if record is None:
        return 0
    sent = [message_id for message_id, outcome in told.items() if outcome == "sent"]
    settled = 0
    if sent:
        settled += resolve(run, "sent", lake=lake, ledger=ledger, messages=sent, detail="told by the provider later")
    failed = {message_id: outcome for message_id, outcome in told.items() if outcome.startswith("failed:")}
    if failed:  # that they failed is in the lake already
        recipients = Recipients(recipients_path(lake.settings, run.run_id), run.counts.send)
        try:
            seqs = recipients.numbers(set(failed))
        finally:
            recipients.close()
        for outcome in sorted(set(failed.values())):
            mine = [seq for message_id, seq in seqs.items() if failed[message_id] == outcome]
            settled += ledger.resolve(record.key, mine, outcome)
    return settled
