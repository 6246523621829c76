"""VAPID: who sends a web push, told to the push service (RFC 8292)."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from engage.errors import ConfigurationError

__all__ = ["Vapid", "b64url", "from_b64url", "private_key"]

_LIFETIME = timedelta(hours=12)  # RFC 8292, 2: at most 24 hours
_RENEWED_BEFORE = timedelta(hours=1)
_HINT = "write a P-256 key as PEM, or its 32 bytes in base64url"


def b64url(data: bytes) -> str:
    """Base64 for URLs, without padding (RFC 7515, 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_b64url(text: str) -> bytes:
    """Undo :func:`b64url`; padding and the alphabet of plain base64 are let pass, since browsers' code differs.

    Raises:
        ValueError: It is not base64.
    """
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def private_key(text: str) -> ec.EllipticCurvePrivateKey:
    """Read a P-256 private key.

    Args:
        text: PEM, or the 32 bytes of the key in base64url, as the usual generators of VAPID keys print it.

    Raises:
        ConfigurationError: It is neither.
    """
    key: object = None
    try:
        if "-----BEGIN" in text:
            key = load_pem_private_key(text.replace("\\n", "\n").encode(), password=None)
        else:
            raw = from_b64url(text.strip())
            if len(raw) == 32:
                key = ec.derive_private_key(int.from_bytes(raw, "big"), ec.SECP256R1())
    except (ValueError, TypeError, binascii.Error) as error:
        raise ConfigurationError("the key cannot be read", where="private key", hint=_HINT) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigurationError("the key is not a P-256 key", where="private key", hint=_HINT)
    return key


class Vapid:
    """Signs in at push services, with one token an origin that is kept for half a day.

    Args:
        key: PEM or base64url; see :func:`private_key`.
        subject: How the push service reaches the sender: ``mailto:`` or an https address.

    Raises:
        ConfigurationError: The key or the subject is not one.
    """

    def __init__(self, key: str, subject: str) -> None:
        self._key = private_key(key)
        if not subject.startswith(("mailto:", "https://")) or "@localhost" in subject:
            raise ConfigurationError(
                f"subject {subject!r} is not a contact",
                where="[tool.engage.channels.web_push]",
                hint='write subject = "mailto:you@example.com"',
            )
        self._subject = subject
        self._tokens: dict[str, tuple[str, datetime]] = {}
        point = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.public_key = b64url(point)

    def authorization(self, endpoint: str, now: datetime) -> str:
        """The Authorization header for an endpoint (RFC 8292, 3).

        Args:
            endpoint: The subscription's address.
            now: The clock.

        Returns:
            ``vapid t=<token>, k=<public key>``; the public key is also what browsers subscribe with.
        """
        parts = urlsplit(endpoint)
        origin = f"{parts.scheme}://{parts.netloc}".lower()
        token, expires = self._tokens.get(origin, ("", now))
        if expires - now < _RENEWED_BEFORE or expires - now > _LIFETIME:
            expires = now + _LIFETIME
            claims = {"aud": origin, "exp": int(expires.timestamp()), "sub": self._subject}
            token = jwt.encode(claims, self._key, algorithm="ES256")
            self._tokens[origin] = token, expires
        return f"vapid t={token}, k={self.public_key}"
