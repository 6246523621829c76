"""For whom an app or page speaks: the token of a user, or of a visitor who is not known yet."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

from starlette.requests import Request

from engage.errors import EngageError
from engage.server.requests import Answer
from engage.signing import UserTokens

__all__ = ["Users"]

_VISITOR = "anon-"
_VISITOR_LASTS = timedelta(days=400)  # as long as browsers keep a cookie


class Users:
    """Believes tokens, and gives visitors theirs.

    Raises:
        ConfigurationError: ``ENGAGE_SECRET_KEY`` is not set.
    """

    def __init__(self) -> None:
        self._tokens = UserTokens()

    def of(self, request: Request) -> str:
        """Whose token the request bears.

        Raises:
            Answer: 401 where it bears none that is good.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Answer(401, "wants a user's token", **{"WWW-Authenticate": "Bearer"})
        return self._read(token.strip())

    def visitor(self) -> tuple[str, str]:
        """An id for somebody not known yet, which nobody can guess, and its token."""
        visitor = _VISITOR + secrets.token_urlsafe(18)
        return visitor, self._tokens.give(visitor, now=datetime.now(UTC), lasts=_VISITOR_LASTS)

    def visitor_of(self, token: object) -> str:
        """Whose token a visitor's is.

        Raises:
            Answer: It is none of a visitor.
        """
        visitor = self._read(token) if isinstance(token, str) else ""
        if not visitor.startswith(_VISITOR):
            raise Answer(403, "only a visitor can turn out to be somebody")
        return visitor

    def _read(self, token: str) -> str:
        try:
            return self._tokens.read(token, now=datetime.now(UTC))
        except EngageError as error:
            raise Answer(401, error.what, **{"WWW-Authenticate": 'Bearer error="invalid_token"'}) from None
