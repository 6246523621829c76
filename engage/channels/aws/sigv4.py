"""Signing requests to Amazon Web Services (Signature Version 4).

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, unquote

import httpx

__all__ = ["Credentials", "sign"]

_SAFE = "-_.~"
_SIGNED = ("host", "content-type")  # what a proxy may add or change is not signed


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key.

    Args:
        key_id: ``AKIA…``.
        secret: Its secret.
        session_token: Of temporary credentials; empty for none.
    """

    key_id: str
    secret: str = field(repr=False)
    session_token: str = field(default="", repr=False)


def sign(request: httpx.Request, credentials: Credentials, *, region: str, service: str, now: datetime) -> None:
    """Sign a request in place: its method, path, query, body, host, content type and what is Amazon's own.

    Args:
        request: Its body must be whole.
        credentials: The key.
        region: Such as ``eu-central-1``.
        service: The signing name, such as ``ses``.
        now: The time of signing; Amazon takes it for five minutes.
    """
    moment = now.astimezone(UTC)
    stamp, day = moment.strftime("%Y%m%dT%H%M%SZ"), moment.strftime("%Y%m%d")
    request.headers["x-amz-date"] = stamp
    if credentials.session_token:
        request.headers["x-amz-security-token"] = credentials.session_token
    signed = sorted(name for name in set(request.headers) if name in _SIGNED or name.startswith("x-amz-"))
    canonical = "\n".join(
        [
            request.method,
            _path(request.url),
            _query(request.url),
            *(f"{name}:{' '.join(request.headers[name].split())}" for name in signed),
            "",
            ";".join(signed),
            hashlib.sha256(request.content).hexdigest(),
        ]
    )
    scope = f"{day}/{region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(_key(credentials.secret, day, region, service), text.encode(), hashlib.sha256).hexdigest()
    request.headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.key_id}/{scope}, "
        f"SignedHeaders={';'.join(signed)}, Signature={signature}"
    )


@lru_cache(maxsize=16)
def _key(secret: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _path(url: httpx.URL) -> str:
    """The path, each segment encoded once more than on the wire, as every service but S3 wants it."""
    return quote(url.raw_path.partition(b"?")[0].decode("ascii"), safe="/" + _SAFE) or "/"


def _query(url: httpx.URL) -> str:
    pairs = [part.partition("=") for part in url.query.decode("ascii").split("&") if part]
    coded = ((quote(unquote(name), safe=_SAFE), quote(unquote(value), safe=_SAFE)) for name, _, value in pairs)
    return "&".join(f"{name}={value}" for name, value in sorted(coded))
