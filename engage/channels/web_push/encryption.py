"""Encryption of a web push to one browser (RFC 8291), in the content coding aes128gcm (RFC 8188)."""

from __future__ import annotations

import os
import struct

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from engage.errors import InvalidAddressError, UnsupportedContentError

__all__ = ["MAX_PLAINTEXT", "encrypt"]

_RECORD = 4096
MAX_PLAINTEXT = 3993
"""Bytes of text that fit: a push service takes 4096, of which 86 are the header, 16 the tag, 1 the delimiter."""


def encrypt(
    plaintext: bytes,
    *,
    p256dh: bytes,
    auth: bytes,
    salt: bytes | None = None,
    sender: ec.EllipticCurvePrivateKey | None = None,
) -> bytes:
    """Encrypt a message so that only the browser can read it.

    Args:
        plaintext: At most :data:`MAX_PLAINTEXT` bytes.
        p256dh: The browser's public key, an uncompressed P-256 point of 65 bytes.
        auth: The browser's authentication secret, 16 bytes.
        salt: 16 bytes; random, unless a published vector is followed.
        sender: The sender's key, used once; random likewise.

    Returns:
        The request's body: one record with its header.

    Raises:
        InvalidAddressError: The browser's keys are not keys.
        UnsupportedContentError: The message is too long.
    """
    if len(plaintext) > MAX_PLAINTEXT:
        raise UnsupportedContentError(
            f"the message has {len(plaintext)} bytes, a web push at most {MAX_PLAINTEXT}",
            where="web_push",
            hint="shorten it",
        )
    try:
        receiver = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), p256dh)
    except ValueError as error:
        raise InvalidAddressError("the subscription's key is not a P-256 point", where="web_push") from error
    if len(auth) != 16:
        raise InvalidAddressError("the subscription's auth secret has not 16 bytes", where="web_push")
    salt = os.urandom(16) if salt is None else salt
    sender = sender or ec.generate_private_key(ec.SECP256R1())
    points = (
        receiver.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        sender.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
    )
    shared = sender.exchange(ec.ECDH(), receiver)
    ikm = HKDF(SHA256(), 32, auth, b"WebPush: info\0" + points[0] + points[1]).derive(shared)
    key = HKDF(SHA256(), 16, salt, b"Content-Encoding: aes128gcm\0").derive(ikm)
    nonce = HKDF(SHA256(), 12, salt, b"Content-Encoding: nonce\0").derive(ikm)
    header = salt + struct.pack("!IB", _RECORD, len(points[1])) + points[1]
    return header + AESGCM(key).encrypt(nonce, plaintext + b"\x02", None)
