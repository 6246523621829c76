"""Sessions of people who are signed in, and how often somebody may try to."""

from __future__ import annotations

import secrets

from engage.access.accounts import Account
from engage.access.actor import Actor
from engage.access.roles import Role
from engage.access.store import Store, digest

__all__ = ["Sessions", "Throttle"]

_IDLE = 2 * 3600.0  # seconds without a request
_WHOLE = 12 * 3600.0  # seconds in all
_NOTED = 60.0  # a request is noted at most this often
_WINDOW = 15 * 60.0  # seconds in which failures count


class Sessions:
    """Who is signed in. A session ends two hours after the last request, and twelve after it began.

    Args:
        store: Where they are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin(self, account: Account, instead_of: str | None = None) -> str:
        """Sign somebody in.

        Args:
            account: Who.
            instead_of: What the browser held before; it opens nothing any more, whoever put it there.

        Returns:
            The session's id, for the browser alone.
        """
        token, now = secrets.token_urlsafe(32), self._store.now()
        with self._store.writing() as connection:
            if instead_of:
                connection.execute("delete from sessions where token = ?", (digest(instead_of),))
            connection.execute("delete from sessions where seen_at <= ? or began_at <= ?", (now - _IDLE, now - _WHOLE))
            connection.execute("insert into sessions values (?, ?, ?, ?)", (digest(token), account.id, now, now))
        return token

    def person(self, token: str | None, *, active: bool = True) -> Actor | None:
        """Who a session is.

        Args:
            token: The session's id, as the browser gave it.
            active: The person did something, so that the session is not idle.

        Returns:
            Them, with the role they have now; None when there is no such session any more.
        """
        if not token:
            return None
        now = self._store.now()
        with self._store.reading() as connection:
            row = connection.execute(
                "select p.id, p.email, p.role, s.seen_at from sessions s join people p on p.id = s.person_id "
                "where s.token = ? and s.seen_at > ? and s.began_at > ?",
                (digest(token), now - _IDLE, now - _WHOLE),
            ).fetchone()
            if row is None:
                return None
            if active and row["seen_at"] < now - _NOTED:
                connection.execute("update sessions set seen_at = ? where token = ?", (now, digest(token)))
        return Actor(row["email"], Role(row["role"]), "web", row["id"])

    def end(self, token: str | None) -> None:
        """Sign out."""
        if token:
            with self._store.writing() as connection:
                connection.execute("delete from sessions where token = ?", (digest(token),))


class Throttle:
    """How often passwords may be tried, counted in the store, so that starting anew forgives nothing.

    In 15 minutes: 5 failures for an address from one place, 50 for an address from anywhere, 50 from one place for
    any address. A try counts before it is known to be wrong, so that many at once are no way around.

    Args:
        store: Where tries are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def wait(self, email: str, place: str) -> int:
        """Count a try.

        Returns:
            0, or the seconds to wait: the try is then not to be made.
        """
        now = self._store.now()
        with self._store.writing() as connection:
            connection.execute("delete from attempts where at <= ?", (now - _WINDOW,))
            for key, most in self._keys(email, place).items():
                times = [
                    at for (at,) in connection.execute("select at from attempts where key = ? order by at", (key,))
                ]
                if len(times) >= most:
                    return max(1, int(times[-most] + _WINDOW - now) + 1)
            connection.executemany("insert into attempts values (?, ?)", [(k, now) for k in self._keys(email, place)])
        return 0

    def forgive(self, email: str, place: str) -> None:
        """The try was right: what failed before for this address from this place counts no more."""
        both, one, other = self._keys(email, place)
        with self._store.writing() as connection:
            connection.execute("delete from attempts where key = ?", (both,))
            for key in (one, other):
                connection.execute(
                    "delete from attempts where rowid = (select max(rowid) from attempts where key = ?)", (key,)
                )

    @staticmethod
    def _keys(email: str, place: str) -> dict[str, int]:
        email = email.strip().casefold()
        return {digest(f"{email}\n{place}"): 5, digest(email): 50, digest(f"\n{place}"): 50}
