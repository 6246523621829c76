"""Accounts: who there is, their roles, and the one-time links by which they set a password."""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime

from engage.access.passwords import check_password, hash_password, verify_password
from engage.access.roles import Role
from engage.access.store import Store, digest
from engage.errors import AccessError

__all__ = ["Account", "Accounts"]

_LINK = 24 * 3600.0  # seconds a link is good for
_EMAIL = 254  # characters


@dataclass(frozen=True, slots=True)
class Account:
    """A person who may sign in.

    Args:
        id: Stays the same for ever.
        email: Their address, by which they sign in.
        name: What others see.
        role: What they may do.
        signs_in: With a ``password``, with ``oidc``, or '' while they have neither.
        created_at: When the account was made.
    """

    id: str
    email: str
    name: str
    role: Role
    signs_in: str
    created_at: datetime


class Accounts:
    """The accounts of one workspace.

    Args:
        store: Where they are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self) -> list[Account]:
        """Everybody, by address."""
        with self._store.reading() as connection:
            return [_account(row) for row in connection.execute("select * from people order by email")]

    def get(self, person_id: str) -> Account | None:
        """The person with an id, as they are now."""
        with self._store.reading() as connection:
            row = connection.execute("select * from people where id = ?", (person_id,)).fetchone()
        return _account(row) if row else None

    def find(self, email: str) -> Account:
        """The person with an address.

        Raises:
            AccessError: There is none.
        """
        with self._store.reading() as connection:
            row = connection.execute("select * from people where email = ?", (email.strip(),)).fetchone()
        if row is None:
            raise AccessError(f"there is no account {email!r}", hint="`engage user list` tells who there is")
        return _account(row)

    def add(self, email: str, role: Role, name: str = "") -> Account:
        """Make an account; it is of use once its link is followed, or by OIDC.

        Raises:
            AccessError: It is no address, or somebody has it.
        """
        email = _address(email)
        with self._store.writing() as connection:
            return _add(connection, email, role, name, self._store.now())

    def set_role(self, email: str, role: Role) -> Account:
        """Let a person do more or less, from now on, also where they are signed in.

        Raises:
            AccessError: There is no such person, or nobody would be left to administer.
        """
        person = self.find(email)
        with self._store.writing() as connection:
            connection.execute("update people set role = ? where id = ?", (role, person.id))
            _keep_an_admin(connection, person)
        return self.find(email)

    def remove(self, email: str) -> Account:
        """Take a person's account, sessions and links away.

        Raises:
            AccessError: There is no such person, or nobody would be left to administer.
        """
        person = self.find(email)
        with self._store.writing() as connection:
            connection.execute("delete from people where id = ?", (person.id,))
            _keep_an_admin(connection, person)
        return person

    def link(self, email: str) -> str:
        """Make a link's token for a person to set a password with; it is good for a day, once, and voids earlier ones.

        Raises:
            AccessError: There is no such person.
        """
        return self._link(self.find(email).id)

    def first_link(self) -> str | None:
        """The token by which the first person becomes an admin; None where there is one."""
        return None if self._has_admin() else self._link(None)

    def linked(self, token: str) -> Account | None:
        """Whose link this is; None for the first admin's.

        Raises:
            AccessError: It is no link, was used, or is too old.
        """
        with self._store.reading() as connection:
            person_id = _linked(connection, token, self._store.now())
        return self.get(person_id) if person_id else None

    def accept(self, token: str, password: str, email: str = "", name: str = "") -> Account:
        """Follow a link: set a password. The link is used up, and the person signed out everywhere.

        Args:
            token: The link's token.
            password: The new password.
            email: The first admin's address; others have theirs.
            name: What others see.

        Raises:
            AccessError: The link or the password will not do.
        """
        person = self.linked(token)
        email = person.email if person else _address(email)
        check_password(password, email)
        kept = hash_password(password)
        with self._store.writing() as connection:
            person_id = _linked(connection, token, self._store.now())  # nobody was faster
            if person_id is None:
                if connection.execute("select 1 from people where role = 'admin'").fetchone():
                    raise AccessError("there is an admin already", hint="ask them for a link")
                person_id = _add(connection, email, Role.ADMIN, name, self._store.now()).id
            connection.execute("delete from links where token = ?", (digest(token),))
            connection.execute("update people set password = ? where id = ?", (kept, person_id))
            connection.execute("delete from sessions where person_id = ?", (person_id,))
        found = self.get(person_id)
        assert found is not None
        return found

    def verify(self, email: str, password: str) -> Account | None:
        """The person with this address and password; takes as long when there is none."""
        with self._store.reading() as connection:
            row = connection.execute("select * from people where email = ?", (email.strip(),)).fetchone()
        right = verify_password(row["password"] if row else None, password)
        return _account(row) if row and right else None

    def from_oidc(
        self, issuer: str, subject: str, email: str, name: str, *, role: Role | None = None, default: Role | None = None
    ) -> Account:
        """The person whom an identity provider vouches for.

        Args:
            issuer: Who vouches.
            subject: The provider's own name for them, which never changes.
            email: Their address, as verified by the provider; '' where it is not.
            name: What others see.
            role: What the provider's groups make of them, each time they come; None where they have no say.
            default: What somebody without an account becomes; None to let nobody in who has none.

        Raises:
            AccessError: They have no account, and none is made for them.
        """
        with self._store.writing() as connection:
            known = connection.execute(
                "select * from people where issuer = ? and subject = ?", (issuer, subject)
            ).fetchone()
            if known is None and email:
                # An account made for this address is theirs, the first time they come, unless it is someone else's.
                known = connection.execute(
                    "select * from people where email = ? and subject is null", (email,)
                ).fetchone()
            if known is None:
                made_role = role or default
                if made_role is None or not email:
                    raise AccessError("you have no account here", hint="ask an admin for one")
                made = _add(connection, _address(email), made_role, name, self._store.now())
                known = connection.execute("select * from people where id = ?", (made.id,)).fetchone()
            connection.execute(
                "update people set issuer = ?, subject = ?, role = ? where id = ?",
                (issuer, subject, role or known["role"], known["id"]),
            )
            row = connection.execute("select * from people where id = ?", (known["id"],)).fetchone()
        return _account(row)

    def _has_admin(self) -> bool:
        with self._store.reading() as connection:
            return connection.execute("select 1 from people where role = 'admin'").fetchone() is not None

    def _link(self, person_id: str | None) -> str:
        token = secrets.token_urlsafe(32)
        with self._store.writing() as connection:
            connection.execute("delete from links where person_id is ?", (person_id,))
            connection.execute(
                "insert into links values (?, ?, ?)", (digest(token), person_id, self._store.now() + _LINK)
            )
        return token


def _account(row: sqlite3.Row) -> Account:
    return Account(
        id=row["id"],
        email=row["email"],
        name=row["name"],
        role=Role(row["role"]),
        signs_in="oidc" if row["subject"] else "password" if row["password"] else "",
        created_at=datetime.fromtimestamp(row["created_at"], UTC),
    )


def _add(connection: sqlite3.Connection, email: str, role: Role, name: str, now: float) -> Account:
    values = (secrets.token_hex(8), email, name.strip()[:100] or email.partition("@")[0], role, now)
    try:
        connection.execute("insert into people (id, email, name, role, created_at) values (?, ?, ?, ?, ?)", values)
    except sqlite3.IntegrityError:
        raise AccessError(f"{email} has an account already", hint="`engage user link` makes a new link") from None
    return Account(values[0], email, values[2], role, "", datetime.fromtimestamp(now, UTC))


def _address(email: str) -> str:
    email = email.strip()
    name, at, domain = email.partition("@")
    if not (name and at and domain) or len(email) > _EMAIL or any(c.isspace() or c in '<>"' for c in email):
        raise AccessError(f"{email[:80]!r} is not an e-mail address", hint="write e.g. ada@example.com")
    return email


def _linked(connection: sqlite3.Connection, token: str, now: float) -> str | None:
    row = connection.execute("select * from links where token = ?", (digest(token),)).fetchone()
    if row is None or row["expires_at"] <= now:
        raise AccessError("this link was used already or is too old", hint="ask an admin for a new one")
    return row["person_id"]


def _keep_an_admin(connection: sqlite3.Connection, person: Account) -> None:
    left = connection.execute("select 1 from people where role = 'admin'").fetchone()
    if person.role is Role.ADMIN and left is None:
        raise AccessError("nobody would be left to administer", where=person.email, hint="make another admin first")
