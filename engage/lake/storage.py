"""How files come to be in the lake: whole or not at all.

A landing is staged under ``data/lake/.staging/<batch>/``, synced, and then committed by writing ``commit.json`` with
the list of renames. From that instant it has happened: if the process dies between two renames, whoever writes or
reads next finishes them. Without a ``commit.json`` a staged batch never happened and is swept away.

A commit that takes files away (compaction, erasure) needs the lake to itself for the instant of the switch: it waits
for the queries that are under way, and queries that begin wait for it. So a query finds every row once, and no file it
has listed is gone when it comes to read it. Readers that don't come through :meth:`Storage.reading` (another program's
glob over the folder) may, in that instant, miss the rows of one date or fail on a file that has gone; never see a row
twice.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from engage.errors import LandingError
from engage.settings import Settings

__all__ = ["Batch", "Storage", "locked", "sync_folder", "write_atomically"]

_COMMIT = "commit.json"
_TURN = 1.0  # seconds a switch may keep new queries waiting for old ones to end, before it lets them pass


def sync_folder(folder: Path) -> None:
    """Make renames within a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part.

    Args:
        path: The file; its folder is made if missing.
        content: Its whole content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    data = content.encode() if isinstance(content, str) else content
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Batch:
    """Files being staged; they enter the lake together at :meth:`commit`, or not at all.

    Args:
        storage: Where they will go.
        batch_id: A unique name; also the stem of the files' names in the lake.
    """

    def __init__(self, storage: Storage, batch_id: str) -> None:
        self.batch_id = batch_id
        self.folder = storage.staging / batch_id
        self._storage = storage
        self._removals: list[str] = []
        self.folder.mkdir(parents=True)

    def remove(self, path: Path) -> None:
        """Take a file of the lake away in the same commit (compaction, erasure)."""
        self._removals.append(str(path.relative_to(self._storage.root)))

    def commit(self, *, patience: float = 60.0) -> int:
        """Put every staged file at the same relative path of the lake, durably, and take the removed ones away.

        Args:
            patience: Seconds to wait for running queries, where files are to be taken away.

        Returns:
            The number of files put there.

        Raises:
            LandingError: Queries ran all that time; nothing has changed.
        """
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        for file in files:
            _sync_file(file)
        names = [str(file.relative_to(self.folder)) for file in files]
        with self._storage.alone(patience) if self._removals else ExitStack():
            write_atomically(self.folder / _COMMIT, json.dumps({"files": names, "removals": self._removals}, indent=0))
            self._storage.finish(self.folder)
        return len(files)


