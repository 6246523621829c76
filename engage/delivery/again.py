"""People of a run as a run of their own, to be tried again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engage.errors import PlanError
from engage.lake.runs import Counts, Run, recipients_path, write_run
from engage.lake.schema import RECIPIENTS
from engage.settings import Settings

__all__ = ["message_id", "plan_again"]

_RETRY = re.compile(r"(.*)-retry(\d+)")
_NOT_OURS = ("until", "winner")  # what a run's options say of its occurrence, not of its messages


def plan_again(settings: Settings, run: Run, messages: Collection[str], *, now: datetime) -> Run:
    """Plan a run for some people of an earlier one, with the same content, to be sent at once.

    Args:
        settings: The workspace.
        run: The earlier run.
        messages: Ids of the messages to repeat; each gets a new id, which follows from the old one.
        now: The clock.

    Returns:
        The new run, ``<run>-retry1`` or the next number. Planning it again gives the same one.

    Raises:
        PlanError: There is nobody, or it was planned with others.
    """
    if not messages:
        raise PlanError("nobody failed", where=run.run_id, hint="see `engage delivery failed`")
    found = _RETRY.fullmatch(run.run_id)
    run_id = f"{found[1]}-retry{int(found[2]) + 1}" if found else f"{run.run_id}-retry1"
    table = pq.read_table(recipients_path(settings, run.run_id), partitioning=None)
    table = table.filter(pc.is_in(table["message_id"], pa.array(sorted(messages), pa.string())))
    n = table.num_rows
    changed = {
        "run_id": [run_id] * n,
        "seq": list(range(n)),
        "message_id": [_next_id(run_id, old) for old in table["message_id"].to_pylist()],
        "send_at": [None] * n,
    }
    columns = [pa.array(changed[name], RECIPIENTS.field(name).type) if name in changed else table[name]
               for name in RECIPIENTS.names]  # fmt: skip
    options = {name: value for name, value in run.options.items() if name not in _NOT_OURS}
    again = replace(
        run,
        run_id=run_id,
        planned_at=now,
        start_at=None,
        end_at=None,
        options={**options, "retry_of": run.run_id},
        counts=Counts(),
        recipients_sha256="",
    )
    return write_run(settings, again, pa.table(columns, schema=RECIPIENTS))


def _next_id(run_id: str, message_id: str) -> str:
    return hashlib.sha256(f"{run_id}\x1f{message_id}".encode()).hexdigest()[:32]


def message_id(run: Run, user_id: str) -> str:
    """The id a person's message has in a run, as planning gives it: whoever names another did not get it.

    Args:
        run: The run.
        user_id: The person.
    """
    found = _RETRY.fullmatch(run.run_id)
    first, times = (found[1], int(found[2])) if found else (run.run_id, 0)
    text = "\x1f".join((run.campaign_id, first, user_id, run.channel, ""))
    own = hashlib.sha256(text.encode()).hexdigest()[:32]
    for n in range(1, times + 1):
        own = _next_id(f"{first}-retry{n}", own)
    return own
