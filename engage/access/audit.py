"""The audit log: who did what to what, and when; only ever appended to.

``data/audit/YYYY-MM.ndjson``, one line an act, each with the SHA-256 of itself and the line before it: a line that is
changed, taken out or put in between breaks the chain from there on.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

__all__ = ["AuditLog"]

_COLUMNS: dict[str, Any] = {
    "done_at": pl.Datetime("us", "UTC"),
    "who": pl.String,
    "role": pl.String,
    "via": pl.String,
    "what": pl.String,
    "object": pl.String,
    "outcome": pl.String,
    "detail": pl.String,
}
_TAIL = 1 << 16  # bytes; a line is far shorter


class AuditLog:
    """The log of one workspace.

    Args:
        folder: Where its files lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def record(
        self,
        who: str,
        what: str,
        object: str = "",
        *,
        role: str = "",
        via: str = "",
        outcome: str = "",
        detail: Mapping[str, Any] | None = None,
        now: datetime | None = None,
    ) -> None:
        """Add a line; it is on disk when this returns.

        Args:
            who: A person's address, or ``user@machine`` of a shell.
            what: The act, ``campaign.send``.
            object: What it was done to.
            role: What they were then.
            via: ``web`` or ``shell``.
            outcome: '' for an act that begins, else what became of it (``refused``, ``failed``).
            detail: What else is worth knowing; no secrets.
            now: The clock.
        """
        now = now or datetime.now(UTC)
        row = {
            "done_at": now.isoformat(timespec="microseconds"),
            "who": who,
            "role": role,
            "via": via,
            "what": what,
            "object": object,
            "outcome": outcome,
            "detail": dict(detail or {}),
        }
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = self._last()
            text = json.dumps(row, ensure_ascii=False, default=str)
            line = json.dumps({**row, "chain": _chain(before, text)}, ensure_ascii=False, default=str)
            path = self._folder / f"{now:%Y-%m}.ndjson"
            file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                size = os.fstat(file).st_size
                torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
                os.write(file, (b"\n" if torn else b"") + line.encode() + b"\n")
                os.fsync(file)
            finally:
                os.close(file)

    def frame(self) -> pl.DataFrame:
        """Every line that can be read.

        Returns:
            `done_at` (UTC), `who`, `role`, `via`, `what`, `object`, `outcome`, `detail` (JSON); one row an act, in
            order.
        """
        rows = [
            {
                **row,
                "done_at": datetime.fromisoformat(row["done_at"]),
                "detail": json.dumps(row["detail"], ensure_ascii=False),
            }
            for _, row in self._rows()
            if row is not None
        ]
        return pl.DataFrame([{name: row[name] for name in _COLUMNS} for row in rows], schema=_COLUMNS)

    def faults(self) -> list[str]:
        """Where the log is not as it was written: empty when it is. A cut-off end cannot be seen from within."""
        found, before = [], ""
        for where, row in self._rows():
            if row is None:
                found.append(f"{where}: cannot be read")
                continue
            chain = row.pop("chain", "")
            if chain != _chain(before, json.dumps(row, ensure_ascii=False)):
                found.append(f"{where}: is not what was written after the line before it")
            before = chain
        return found

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.ndjson"))

    def _rows(self) -> Iterator[tuple[str, dict[str, Any] | None]]:
        for path in self._files():
            with path.open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    try:
                        row = json.loads(line)
                        ok = isinstance(row, dict) and row.keys() >= set(_COLUMNS)
                    except ValueError:
                        ok = False
                    yield f"{path.name}:{number}", row if ok else None

    def _last(self) -> str:
        for path in reversed(self._files()):
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - _TAIL))
                for line in reversed(file.read().splitlines()):
                    try:
                        return str(json.loads(line)["chain"])
                    except (ValueError, KeyError, TypeError):
                        continue
        return ""


def _chain(before: str, text: str) -> str:
    return hashlib.sha256(f"{before}\n{text}".encode()).hexdigest()
