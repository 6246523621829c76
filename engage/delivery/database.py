"""Where the ledger is kept: a SQLite file by default, a Postgres server by URL.

Both run the same small SQL. What differs is here: how to connect, how a transaction begins, how rows taken by others
are passed over, and how one process can tell that another is dead.
"""

from __future__ import annotations

import fcntl
import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

from engage.errors import ConfigurationError, EngageError

__all__ = ["Database", "Postgres", "Sqlite", "open_database"]

Row = tuple[Any, ...]


class Database(Protocol):
    """A connection of one process; used by one thread at a time.

    Attributes:
        skip_locked: What a select adds to take rows that nobody else is taking.
        identity: Type of a key that numbers itself.
        table_options: What ``create table`` adds to keep rows in key order.
        numbers: A relation with a column `value`, of the numbers in a parameter: a JSON array.
    """

    skip_locked: str
    identity: str
    table_options: str
    numbers: str

    def execute(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        """Run one statement with ``?`` parameters and return its rows."""
        ...

    def change(self, sql: str, params: Sequence[object] = ()) -> int:
        """Run one statement and return how many rows it changed."""
        ...

    def change_many(self, sql: str, rows: Sequence[Sequence[object]]) -> int:
        """Run one statement a row and return how many rows were changed in all."""
        ...

    def transaction(self) -> Any:
        """A context: everything in it is durable afterwards, or nothing is."""
        ...

    def vouch(self, owner: str) -> None:
        """Hold a lock in this owner's name, and in no other, for as long as this process lives."""
        ...

    def is_dead(self, owner: str) -> bool:
        """Say whether the process that vouched for an owner is certainly gone."""
        ...

    def close(self) -> None:
        """Give back the connection and the lock."""
        ...


class Sqlite:
    """A ledger in a file, for the senders of one machine.

    WAL, and synchronous=full: a commit that returned survives a power cut.

    Args:
        path: The file; made if missing.
    """

    skip_locked = ""  # a writing transaction is alone anyway
    identity = "integer primary key"
    table_options = "without rowid"
    numbers = "json_each(?)"

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._senders = path.with_name(path.name + "-senders")
        self._lock: IO[bytes] | None = None
        self._path = path
        self._connection = sqlite3.connect(path, timeout=60.0, isolation_level=None, check_same_thread=False)
        try:
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma synchronous = full")
            self._connection.execute("pragma temp_store = memory")
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise ConfigurationError(
                f"not a usable SQLite file: {error}", where=str(path), hint="restore it, or move it away"
            ) from error

    @contextmanager
    def _told(self) -> Iterator[None]:
        """A disk that is full or gone, or a file others hold for a minute, as one line."""
        try:
            yield
        except sqlite3.OperationalError as error:
            hint = "mend that and go on: what was sent is known"
            raise EngageError(f"it cannot be written: {error}", where=str(self._path), hint=hint) from error

    def execute(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        with self._told():
            return self._connection.execute(sql, params).fetchall()

    def change(self, sql: str, params: Sequence[object] = ()) -> int:
        with self._told():
            return self._connection.execute(sql, params).rowcount

    def change_many(self, sql: str, rows: Sequence[Sequence[object]]) -> int:
        with self._told():
            return self._connection.executemany(sql, rows).rowcount if rows else 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._told():
            self._connection.execute("begin immediate")
            try:
                yield
                self._connection.execute("commit")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")

    def vouch(self, owner: str) -> None:
        self._senders.mkdir(exist_ok=True)
        self._let_go()
        self._lock = (self._senders / owner).open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def is_dead(self, owner: str) -> bool:
        path = self._senders / owner
        try:
            with path.open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return True
        except BlockingIOError:
            return False
        path.unlink(missing_ok=True)
        return True

    def close(self) -> None:
        self._connection.close()
        self._let_go()

    def _let_go(self) -> None:
        if self._lock is not None:
            Path(self._lock.name).unlink(missing_ok=True)
            self._lock.close()
            self._lock = None


class Postgres:
    """A ledger on a Postgres server, for senders on several machines.

    The connection must be a session of its own: behind a pooler that hands a session to several clients, the lock
    that tells the living from the dead does not hold.

    Args:
        url: ``postgresql://…``, as libpq reads it.
    """

    skip_locked = "for update skip locked"
    identity = "bigint generated by default as identity primary key"
    table_options = ""
    numbers = "(select n::bigint as value from json_array_elements_text(?::json) as t(n)) as numbers"

    def __init__(self, url: str) -> None:
        try:
            import psycopg
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                "a ledger on Postgres needs psycopg", hint="pip install 'engage[postgres]'"
            ) from error
        parts = urlsplit(url)
        self._psycopg, self._where = psycopg, f"{parts.hostname or 'socket'}:{parts.port or 5432}"
        try:
            self._connection = psycopg.connect(url, autocommit=True, prepare_threshold=1)
        except psycopg.OperationalError as error:
            raise ConfigurationError(
                "the ledger's Postgres server does not answer",
                where=self._where,
                hint="start it, or mend [tool.engage] ledger",
            ) from error

    @contextmanager
    def _told(self) -> Iterator[None]:
        """A server that went away, as one line."""
        try:
            yield
        except (self._psycopg.OperationalError, self._psycopg.InterfaceError) as error:
            hint = "send again when it answers: what was sent is known"
            raise EngageError("the ledger's Postgres server went away", where=self._where, hint=hint) from error

    def execute(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        with self._told():
            cursor = self._connection.execute(sql.replace("?", "%s"), params)
            return cursor.fetchall() if cursor.description else []

    def change(self, sql: str, params: Sequence[object] = ()) -> int:
        with self._told():
            return self._connection.execute(sql.replace("?", "%s"), params).rowcount

    def change_many(self, sql: str, rows: Sequence[Sequence[object]]) -> int:
        if not rows:
            return 0
        with self._told(), self._connection.cursor() as cursor:
            cursor.executemany(sql.replace("?", "%s"), rows)
            return cursor.rowcount

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._told(), self._connection.transaction():
            yield

    def vouch(self, owner: str) -> None:
        self.execute("select pg_advisory_unlock_all()")
        self.execute("select pg_advisory_lock(?)", (_key(owner),))

    def is_dead(self, owner: str) -> bool:
        if not self.execute("select pg_try_advisory_lock(?)", (_key(owner),))[0][0]:
            return False
        self.execute("select pg_advisory_unlock(?)", (_key(owner),))
        return True

    def lead(self, name: str) -> bool:
        """Take a name that one session has at a time; True while this one has it."""
        held = "select 1 from pg_locks where locktype = 'advisory' and pid = pg_backend_pid() and granted limit 1"
        return bool(self.execute(held)) or bool(self.execute("select pg_try_advisory_lock(?)", (_key(name),))[0][0])

    def close(self) -> None:
        self._connection.close()


def _key(owner: str) -> int:
    return int.from_bytes(hashlib.sha256(owner.encode()).digest()[:8], signed=True)


def open_database(where: str | Path) -> Database:
    """Open the database of a ledger.

    Args:
        where: A file, or a URL that begins with ``postgresql://`` or ``postgres://``.

    Raises:
        ConfigurationError: It cannot be opened.
    """
    if isinstance(where, str) and where.startswith(("postgresql://", "postgres://")):
        return Postgres(where)
    return Sqlite(Path(where))