class Storage:
    """The lake's folder: one writer at a time, any number of readers.

    Args:
        settings: The workspace.
    """

    def __init__(self, settings: Settings) -> None:
        self.root = settings.lake
        self.staging = settings.lake / ".staging"
        self._lock_file = settings.data / "engage.lock"
        self._readers = settings.lake / ".readers.lock"
        self._turnstile = settings.lake / ".turnstile.lock"

    def seed(self) -> None:
        """Make the files that readers lock, so that a query writes nothing."""
        self.root.mkdir(parents=True, exist_ok=True)
        for path in (self._readers, self._turnstile):
            if not path.exists():
                path.touch()

    @contextmanager
    def writing(self, *, patience: float = 600.0) -> Iterator[None]:
        """Hold the writer's lock; first finish or sweep what a dead writer left.

        Args:
            patience: Seconds to wait for another writer.

        Raises:
            LandingError: Another process kept the lock all that time.
        """
        with locked(self._lock_file, fcntl.LOCK_EX, patience) as held:
            if not held:
                raise LandingError(
                    "another process is writing to this lake",
                    where=str(self._lock_file),
                    hint="wait for it, or end it, and try again",
                )
            self._recover()
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keep every file of the lake where it is while a query runs.

        What a dead writer left half done is finished first, so that a query never sees half a commit.
        """
        with ExitStack() as stack:
            while True:
                self._finish_for_the_dead()
                with locked(self._turnstile, fcntl.LOCK_SH):
                    attempt = stack.enter_context(ExitStack())
                    attempt.enter_context(locked(self._readers, fcntl.LOCK_SH))
                if not any(_takes_away(folder) for folder in self._committed()):
                    break
                attempt.close()  # its writer died in the switch just now
                time.sleep(0.005)
            yield

    @contextmanager
    def alone(self, patience: float) -> Iterator[None]:
        """Hold readers off; the caller holds :meth:`writing`.

        Args:
            patience: Seconds to wait for running queries to end.

        Raises:
            LandingError: They did not.
        """
        deadline = time.monotonic() + patience
        with ExitStack() as stack:
            while True:
                with ExitStack() as turn:
                    turn.enter_context(locked(self._turnstile, fcntl.LOCK_EX))
                    if stack.enter_context(locked(self._readers, fcntl.LOCK_EX, _TURN)):
                        break
                if time.monotonic() > deadline:
                    raise LandingError(
                        "queries are still running", where=str(self.root), hint="try again when they have ended"
                    )
                time.sleep(0.05)
            yield

    @contextmanager
    def batch(self) -> Iterator[Batch]:
        """Stage files; the caller holds :meth:`writing` and calls :meth:`Batch.commit`."""
        batch = Batch(self, f"{time.time_ns():019d}-{uuid.uuid4().hex[:12]}")
        try:
            yield batch
        finally:
            if not (batch.folder / _COMMIT).exists():
                shutil.rmtree(batch.folder, ignore_errors=True)

    def finish(self, folder: Path) -> None:
        """Carry out a committed batch; harmless to repeat."""
        commit = json.loads((folder / _COMMIT).read_text())
        touched = set()
        for name in commit["removals"]:
            target = self.root / name
            target.unlink(missing_ok=True)
            touched.add(target.parent)
        for name in commit["files"]:
            source, target = folder / name, self.root / name
            if source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                source.replace(target)
            touched.add(target.parent)
        for parent in touched:
            if parent.exists():
                sync_folder(parent)
        for parent in {parent.parent for parent in touched}:
            sync_folder(parent)
        shutil.rmtree(folder, ignore_errors=True)

    def _committed(self) -> list[Path]:
        """Batches that have happened and are not carried out yet, oldest first."""
        try:
            names = sorted(os.listdir(self.staging))
        except FileNotFoundError:
            return []
        return [self.staging / name for name in names if (self.staging / name / _COMMIT).exists()]

    def _finish_for_the_dead(self) -> None:
        if self._committed():
            with locked(self._lock_file, fcntl.LOCK_EX, 0) as held:
                if held:
                    self._recover()

    def _recover(self) -> None:
        if not self.staging.exists():
            return
        for folder in sorted(self.staging.iterdir()):
            if not (folder / _COMMIT).exists():
                shutil.rmtree(folder, ignore_errors=True)
            elif _takes_away(folder):
                with self.alone(600.0):
                    self.finish(folder)
            else:
                self.finish(folder)


def _takes_away(folder: Path) -> bool:
    """Whether a committed batch removes files."""
    try:
        return bool(json.loads((folder / _COMMIT).read_text())["removals"])
    except FileNotFoundError:  # carried out by now
        return False


@contextmanager
def locked(path: Path, kind: int, patience: float | None = None) -> Iterator[bool]:
    """Hold a lock that ends with the process.

    Args:
        path: The lock's file.
        kind: ``fcntl.LOCK_EX`` or ``LOCK_SH``.
        patience: Seconds to wait; None for as long as it takes.

    Yields:
        Whether it was got.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Opened for reading, so that a lake on a read-only disk can be queried too.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)) as lock:
        if patience is None:
            fcntl.flock(lock, kind)
            yield True
            return
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(lock, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    yield False
                    return
                time.sleep(min(0.02, max(deadline - time.monotonic(), 0.001)))
        yield True
