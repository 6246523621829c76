"""What every route of the API does with a request: read its JSON within limits, keep events, refuse in one line."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from engage.server.journal import Backlogged, Journal
from engage.server.json_text import decode

__all__ = ["Answer", "append", "read_body", "read_json"]

_WIRE = 1 << 20  # bytes of a body as sent
_BODY = 4 << 20  # bytes of a body unpacked
_SECONDS = 30.0  # a body that takes longer comes from someone who only wants to hold the connection


class Answer(Exception):
    """An answer that ends a request early.

    Args:
        status: HTTP status.
        error: Why, in one line.
        headers: Headers of the answer.
    """

    def __init__(self, status: int, error: str, **headers: str) -> None:
        self.status, self.error, self.headers = status, error, headers
        self.response = JSONResponse({"success": False, "error": error}, status, headers=headers)


async def read_body(request: Request, limit: int, *, seconds: float = _SECONDS) -> bytes:
    """The body, whole.

    Args:
        request: Whose.
        limit: The most bytes it may have.
        seconds: How long it may take.

    Raises:
        Answer: It is larger (413), takes longer (408), or was cut off (400).
    """
    data = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                data += chunk
                if len(data) > limit:
                    raise Answer(413, f"the body is larger than {limit} bytes")
    except TimeoutError:
        raise Answer(408, f"the body took longer than {seconds:.0f} seconds", Connection="close") from None
    except ClientDisconnect:
        raise Answer(400, "the body is not whole") from None
    return bytes(data)


async def read_json(request: Request) -> dict[str, Any]:
    """The body as a JSON object; it may be packed with gzip.

    Raises:
        Answer: It is none, or larger than 1 MiB as sent or 4 MiB unpacked.
    """
    data = await read_body(request, _WIRE)
    if request.headers.get("content-encoding", "").lower() == "gzip":
        unpacker = zlib.decompressobj(wbits=31)
        try:
            data = unpacker.decompress(data, _BODY)
        except zlib.error:
            raise Answer(400, "the body is not gzip") from None
        if unpacker.unconsumed_tail:
            raise Answer(413, f"the body unpacks to more than {_BODY} bytes")
        if not unpacker.eof:
            raise Answer(400, "the body is not whole")
    try:
        body = decode(data)
    except (ValueError, RecursionError):
        raise Answer(400, "the body is not JSON") from None
    if not isinstance(body, dict):
        raise Answer(400, "the body is not a JSON object")
    return body


async def append(journal: Journal, lines: bytes) -> None:
    """Keep lines in the journal; they are durable when this returns.

    Raises:
        Answer: 429 where too much waits to be landed, 503 where the disk refuses.
    """
    try:
        await journal.append(lines)
    except Backlogged as error:
        raise Answer(429, error.what, **{"Retry-After": "5"}) from error
    except OSError as error:
        raise Answer(503, "events cannot be kept just now", **{"Retry-After": "10"}) from error
