"""The file of people and sessions: ``data/access.sqlite``, readable by its owner alone.

Whatever opens a door (session ids, one-time links, the state of a sign-in) is kept as its SHA-256 only: who reads the
file cannot use it. They are random and long, so they need no slow hash; passwords have Argon2.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Store", "digest"]

_TABLES = """
create table if not exists people (
    id text primary key,
    email text not null unique collate nocase,
    name text not null,
    role text not null,
    password text,
    issuer text,
    subject text,
    created_at real not null,
    unique (issuer, subject)
);
create table if not exists links (
    token text primary key,
    person_id text references people on delete cascade,
    expires_at real not null
);
create table if not exists sessions (
    token text primary key,
    person_id text not null references people on delete cascade,
    began_at real not null,
    seen_at real not null
);
create table if not exists attempts (key text not null, at real not null);
create index if not exists attempts_key on attempts (key, at);
create table if not exists sign_ins (
    state text primary key,
    browser text not null,
    nonce text not null,
    verifier text not null,
    next text not null,
    expires_at real not null
);
"""


def digest(token: str) -> str:
    """What is kept of something that opens a door."""
    return hashlib.sha256(token.encode()).hexdigest()


class Store:
    """The file; made if missing.

    Args:
        path: Where it lies.
        clock: Seconds since 1970.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path, self.now = path, clock
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its side files the same mode
        with self.reading() as connection:
            connection.execute("pragma journal_mode = wal")
            connection.executescript(_TABLES)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection of one's own: stores are asked from many threads."""
        connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        connection.row_factory = sqlite3.Row
        try:
            connection.execute("pragma foreign_keys = on")
            yield connection
        finally:
            connection.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The same inside one transaction, which takes effect whole or not at all."""
        with self.reading() as connection:
            connection.execute("begin immediate")
            try:
                yield connection
            except BaseException:
                connection.execute("rollback")
                raise
            connection.execute("commit")
