"""A client of the message API as an app would write it: plain HTTP, no library of ours. See docs/mobile.md."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx


class Bearer(httpx.Auth):
    """A user's token with each request."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:
        request.headers["authorization"] = f"Bearer {self._token}"
        yield request


class AppClient:
    """One user's app.

    Args:
        url: The server.
        token: The user's token, from the app's own backend.
    """

    def __init__(self, url: str, token: str) -> None:
        self._http = httpx.Client(base_url=url, auth=Bearer(token), timeout=60)
        self._cursor: int | None = None
        self.unread = 0
        self.messages: dict[str, dict[str, Any]] = {}

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    def fetch(self, wait: int = 0, channels: str = "in_app,app_inbox") -> list[str]:
        """Fetch what has come since the last time; returns the ids of what is new."""
        asked: dict[str, Any] = {"channels": channels}
        if self._cursor is not None:  # the first question asks for all there is
            asked |= {"after": self._cursor, "wait": wait}
        answer = self._http.get("/v1/messages", params=asked).raise_for_status().json()
        self._cursor, self.unread = answer["cursor"], answer["unread"]
        new = {one["message_id"]: one for one in answer["messages"]}
        self.messages |= new
        return list(new)

    def report(self, message_id: str, event: str, *, report_id: str | None = None, **more: Any) -> httpx.Response:
        """Say what the user did with a message; harmless to repeat with the same `report_id`."""
        now = datetime.now(UTC).isoformat()
        one = {"id": report_id or uuid.uuid4().hex, "message_id": message_id, "event": event, "at": now, **more}
        return self._http.post("/v1/messages/events", json={"events": [one], "sentAt": now})

    def register(self, token: str, platform: str, *, active: bool = True) -> httpx.Response:
        """Register the device for push, or take it back."""
        device = {"channel": "push", "platform": platform, "token": token, "active": active}
        return self._http.post("/v1/devices", json=device)
