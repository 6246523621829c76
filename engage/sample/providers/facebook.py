"""Facebook's custom audiences: sets of people, with the sessions, limits and refusals of Meta's Marketing API.

Source: https://developers.facebook.com/docs/marketing-api/reference/custom-audience/users
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engage.sample.providers.received import Received, Row, answered
from engage.vocabulary import OutcomeStatus

__all__ = ["ROWS", "Account", "Audience", "facebook_routes"]

_MOST = 10_000  # rows of a request
_HASHED = re.compile(r"[0-9a-f]{64}|")
_IDENTIFYING = {"EXTERN_ID", "EMAIL", "PHONE", "MADID"}


def _error(code: int, subcode: int = 0, **more: Any) -> dict[str, Any]:
    told = {"message": "not taken", "type": "OAuthException", "code": code, "error_subcode": subcode, **more}
    return {"error": told}


_LIMITED = {"x-business-use-case-usage": '{"1": [{"type": "custom_audience", "call_count": 100}]}'}
_TEMPORARY, _CONFIG = OutcomeStatus.TEMPORARY, OutcomeStatus.CONFIG_ERROR
ROWS: Mapping[str, tuple[Row, ...]] = {
    "facebook": (
        Row("limited", 400, _error(80003), OutcomeStatus.RATE_LIMITED, headers=_LIMITED, once=True),
        Row("transient", 400, _error(2, is_transient=True), _TEMPORARY, once=True),
        Row("down", 500, "", _TEMPORARY, once=True),
        Row("updating", 400, _error(2650, 1870145), _TEMPORARY),
        Row("token", 400, _error(190), _CONFIG),
        Row("terms", 400, _error(200, 1870090), _CONFIG),
        Row("flagged", 400, _error(100, 1713230), OutcomeStatus.PERMANENT),
    ),
}
"""Errors, by the name of the audience whose people are sent."""


@dataclass(slots=True)
class Audience:
    """One audience.

    Args:
        name: Its name.
        rows: Who is in it: the cells of each row, by key.
        replacing: The session that replaces everybody, while it goes on: its number, and the rows so far.
    """

    name: str
    rows: set[tuple[tuple[str, str], ...]] = field(default_factory=set)
    replacing: tuple[int, set[tuple[tuple[str, str], ...]]] | None = None


class Account:
    """The audiences of an ad account.

    Attributes:
        audiences: By id.
        calls: Each request about people: method, edge, rows, session.
        usage: The header ``X-Business-Use-Case-Usage`` of each answer; empty for none.
        taps: Called with ``arrived`` and ``taken`` around what a request about people does.
    """

    def __init__(self) -> None:
        self.audiences: dict[str, Audience] = {}
        self.calls: deque[tuple[str, str, int, dict[str, Any]]] = deque(maxlen=100_000)
        self.usage = ""
        self.taps: list[Callable[[str], None]] = []
        self._numbers = count(23_840_000_000_001)
        self._received: dict[int, tuple[int, int]] = {}
        self._ended: set[int] = set()

    def create(self, name: str) -> str:
        """Make an audience; its id."""
        audience_id = str(next(self._numbers))
        self.audiences[audience_id] = Audience(name)
        return audience_id

    def named(self, name: str) -> Audience:
        """The audience of a name."""
        [found] = [one for one in self.audiences.values() if one.name == name]
        return found

    def end_sessions(self) -> None:
        """What Meta does 90 minutes after a replacement began that was not ended: nobody was replaced."""
        for audience in self.audiences.values():
            if audience.replacing is not None:
                self._ended.add(audience.replacing[0])
                audience.replacing = None

    def people(self, audience_id: str, method: str, edge: str, form: Mapping[str, str]) -> tuple[int, Any]:
        """Add, remove or replace people: status and answer."""
        audience = self.audiences[audience_id]
        payload, session = json.loads(form["payload"]), json.loads(form["session"])
        schema = payload["schema"] if isinstance(payload["schema"], list) else [payload["schema"]]
        rows = {tuple((key, cell) for key, cell in zip(schema, row, strict=True) if cell) for row in payload["data"]}
        number, seq, is_last = int(session["session_id"]), int(session["batch_seq"]), session["last_batch_flag"] is True
        if len(payload["data"]) > _MOST:
            return 400, _error(100)
        if edge == "usersreplace":
            if fault := self._replace(audience, number, seq, is_last, rows):
                return 400, fault
        elif audience.replacing is not None:
            return 400, _error(2650, 1870145)
        elif method == "DELETE":
            gone = {cell for row in rows for cell in row if cell[0] in _IDENTIFYING}
            audience.rows = {row for row in audience.rows if row not in rows and gone.isdisjoint(row)}
        else:
            audience.rows |= rows
        self.calls.append((method, edge, len(payload["data"]), session))
        wrong = sum(
            not all(key in ("EXTERN_ID", "MADID") or _HASHED.fullmatch(cell) for key, cell in row) for row in rows
        )
        before = self._received.get(number, (0, 0))
        so_far = self._received[number] = (before[0] + len(payload["data"]), before[1] + wrong)
        return 200, {
            "audience_id": audience_id,
            "session_id": str(number),
            "num_received": so_far[0],
            "num_invalid_entries": so_far[1],
            "invalid_entry_samples": {},
        }

    def _replace(
        self, audience: Audience, number: int, seq: int, is_last: bool, rows: set[tuple[tuple[str, str], ...]]
    ) -> Any:
        if number in self._ended:
            return _error(2650, 1870159)
        if audience.replacing is None or audience.replacing[0] != number:
            if audience.replacing is not None:
                return _error(2650, 1870145)
            if seq != 1:
                return _error(2650, 1870147)
            audience.replacing = (number, set())
        audience.replacing[1].update(rows)
        if is_last:
            audience.rows, audience.replacing = audience.replacing[1], None
            self._ended.add(number)
        return None


def facebook_routes(received: Received, account: Account) -> list[Route]:
    """The door of Graph: ``/facebook`` is its base URL."""

    async def fields(request: Request) -> dict[str, str]:
        return dict(parse_qsl((await request.body()).decode(), keep_blank_values=True)) | dict(request.query_params)

    def tell(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Response:
        usage = {"x-business-use-case-usage": account.usage} if account.usage else {}
        return answered(status, body, {**usage, **(headers or {})})

    async def audiences(request: Request) -> Response:
        form = await fields(request)
        if not form.get("access_token") or form["access_token"] == "wrong":
            return tell(400, _error(190))
        if request.method == "POST":
            return tell(200, {"id": account.create(form["name"])})
        listed = [
            {
                "id": key,
                "name": one.name,
                "approximate_count_lower_bound": len(one.rows) // 100 * 100,
                "approximate_count_upper_bound": len(one.rows) // 100 * 100 + 100,
            }
            for key, one in account.audiences.items()
        ]
        start, limit = int(form.get("after") or 0), min(int(form.get("limit") or 25), 100)
        more = start + limit < len(listed)
        paging = {"cursors": {"after": str(start + limit)}, **({"next": "…"} if more else {})}
        return tell(200, {"data": listed[start : start + limit], "paging": paging})

    async def audience(request: Request) -> Response:
        form, audience_id = await fields(request), request.path_params["audience"]
        if form.get("access_token") in (None, "", "wrong"):
            return tell(400, _error(190))
        if account.audiences.pop(audience_id, None) is None:
            return tell(400, _error(100))
        return tell(200, {"success": True})

    async def people(request: Request) -> Response:
        for tap in account.taps:
            tap("arrived")
        form, audience_id = await fields(request), request.path_params["audience"]
        if form.get("access_token") in (None, "", "wrong"):
            return tell(400, _error(190))
        if audience_id not in account.audiences:
            return tell(400, _error(100))
        name, edge = account.audiences[audience_id].name, request.path_params["edge"]
        answer = await received.refusal("facebook", name, ROWS["facebook"])
        if answer is None:
            answer = tell(*account.people(audience_id, request.method, edge, form))
            for tap in account.taps:
                tap("taken")
        payload = json.loads(form["payload"])
        does = "replaced by" if edge == "usersreplace" else "taken out" if request.method == "DELETE" else "put in"
        text = f"{len(payload['data']):,} rows of {', '.join(payload['schema'])}"
        shown = {"schema": payload["schema"], "data": [*payload["data"][:3], "…"], "session": form["session"]}
        received.note("facebook", name, does, text, answer.status_code, shown)
        return answer

    return [
        Route("/facebook/{version}/act_{account:int}/customaudiences", audiences, methods=["GET", "POST"]),
        Route("/facebook/{version}/{audience}/{edge:str}", people, methods=["POST", "DELETE"]),
        Route("/facebook/{version}/{audience}", audience, methods=["DELETE"]),
    ]
