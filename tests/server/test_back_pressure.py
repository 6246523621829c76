"""A server that cannot take more says so, and when to come again; nothing is lost without a word."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

import engage
from engage.server.collector import Collector
from engage.server.journal import Journal
from engage.server.uploads import Uploads

EVENT = {"type": "track", "userId": "u1", "event": "Charged", "messageId": "m1"}
RECORD = {"type": "event", "identity": "u1", "evtName": "Charged", "ts": 1_771_000_000}
BASIC = {"authorization": "Basic " + base64.b64encode(b"key:").decode()}
ACCOUNT = {"X-CleverTap-Account-Id": "account", "X-CleverTap-Passcode": "passcode-of-the-tests"}


@pytest.mark.parametrize(
    ("limit", "rate", "taken"),
    [
        (300, 50_000, 1),  # bytes that may wait: one event fits
        (1 << 20, 2, 3),  # two a second, and a batch may overdraw by what it holds
    ],
)
def test_who_is_refused_is_told_when_to_come_again(
    workspace: engage.Workspace, monkeypatch: pytest.MonkeyPatch, limit: int, rate: float, taken: int
) -> None:
    monkeypatch.setenv("ENGAGE_CLEVERTAP_PASSCODES", "account:passcode-of-the-tests")
    journal = Journal(workspace.root / "journal", limit=limit)
    app = Starlette(
        routes=[*Collector(journal, ["key"], rate=rate).routes(), *Uploads(journal, rate=rate).routes()],
    )
    first = {"batch": [EVENT] * taken}

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as http:
            batches: list[tuple[str, Any, dict[str, str]]] = [
                ("/v1/batch", first, BASIC),
                ("/v1/batch", {"batch": [EVENT]}, BASIC),
                ("/1/upload", {"d": [RECORD] * taken}, ACCOUNT),
                ("/1/upload", {"d": [RECORD]}, ACCOUNT),
            ]
            return [await http.post(path, json=body, headers=headers) for path, body, headers in batches]

    try:
        answers = asyncio.run(ask())
    finally:
        journal.close()
    assert answers[0].status_code == 200
    assert (answers[1].status_code, answers[3].status_code) == (429, 429)
    for refused in (answers[1], answers[3]):
        assert int(refused.headers["retry-after"]) >= 1
    kept = [line for path in (workspace.root / "journal").glob("*.ndjson") for line in path.read_text().splitlines()]
    accepted = sum(taken for answer in (answers[0], answers[2]) if answer.status_code == 200)
    assert len(kept) == accepted
