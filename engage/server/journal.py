"""An append-only log in which accepted events are safe until they are in the lake.

Appends that come in while a sync is under way share the next one (group commit). A line that was only half written
when the machine died was never acknowledged, and whoever reads the log leaves it out.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from engage.errors import ConfigurationError, EngageError
from engage.lake.collected import mark_collected
from engage.lake.storage import sync_folder

__all__ = ["Backlogged", "Journal"]


class Backlogged(EngageError):
    """The log has grown past its limit; nothing was accepted."""


class Journal:
    """Files of lines under one folder, written by one process.

    Args:
        folder: Where they lie; made if missing.
        limit: Bytes the log may hold before it refuses more.

    Raises:
        ConfigurationError: Another process is writing there.
    """

    def __init__(self, folder: Path, *, limit: int = 256 << 20) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._limit = folder, limit
        self._owner = (folder / ".lock").open("w")
        try:
            fcntl.flock(self._owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._owner.close()
            raise ConfigurationError(
                "another server is collecting here", where=str(folder), hint="end it, or use it"
            ) from error
        self._lock = threading.Lock()
        self._file: int | None = None
        self._path: Path | None = None
        self._pending: list[tuple[bytes, asyncio.Future[None]]] = []
        self._drain: asyncio.Task[None] | None = None
        left = sorted(folder.glob("*.ndjson"))
        self.bytes = sum(path.stat().st_size for path in left)
        self._receiving: set[datetime] = set()
        begun = datetime.fromtimestamp(int(left[0].stem) / 1e9, UTC) if left else datetime.now(UTC)
        self.landed(begun - timedelta(seconds=1))

    @contextmanager
    def receiving(self) -> Iterator[datetime]:
        """The clock by which something is received that the block appends; until its end it has not landed."""
        now = datetime.now(UTC)
        while now in self._receiving:
            now += timedelta(microseconds=1)
        self._receiving.add(now)
        try:
            yield now
        finally:
            self._receiving.discard(now)

    def received(self) -> datetime:
        """Everything received before then is in the log, or has landed."""
        return min(self._receiving, default=datetime.now(UTC))

    def landed(self, upto: datetime) -> None:
        """Let others know that everything received before a time has landed."""
        mark_collected(self._folder, upto)

    async def append(self, lines: bytes) -> None:
        """Write whole lines; they are on disk when this returns.

        Args:
            lines: One or more lines, each with its line end.

        Raises:
            Backlogged: The log is full; try again later.
            OSError: The disk refused; what of it was written may still land.
        """
        if self.bytes + sum(len(data) for data, _ in self._pending) + len(lines) > self._limit:
            raise Backlogged("too many events wait to be landed", hint="try again later")
        done = asyncio.get_running_loop().create_future()
        self._pending.append((lines, done))
        if self._drain is None or self._drain.done():
            self._drain = asyncio.create_task(self._write_pending())
        await done

    async def _write_pending(self) -> None:
        while self._pending:
            group, self._pending = self._pending, []
            try:
                await asyncio.to_thread(self._write, b"".join(data for data, _ in group))
            except OSError as error:
                for _, done in group:
                    if not done.done():
                        done.set_exception(error)
            else:
                for _, done in group:
                    if not done.done():
                        done.set_result(None)

    def _write(self, data: bytes) -> None:
        with self._lock:
            if self._file is None:
                self._path = self._folder / f"{time.time_ns():020d}.ndjson"
                self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
                sync_folder(self._folder)
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(self._file, rest) :]
                os.fsync(self._file)
            except OSError:
                self._end_file()  # its last line may be torn: go on in another
                raise
            self.bytes += len(data)

    def _end_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file = self._path = None

    def closed(self) -> list[Path]:
        """End the file being written, and name every file that waits to be landed, oldest first."""
        with self._lock:
            self._end_file()
            return sorted(self._folder.glob("*.ndjson"))

    def forget(self, path: Path) -> None:
        """Take a file away whose lines have landed."""
        with self._lock:
            size = path.stat().st_size
            path.unlink()
            self.bytes = max(0, self.bytes - size)
        sync_folder(self._folder)

    def close(self) -> None:
        """End the file and let another process write here."""
        with self._lock:
            self._end_file()
        self._owner.close()
