"""The collector's HTTP face: Segment's tracking API.

Source: https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from engage.server.fields import Rejected, dead_letter, journal_line
from engage.server.journal import Journal
from engage.server.rate import Rate
from engage.server.requests import Answer, append, read_json
from engage.server.segment_api import KINDS, translate

__all__ = ["Collector"]

_BATCH = 5_000  # messages


class Collector:
    """Takes messages and answers once they are durable.

    Args:
        journal: Where they are kept until landed.
        write_keys: Keys a client may use.
        rate: Messages a second that one key may send, on average.
    """

    def __init__(self, journal: Journal, write_keys: Sequence[str], *, rate: float = 50_000) -> None:
        self._journal, self._keys = journal, [key.encode() for key in write_keys]
        self._rate = Rate(rate)

    def routes(self) -> list[Route]:
        """The collector's routes."""
        found = [Route("/v1/batch", self._batch, methods=["POST"])]
        for path in (*KINDS, "i"):
            found.append(Route(f"/v1/{path}", self._single, methods=["POST"]))
        return found

    async def _batch(self, request: Request) -> Response:
        return await self._take(request, None)

    async def _single(self, request: Request) -> Response:
        return await self._take(request, request.scope["path"].rpartition("/")[2])

    async def _take(self, request: Request, path: str | None) -> Response:
        try:
            body = await read_json(request)
            key = self.admit(request, body)
            if path is None or (path == "i" and "batch" in body):
                messages, kind, sent_at = body.get("batch"), None, body.get("sentAt")
                if not isinstance(messages, list) or len(messages) > _BATCH:
                    raise Answer(400, f"batch is not a list of at most {_BATCH} messages")
            else:
                messages, kind, sent_at = [body], None if path == "i" else path, None
                body.pop("writeKey", None)
            self._rate.spend(key, len(messages))
            with self._journal.receiving() as received_at:
                told = [_line(message, kind, sent_at, received_at) for message in messages]
                if told:
                    await append(self._journal, b"".join(line for line, _ in told))
            reasons = [reason for _, reason in told if reason]
        except Answer as answer:
            return answer.response
        if reasons and path is not None and len(messages) == 1:
            return JSONResponse({"success": False, "error": reasons[0]}, 400)
        return JSONResponse({"success": True} | ({"rejected": len(reasons)} if reasons else {}))

    def admit(self, request: Request, body: dict[str, Any]) -> bytes:
        """The write key of a request.

        Raises:
            Answer: It is not one of ours.
        """
        given = b""
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                given = base64.b64decode(value, validate=True).partition(b":")[0]
            except (binascii.Error, ValueError):
                given = b""
        elif isinstance(body.get("writeKey"), str):
            given = body["writeKey"].encode(errors="replace")
        if sum(hmac.compare_digest(given, key) for key in self._keys) == 0:  # compares with all, in constant time
            raise Answer(401, "the write key is not known", **{"WWW-Authenticate": 'Basic realm="engage"'})
        return given


def _line(message: Any, kind: str | None, sent_at: Any, received_at: datetime) -> tuple[bytes, str]:
    """One line of the journal, and why the message was rejected, if it was."""
    try:
        return journal_line(translate(message, kind, sent_at=sent_at, received_at=received_at)), ""
    except Rejected as error:
        return dead_letter(message, error.what, received_at), error.what
