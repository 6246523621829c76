"""Which worker leads a workspace: one, known by a lock that its death gives back."""

from __future__ import annotations

import fcntl
import os
import time
from types import TracebackType
from typing import IO

from engage.delivery.database import Database, Postgres, open_database
from engage.errors import ConfigurationError
from engage.settings import Settings
from engage.workspace.base import Base

__all__ = ["Leadership", "has_worker"]

_NAME = "engage worker"


class Leadership:
    """Holds, or seeks, the lead of a workspace.

    With a ledger in a file the lock is a file too, and a second worker is refused. With one on Postgres the lock is the
    server's, and a second worker waits for the lead while it sends what was planned.

    Args:
        workspace: The workspace.

    Attributes:
        leads: This worker leads.
    """

    def __init__(self, workspace: Base) -> None:
        self._workspace = workspace
        self._file: IO[str] | None = None
        self._database: Database | None = None
        self.leads = False

    def __enter__(self) -> Leadership:
        where = self._workspace.settings.options.get("ledger") or self._workspace.settings.ledger
        if isinstance(where, str) and where.startswith(("postgresql://", "postgres://")):
            self._database = open_database(where)
            self.seek()
            return self
        path = self._workspace.settings.data / "worker.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+")
        if not _taken(self._file):
            self._file.seek(0)
            other = self._file.read().strip()
            self._file.close()
            raise ConfigurationError(
                f"a worker runs already{f' (process {other})' if other else ''}",
                where=str(self._workspace.root),
                hint="stop it first; several workers need a ledger on Postgres",
            )
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()
        self.leads = True
        return self

    def seek(self) -> None:
        """Take the lead if nobody has it; and notice when the server that knew of it has gone."""
        if isinstance(self._database, Postgres):
            try:
                self.leads = self._database.lead(_NAME)
            except Exception:
                self.leads = False
                self._database.close()
                self._database = open_database(str(self._workspace.settings.options["ledger"]))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leads = False
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()
        if self._database is not None:
            self._database.close()


def has_worker(settings: Settings) -> bool | None:
    """Whether a worker leads a workspace; None when the ledger is on Postgres, where only the server knows."""
    if str(settings.options.get("ledger", "")).startswith(("postgresql://", "postgres://")):
        return None
    path = settings.data / "worker.lock"
    if not path.exists():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _taken(file: IO[str]) -> bool:
    """Take the lock; somebody may hold it for an instant only to see whether it is held."""
    for wait in (0.05, 0.2, 0.5, None):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if wait:
                time.sleep(wait)
    return False
