"""The mailbox: messages that wait for the person to come, in one SQLite file.

Writing is durable when it returns; a message put twice is there once. What was shown, read and closed is noted here
to decide what to hand out next; the record of it is the lake's (Notification Viewed, Clicked, Dismissed).
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from engage.channels.in_app.message import utc_text

__all__ = ["Mailbox"]

_TABLES = """
create table if not exists message (
    seq integer primary key autoincrement,
    message_id text not null unique,
    user_id text not null,
    channel text not null,
    campaign_id text not null,
    run_id text not null,
    priority integer not null,
    pinned integer not null,
    total integer,
    sent_at text not null,
    expires_at text,
    content text not null,
    views integer not null default 0,
    viewed_at text,
    read_at text,
    ended_at text
);
create index if not exists waiting on message (user_id, seq) where ended_at is null;
create table if not exists report (report_id text primary key, noted_at text not null) without rowid;
create index if not exists by_campaign on message (campaign_id) where ended_at is null;
"""
_ALIVE = "ended_at is null and (expires_at is null or expires_at > :now)"


class Mailbox:
    """The messages of one workspace that wait to be fetched. May be used by several threads and processes.

    Args:
        path: The file; made if missing.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        self._db.executescript(_TABLES)

    def close(self) -> None:
        """Give back the file."""
        with self._lock:
            self._db.close()

    def put(self, messages: Sequence[tuple[str, str, dict[str, Any]]]) -> int:
        """Put messages in, all or none; those that are there already stay as they are.

        Args:
            messages: The user, the run it was sent in (empty for none), and a message in the form of
                ``message.schema.json``.

        Returns:
            How many were new.
        """
        rows = [
            (
                one["message_id"],
                user_id,
                one["channel"],
                one["campaign_id"],
                run_id,
                one["priority"],
                one["pinned"],
                one["frequency"]["total"],
                one["sent_at"],
                one["expires_at"],
                json.dumps(one, ensure_ascii=False),
            )
            for user_id, run_id, one in messages
        ]
        with self._lock, self._db:
            self._db.execute("begin immediate")
            before = self._db.total_changes
            self._db.executemany(
                "insert or ignore into message (message_id, user_id, channel, campaign_id, run_id, priority, pinned, "
                "total, sent_at, expires_at, content) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            return self._db.total_changes - before

    def waiting(
        self, user_id: str, *, now: datetime, channels: Collection[str], after: int = 0, limit: int = 50
    ) -> list[dict[str, Any]]:
        """What a person may be shown: not expired, not closed, not shown as often as it may be.

        Args:
            user_id: The person.
            now: The clock.
            channels: The channels the device shows.
            after: Only messages put in since: the highest `seq` seen before.
            limit: The most messages.

        Returns:
            ``{"seq", "views", "viewed_at", "read_at", "message"}``, pinned first, then by priority, the latest first.
        """
        marks = ", ".join(f":channel{n}" for n in range(len(channels)))
        named = {f"channel{n}": str(channel) for n, channel in enumerate(channels)}
        rows = self._ask(
            "select seq, views, viewed_at, read_at, content from message where user_id = :user and seq > :after "
            f"and {_ALIVE} and (total is null or views < total) and channel in ({marks}) "
            "order by pinned desc, priority desc, seq desc limit :limit",
            {"user": user_id, "after": after, "now": utc_text(now), "limit": limit, **named},
        )
        names = ("seq", "views", "viewed_at", "read_at", "message")
        return [dict(zip(names, (*row[:-1], json.loads(row[-1])), strict=True)) for row in rows]

    def find(self, user_id: str, message_id: str) -> tuple[str, dict[str, Any]] | None:
        """The run and the content of one message of a person; None where there is none of theirs."""
        rows = self._ask(
            "select run_id, content from message where message_id = :message and user_id = :user",
            {"message": message_id, "user": user_id},
        )
        return (rows[0][0], json.loads(rows[0][1])) if rows else None

    def arrivals(self, after: int) -> tuple[int, set[str]]:
        """Who was sent something since.

        Args:
            after: The `seq` that was the highest of all when last asked.

        Returns:
            The highest `seq` of all now, and the people.
        """
        rows = self._ask("select seq, user_id from message where seq > :after order by seq", {"after": after})
        return (rows[-1][0] if rows else after), {user for _, user in rows}

    def newest(self, user_id: str) -> int:
        """The highest `seq` of a person's messages, 0 where there is none: has anything come?"""
        [(seq,)] = self._ask("select coalesce(max(seq), 0) from message where user_id = :user", {"user": user_id})
        return int(seq)

    def unread(self, user_id: str, *, now: datetime, channel: str = "app_inbox") -> int:
        """How many messages of the inbox were not read."""
        [(count,)] = self._ask(
            "select count(*) from message where user_id = :user and channel = :channel and read_at is null "
            f"and {_ALIVE}",
            {"user": user_id, "channel": channel, "now": utc_text(now)},
        )
        return int(count)

    def note(self, user_id: str, message_id: str, what: str, *, now: datetime, report: str = "") -> bool:
        """Note what a person did with a message.

        Args:
            user_id: The person; of another's message nothing is noted.
            message_id: The message.
            what: ``viewed`` counts a showing, ``read`` marks it in the inbox, ``ended`` (closed, clicked or deleted)
                keeps it from being shown again.
            now: The clock.
            report: The id of the device's report; one that was noted before changes nothing.

        Returns:
            Whether there is such a message of theirs.
        """
        changes = {
            "viewed": "views = views + 1, viewed_at = :now",
            "read": "read_at = coalesce(read_at, :now)",
            "ended": "read_at = coalesce(read_at, :now), ended_at = coalesce(ended_at, :now)",
        }
        mine = "where message_id = :message and user_id = :user"
        params = {"message": message_id, "user": user_id, "now": utc_text(now), "report": f"{message_id}:{report}"}
        with self._lock, self._db:
            self._db.execute("begin immediate")
            if not self._db.execute(f"select 1 from message {mine}", params).fetchone():
                return False
            fresh = (
                not report or self._db.execute("insert or ignore into report values (:report, :now)", params).rowcount
            )
            if fresh:
                self._db.execute(f"update message set {changes[what]} {mine}", params)
            return True

    def withdraw(self, campaign_id: str, *, now: datetime) -> int:
        """Take back what a campaign has put in and nobody closed, as when it is stopped.

        Returns:
            How many messages.
        """
        with self._lock:
            cursor = self._db.execute(
                "update message set ended_at = :now where campaign_id = :campaign and ended_at is null",
                {"campaign": campaign_id, "now": utc_text(now)},
            )
            return cursor.rowcount

    def move(self, anonymous_id: str, user_id: str) -> int:
        """Give an anonymous person's messages to the person they turned out to be.

        Returns:
            How many messages.
        """
        with self._lock:
            cursor = self._db.execute(
                "update message set user_id = ? where user_id = ?",
                (user_id, anonymous_id),
            )
            return cursor.rowcount

    def erase(self, user_id: str) -> int:
        """Forget a person's messages.

        Returns:
            How many there were.
        """
        with self._lock:
            return self._db.execute("delete from message where user_id = ?", (user_id,)).rowcount

    def sweep(self, before: datetime) -> int:
        """Forget messages that expired or were closed before a time.

        A message that is forgotten could be put in again; `before` is to be older than any run still being sent.

        Returns:
            How many messages.
        """
        with self._lock:
            cursor = self._db.execute(
                "delete from message where ended_at < :before or expires_at < :before", {"before": utc_text(before)}
            )
            self._db.execute("delete from report where noted_at < :before", {"before": utc_text(before)})
            return cursor.rowcount

    def _ask(self, sql: str, params: dict[str, Any]) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(sql, params).fetchall()
