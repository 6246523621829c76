"""How files come to be in the lake: whole or not at all.

A landing is staged under ``data/lake/.staging/<batch>/``, synced, and then committed by writing ``commit.json`` with
the list of renames. From that instant it has happened: if the process dies between two renames, whoever takes the
lock next finishes them. Without a ``commit.json`` a staged batch never happened and is swept away.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engage.errors import LandingError
from engage.settings import Settings

__all__ = ["Batch", "Storage", "sync_folder", "write_atomically"]

_COMMIT = "commit.json"


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

    def commit(self) -> int:
        """Put every staged Parquet file at the same relative path of the lake, durably.

        Returns:
            The number of files.
        """
        files = sorted(self.folder.rglob("*.parquet"))
        for file in files:
            _sync_file(file)
        names = [str(file.relative_to(self.folder)) for file in files]
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

    @contextmanager
    def writing(self, *, patience: float = 600.0) -> Iterator[None]:
        """Hold the writer's lock; first finish or sweep what a dead writer left.

        Args:
            patience: Seconds to wait for another writer.

        Raises:
            LandingError: Another process kept the lock all that time.
        """
        self._lock_file.parent.mkdir(parents=True, exist_ok=True)
        with self._lock_file.open("a+") as lock:
            deadline = time.monotonic() + patience
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise LandingError(
                            "another process is writing to this lake",
                            where=str(self._lock_file),
                            hint="wait for it, or end it, and try again",
                        ) from None
                    time.sleep(0.02)
            self._recover()
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
        for name in commit["files"]:
            source, target = folder / name, self.root / name
            if source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                source.replace(target)
                touched.add(target.parent)
        for name in commit["removals"]:
            target = self.root / name
            target.unlink(missing_ok=True)
            touched.add(target.parent)
        for parent in touched:
            if parent.exists():
                sync_folder(parent)
        for parent in {parent.parent for parent in touched}:
            sync_folder(parent)
        shutil.rmtree(folder, ignore_errors=True)

    def _recover(self) -> None:
        if not self.staging.exists():
            return
        for folder in sorted(self.staging.iterdir()):
            if (folder / _COMMIT).exists():
                self.finish(folder)
            else:
                shutil.rmtree(folder, ignore_errors=True)
