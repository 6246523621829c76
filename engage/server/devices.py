"""Devices: the push tokens of apps and the web-push subscriptions of browsers."""

from __future__ import annotations

import asyncio
import json
import secrets
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from engage.errors import ConfigurationError
from engage.server.journal import Journal
from engage.server.requests import Answer, append, read_json
from engage.server.users import Users
from engage.workspace import Workspace

__all__ = ["Devices"]

_PLATFORMS = ("android", "ios", "web")
_LONGEST = 4096  # characters of a token


class Devices:
    """Takes devices, and tells browsers the key they subscribe with.

    Args:
        workspace: Whose.
        journal: Where they are kept until landed.
        users: Believes tokens.
    """

    def __init__(self, workspace: Workspace, journal: Journal, users: Users) -> None:
        self._workspace, self._journal, self._users = workspace, journal, users

    def routes(self) -> list[Route]:
        """The routes of devices."""
        return [
            Route("/v1/devices", self._device, methods=["POST"]),
            Route("/v1/devices/web-push-key", self._key, methods=["GET"]),
        ]

    async def _device(self, request: Request) -> Response:
        """The user's device; `active` false takes it back."""
        try:
            user = self._users.of(request)
            row = _row(user, await read_json(request), datetime.now(UTC))
            line = json.dumps({"devices": row}, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            await append(self._journal, line)
        except Answer as answer:
            return answer.response
        return JSONResponse({"success": True})

    async def _key(self, request: Request) -> Response:
        """The public key of web push."""
        try:
            key = await asyncio.to_thread(self._workspace.web_push_key)
        except ConfigurationError:
            return JSONResponse({"success": False, "error": "web push is not set up"}, 404)
        return JSONResponse({"key": key})


def _row(user: str, body: dict[str, Any], now: datetime) -> dict[str, Any]:
    channel, platform, token = (body.get(name) for name in ("channel", "platform", "token"))
    if channel not in ("push", "web_push"):
        raise Answer(400, "channel is not push or web_push")
    if channel == "web_push":
        token = _subscription(token)
        platform = "web"
    if not isinstance(token, str) or not 0 < len(token) <= _LONGEST or not token.isprintable():
        raise Answer(400, f"token is not text of up to {_LONGEST} characters")
    if platform not in _PLATFORMS:
        raise Answer(400, f"platform is not one of {', '.join(_PLATFORMS)}")
    environment = body.get("environment")
    if environment not in (None, "production", "sandbox"):
        raise Answer(400, "environment is not production or sandbox")
    return {
        "change_id": secrets.token_hex(16),
        "changed_at": now.isoformat(),
        "received_at": now.isoformat(),
        "user_id": user,
        "channel": channel,
        "platform": platform,
        "token": token,
        "environment": environment,
        "active": body.get("active") is not False,
        "source": "device",
    }


def _subscription(given: Any) -> str:
    """A ``PushSubscription`` in JSON, always spelled the same, so that it is the same device when it comes again."""
    keys = given.get("keys") if isinstance(given, dict) else None
    if (
        not isinstance(keys, dict)
        or not all(isinstance(keys.get(name), str) for name in ("p256dh", "auth"))
        or not isinstance(given.get("endpoint"), str)
        or not given["endpoint"].startswith(("https://", "http://"))
    ):
        raise Answer(400, "token is not a PushSubscription with endpoint and keys")
    kept = {"endpoint": given["endpoint"], "keys": {name: keys[name] for name in ("auth", "p256dh")}}
    return json.dumps(kept, separators=(",", ":"))
