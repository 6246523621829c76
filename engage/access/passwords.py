"""Passwords: Argon2id, as RFC 9106 recommends it where memory is short.

Source: https://www.rfc-editor.org/rfc/rfc9106 (section 4), NIST SP 800-63B (length instead of composition).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from engage.errors import AccessError, ConfigurationError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

__all__ = ["check_password", "hash_password", "verify_password"]

_SHORTEST, _LONGEST = 12, 1024


@cache
def _hasher() -> PasswordHasher:
    try:
        from argon2 import PasswordHasher
    except ImportError as error:
        raise ConfigurationError("passwords need argon2-cffi", hint="pip install 'engage[server]'") from error
    return PasswordHasher(time_cost=3, memory_cost=65536, parallelism=4)


@cache
def _nobodys() -> str:
    return _hasher().hash("nobody has this password")


def check_password(password: str, email: str) -> None:
    """Refuse a password that is too easily guessed.

    Raises:
        AccessError: It is shorter than 12 characters, longer than 1,024, the address itself, or one character repeated.
    """
    if not _SHORTEST <= len(password) <= _LONGEST:
        raise AccessError(f"the password has {len(password)} characters", hint=f"take {_SHORTEST} or more")
    if password.casefold() == email.casefold() or len(set(password)) < 4:
        raise AccessError("the password is too easily guessed", hint="take a few words that do not belong together")


def hash_password(password: str) -> str:
    """What is kept of a password."""
    return _hasher().hash(password)


def verify_password(kept: str | None, password: str) -> bool:
    """Whether it is the one that was kept; where none was it takes as long, which tells nobody who has an account."""
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return _hasher().verify(kept or _nobodys(), password) and kept is not None
    except (VerificationError, InvalidHashError):
        return False
