"""Rows of a recipients file as messages."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engage.channels.addresses import checked_address
from engage.channels.message import Message
from engage.lake.runs import Run

__all__ = ["MakeRenderer", "Recipients", "Rendering", "Slice", "Through"]

_decode = json.JSONDecoder().raw_decode  # what planning wrote has no space around it


class Rendering(Protocol):
    """What turns a person's context into a message's fields."""

    def render(self, context: Mapping[str, Any]) -> Mapping[str, Any]:
        """Fill in the templates.

        Raises:
            ContentError: They cannot be filled in for this person.
        """
        ...


MakeRenderer = Callable[[str, Mapping[str, Any]], Rendering]
"""Compiles the content of one variant: ``(channel, content) -> Rendering``."""

Through = Callable[[str, Rendering], Rendering]
"""What a variant's messages are put through: ``(variant, rendering) -> Rendering``."""


class Recipients:
    """The people of a run who are to be sent something, read a stretch at a time.

    Args:
        path: The recipients file.
        send: How many of its rows, from the first, are to be sent.
    """

    def __init__(self, path: Path, send: int) -> None:
        self._file = pq.ParquetFile(path)
        self.send = send
        sizes = [self._file.metadata.row_group(n).num_rows for n in range(self._file.num_row_groups)]
        self._starts = [0, *accumulate(sizes)]
        self._cached: tuple[int, pa.Table] | None = None

    def close(self) -> None:
        """Give back the file."""
        self._file.close()

    def rows(self, lo: int, hi: int) -> pa.Table:
        """The rows numbered `lo` to `hi`, the latter not included."""
        parts = []
        while lo < hi:
            group = bisect_right(self._starts, lo) - 1
            start, end = self._starts[group], self._starts[group + 1]
            if self._cached is None or self._cached[0] != group:
                self._cached = (group, self._file.read_row_group(group).combine_chunks())
            upto = min(hi, end)
            parts.append(self._cached[1].slice(lo - start, upto - lo))
            lo = upto
        return pa.concat_tables(parts)

    def batches(self, size: int) -> list[tuple[int, int, float]]:
        """Cut the rows to send into batches.

        Args:
            size: The most rows of one.

        Returns:
            First row, one past the last, and when the earliest of them is due (seconds since 1970; 0 for at once).
        """
        due = self._file.read(columns=["send_at"])["send_at"].slice(0, self.send)
        stretches = [(lo, min(lo + size, self.send)) for lo in range(0, self.send, size)]
        if due.null_count == len(due):
            return [(lo, hi, 0.0) for lo, hi in stretches]
        seconds = pc.fill_null(due.cast(pa.int64()), 0)
        return [(lo, hi, pc.min(seconds.slice(lo, hi - lo)).as_py() / 1e6) for lo, hi in stretches]

    def numbers(self, message_ids: set[str]) -> dict[str, int]:
        """The `seq` of messages, by their id."""
        table = self._file.read(columns=["message_id"]).slice(0, self.send)
        found = pc.is_in(table["message_id"], pa.array(sorted(message_ids), pa.string()))
        seqs = pc.indices_nonzero(found.combine_chunks())
        return dict(zip(table["message_id"].take(seqs).to_pylist(), seqs.to_pylist(), strict=True))

    def others(self, planned: str) -> pa.Table:
        """The rows that are not to be sent, for one reason: ``held_out`` or ``excluded``."""
        first = bisect_right(self._starts, self.send) - 1
        groups = list(range(first, self._file.num_row_groups))
        if not groups:
            return self._file.schema_arrow.empty_table()
        table = self._file.read_row_groups(groups)
        return table.filter(pc.equal(table["planned"], planned))


@dataclass(slots=True)
class Slice:
    """The recipients of one batch, column by column.

    Args:
        lo: `seq` of the first.
        table: Their rows, in `seq` order.
    """

    run: Run
    lo: int
    table: pa.Table
    message_ids: list[str]
    user_ids: list[str]
    variants: list[str | None]
    addresses: list[str | None]
    due: list[int | None]
    contexts: list[str | None]

    @classmethod
    def read(cls, run: Run, recipients: Recipients, lo: int, hi: int) -> Slice:
        """Read the rows `lo` to `hi`, the latter not included."""
        table = recipients.rows(lo, hi)
        ids, users, variants, addresses = (
            table[name].to_pylist() for name in ("message_id", "user_id", "variant", "address")
        )
        due = table["send_at"].cast(pa.int64()).to_pylist()
        return cls(run, lo, table, ids, users, variants, addresses, due, table["context"].to_pylist())

    def message(self, seq: int, renderers: Mapping[str, Rendering]) -> Message:
        """Render the message of one person.

        Raises:
            InvalidAddressError: Their address is none.
            ContentError: It cannot be rendered for this person.
        """
        n = seq - self.lo
        context = _decode(self.contexts[n] or "{}")[0]
        context["message_id"] = self.message_ids[n]
        context["user_id"] = self.user_ids[n]
        profile = context.get("profile") or {}
        return Message(
            message_id=self.message_ids[n],
            user_id=self.user_ids[n],
            channel=self.run.channel,
            address=checked_address(self.run.channel, self.addresses[n] or "", profile.get("country")),
            content=renderers[self.variants[n] or ""].render(context),
            campaign_id=self.run.campaign_id,
            run_id=self.run.run_id,
            labels=self.run.labels,
            profile=profile,
        )
