"""A run's recipients file: rows that fit, counted, and known by the digest of their bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engage.errors import PlanError
from engage.lake.schema import RECIPIENTS

__all__ = ["Counts", "count_recipients", "digest", "write_recipients"]


@dataclass(frozen=True, slots=True)
class Counts:
    """How an audience was split; the parts add up to it.

    Args:
        send: People with a message to be sent.
        held_out: People kept back in a control group.
        excluded: People left out, by reason.
    """

    send: int = 0
    held_out: int = 0
    excluded: Mapping[str, int] = field(default_factory=dict)

    @property
    def audience(self) -> int:
        """Everyone."""
        return self.send + self.held_out + sum(self.excluded.values())


def write_recipients(table: pa.Table, file: Path, run_id: str) -> None:
    """Write a recipients file.

    Args:
        table: Rows in the schema :data:`engage.lake.schema.RECIPIENTS`.
        file: Where to.
        run_id: What errors name.

    Raises:
        PlanError: The rows do not fit.
    """
    try:
        rows = table.select(RECIPIENTS.names).cast(RECIPIENTS)
    except (KeyError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise PlanError(f"recipients do not fit: {error}", where=run_id) from error
    pq.write_table(rows, file, compression="zstd", row_group_size=50_000)


def count_recipients(file: Path, run_id: str, channel: str) -> Counts:
    """Count the rows of a recipients file, and check what delivery relies on.

    Args:
        file: The file.
        run_id: The run all its rows are of.
        channel: The channel all its rows are for.

    Raises:
        PlanError: They are of others, or not in order.
    """
    table = pq.read_table(file, columns=["run_id", "seq", "planned", "reason", "channel"], partitioning=None)
    by_planned = {row["values"]: row["counts"] for row in pc.value_counts(table["planned"]).to_pylist()}
    if unknown := set(by_planned) - {"send", "held_out", "excluded"}:
        raise PlanError(f"planned is {unknown.pop()!r}", where=run_id, hint="send, held_out or excluded")
    send = by_planned.get("send", 0)
    first = table.slice(0, send)
    if not (
        pc.all(pc.equal(first["planned"], "send")).as_py() in (True, None)
        and first["seq"].combine_chunks().equals(pa.array(range(send), pa.int64()))
    ):
        raise PlanError("rows to send are not first, numbered 0, 1, …", where=run_id)
    for name, value in (("run_id", run_id), ("channel", channel)):
        if pc.any(pc.not_equal(table[name], value)).as_py():
            raise PlanError(f"{name} differs from the run's", where=run_id)
    excluded = table.filter(pc.equal(table["planned"], "excluded"))["reason"]
    reasons = {row["values"] or "": row["counts"] for row in pc.value_counts(excluded).to_pylist()}
    return Counts(send, by_planned.get("held_out", 0), dict(sorted(reasons.items())))


def digest(file: Path) -> str:
    """The sha256 of a file's bytes."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
