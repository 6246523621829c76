"""Sign-ins that went to an identity provider and are to come back, each to the browser it began in, once."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from engage.access.store import Store, digest
from engage.errors import AccessError

__all__ = ["SignIn", "SignIns"]

_LASTS = 600.0  # seconds
_MOST = 10_000  # at once; anybody may begin one


@dataclass(frozen=True, slots=True)
class SignIn:
    """What goes out and is asked for again.

    Args:
        state: Comes back with the answer.
        nonce: Comes back inside the signed word.
        verifier: Proves that who began asks (RFC 7636).
        next: Where to go afterwards.
    """

    state: str
    nonce: str
    verifier: str
    next: str


class SignIns:
    """Those under way.

    Args:
        store: Where they are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin(self, browser: str, to: str) -> SignIn:
        """Begin one.

        Args:
            browser: What the browser holds and will show again.
            to: Where to go afterwards.

        Raises:
            AccessError: Too many are under way.
        """
        begun = SignIn(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), to)
        now = self._store.now()
        with self._store.writing() as connection:
            connection.execute("delete from sign_ins where expires_at <= ?", (now,))
            if connection.execute("select count(*) from sign_ins").fetchone()[0] >= _MOST:
                raise AccessError("too many people sign in at once", hint="try again in a few minutes")
            connection.execute(
                "insert into sign_ins values (?, ?, ?, ?, ?, ?)",
                (digest(begun.state), digest(browser), begun.nonce, begun.verifier, to, now + _LASTS),
            )
        return begun

    def take(self, state: str, browser: str) -> SignIn:
        """The one that comes back; it does so once, whatever becomes of it.

        Raises:
            AccessError: None such is under way in this browser.
        """
        with self._store.writing() as connection:
            row = connection.execute("delete from sign_ins where state = ? returning *", (digest(state),)).fetchone()
        if row is None or row["browser"] != digest(browser) or row["expires_at"] <= self._store.now():
            raise AccessError("this sign-in took too long, or began in another browser", hint="begin again")
        return SignIn(state, row["nonce"], row["verifier"], row["next"])
