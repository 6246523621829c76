"""What the providers were sent, and what they answered."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from starlette.responses import Response

from engage.vocabulary import OutcomeStatus, PermanentReason

__all__ = ["Received", "Row", "Seen", "answered"]

_KEPT = 2_000
_SLOW = 3.0  # seconds


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a provider's table of errors, and the magic recipient that gets it.

    Args:
        to: The recipient: an address, a number, a token, or the end of an endpoint.
        status: The HTTP status.
        body: A JSON answer, or text.
        meaning: What it means, in one vocabulary for all providers.
        reason: Why, where it is for good.
        headers: Of the answer; ``{"retry-after": "date"}`` becomes a date a second ahead, ``{"x-ratelimit-reset":
            "soon"}`` a time in seconds since 1970.
        once: Only the first time: a second request is taken.
    """

    to: str
    status: int
    body: Any
    meaning: OutcomeStatus
    reason: PermanentReason | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    once: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """One message as a provider got it.

    Args:
        number: 1, 2, …
        at: When, UTC.
        provider: Who got it.
        to: For whom.
        title: Its subject or title.
        text: Its text, shortened.
        status: The HTTP status, or the reply code of SMTP, it was answered with.
        body: The whole request, as the provider reads it.
    """

    number: int
    at: datetime
    provider: str
    to: str
    title: str
    text: str
    status: int
    body: Any


class Received:
    """Keeps the last messages, and what is to be answered first.

    Attributes:
        planned: Answers by provider that come before any other: status, body and headers.
    """

    def __init__(self) -> None:
        self.planned: dict[str, deque[tuple[int, Any, Mapping[str, str]]]] = {}
        self._seen: deque[Seen] = deque(maxlen=_KEPT)
        self._refused: Counter[tuple[str, str]] = Counter()
        self._numbers = count(1)
        self._lock = threading.Lock()

    def plan(self, provider: str, status: int, body: Any = "", headers: Mapping[str, str] | None = None) -> None:
        """Have a provider answer its next request so."""
        self.planned.setdefault(provider, deque()).append((status, body, headers or {}))

    def note(self, provider: str, to: str, title: str, text: str, status: int, body: Any = None) -> int:
        """Keep a message; the number it got."""
        with self._lock:
            seen = Seen(
                next(self._numbers), datetime.now(UTC), provider, to[:500], title[:500], text[:2_000], status, body
            )
            self._seen.append(seen)
            return seen.number

    def seen(self, provider: str | None = None) -> list[Seen]:
        """The last messages, newest first, of one provider or all."""
        with self._lock:
            return [one for one in reversed(self._seen) if provider is None or one.provider == provider]

    def forget(self) -> None:
        """Begin anew."""
        with self._lock:
            self._seen.clear()
            self._refused.clear()

    async def refusal(self, provider: str, to: str, rows: Sequence[Row]) -> Response | None:
        """What a magic recipient is answered; None for all others, for ``slow`` ones after a few seconds."""
        if queue := self.planned.get(provider):
            status, body, headers = queue.popleft()
            return answered(status, body, headers)
        if to.startswith("slow") or to.endswith(("0007", "/slow")):
            await asyncio.sleep(_SLOW)
        row = next((row for row in rows if to == row.to or to.endswith(f"/{row.to}")), None)
        if row is None:
            return None
        with self._lock:
            self._refused[provider, to] += 1
            if row.once and self._refused[provider, to] > 1:
                return None
        return answered(row.status, row.body, row.headers)


def answered(status: int, body: Any = "", headers: Mapping[str, str] | None = None) -> Response:
    """A provider's answer: JSON, or text as it is."""
    told = dict(headers or {})
    if told.get("retry-after") == "date":
        moment = datetime.fromtimestamp(time.time() + 1, UTC)
        told["retry-after"] = moment.strftime("%a, %d %b %Y %H:%M:%S GMT")
    if told.get("x-ratelimit-reset") == "soon":
        told["x-ratelimit-reset"] = str(int(time.time()) + 1)
    if isinstance(body, str):
        kind = "text/xml" if body.startswith("<?xml") else "text/plain"
        return Response(body, status, told, media_type=told.pop("content-type", kind))
    return Response(json.dumps(body), status, told, media_type="application/json")
