"""What the server gives out signed and later believes: tokens of users, links.

The key is ``ENGAGE_SECRET_KEY``. To change it, put the old one into ``ENGAGE_FORMER_SECRET_KEYS`` (several with commas
between): what they signed is believed still. A text signed for one purpose is nothing for another.

Source: https://itsdangerous.palletsprojects.com (HMAC-SHA256 with a key derived by purpose)
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from datetime import datetime, timedelta
from typing import Any

from engage.errors import ConfigurationError, EngageError
from engage.settings import secret

__all__ = ["Signer", "UntrustedError", "UserTokens"]

_SHORTEST = 32  # bytes of a key
_LONGEST = 4096  # characters of a signed text


class UntrustedError(EngageError):
    """A text that was not signed here, for this purpose, or is over."""


class Signer:
    """Signs values for one purpose and believes what it signed.

    Args:
        purpose: A word; what was signed for another is not believed.

    Raises:
        ConfigurationError: ``ENGAGE_SECRET_KEY`` is not set or too short.
    """

    def __init__(self, purpose: str) -> None:
        try:
            from itsdangerous import Signer as Plain
        except ImportError as error:
            raise ConfigurationError("signing needs itsdangerous", hint="pip install 'engage[server]'") from error
        key = secret("ENGAGE_SECRET_KEY", needed_for="signed tokens")
        former = [old for old in os.environ.get("ENGAGE_FORMER_SECRET_KEYS", "").split(",") if old]
        if len(key.encode()) < _SHORTEST:
            raise ConfigurationError(
                f"ENGAGE_SECRET_KEY is shorter than {_SHORTEST} bytes", hint="export one from `openssl rand -hex 32`"
            )
        # Not its serializer, which tries to pack each text: a mail has a text a link, and took 190 instead of 110 µs.
        self._signer = Plain([*former, key], salt=f"engage.{purpose}", digest_method=hashlib.sha256)

    def sign(self, value: Any) -> str:
        """A text for URLs and headers that holds a JSON value and its signature."""
        text = json.dumps(value, separators=(",", ":"))
        return self._signer.sign(base64.urlsafe_b64encode(text.encode()).rstrip(b"=")).decode()

    def read(self, text: str) -> Any:
        """The value of a signed text.

        Raises:
            UntrustedError: It was not signed here for this purpose.
        """
        from itsdangerous import BadData

        if len(text) > _LONGEST:
            raise UntrustedError("the signed text is too long")
        try:
            data = self._signer.unsign(text)
            return json.loads(base64.urlsafe_b64decode(data + b"=" * (-len(data) % 4)))
        except (BadData, ValueError, RecursionError):
            raise UntrustedError("the signature is not ours") from None


class UserTokens:
    """Tokens by which an app or page proves for whom it speaks.

    Raises:
        ConfigurationError: ``ENGAGE_SECRET_KEY`` is not set or too short.
    """

    def __init__(self) -> None:
        self._signer = Signer("user")

    def give(self, user_id: str, *, now: datetime, lasts: timedelta) -> str:
        """A token of one user.

        Args:
            user_id: Who.
            now: The clock.
            lasts: How long it is good.
        """
        return self._signer.sign([user_id, int((now + lasts).timestamp())])

    def read(self, token: str, *, now: datetime) -> str:
        """Whose token it is.

        Raises:
            UntrustedError: It is nobody's, or over.
        """
        value = self._signer.read(token)
        if not (isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and type(value[1]) is int):
            raise UntrustedError("the token is not a user's")
        if now.timestamp() >= value[1]:
            raise UntrustedError("the token is over")
        return value[0]
