"""The door before the notebooks: who is not signed in gets no further, and nobody reaches another's session."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engage.access.actor import Actor
from engage.access.sessions import Sessions
from engage.server.origins import Origins

__all__ = ["Door", "session_cookie"]

_KEPT = 10_000  # notebook sessions whose owner is remembered
_POLICY_VIOLATION = 1008  # RFC 6455, section 7.4.1
# A notebook's charts and widgets are scripts compiled in the page; what they may not do is talk to others.
_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "style-src 'self' 'unsafe-inline'; img-src * data: blob:; media-src * data: blob:; frame-ancestors 'self'; "
    "form-action 'self'; base-uri 'self'; object-src 'none'"
)


def session_cookie(secure: bool) -> str:
    """The name of the cookie that holds a session's id; with the prefix browsers accept from this very host alone."""
    return "__Host-engage" if secure else "engage"


class Door:
    """Lets those through who are signed in, and tells the notebook who they are.

    Plain ASGI, since middleware that knows requests only would leave websockets open.

    Args:
        app: The notebooks.
        sessions: Who is signed in.
        origins: Tells our pages from others.
        look_every: Seconds after which an open websocket's session is looked at again.
    """

    def __init__(self, app: ASGIApp, sessions: Sessions, origins: Origins, *, look_every: float = 15.0) -> None:
        self._app, self._sessions, self._origins, self._look_every = app, sessions, origins, look_every
        self._owners: OrderedDict[str, str] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        if self._origins.foreign(connection):
            await _refuse(JSONResponse({"error": "another site's page may not ask this"}, 403), scope, receive, send)
            return
        secure = self._origins.secure(connection)
        token = connection.cookies.get(session_cookie(secure))
        actor = await asyncio.to_thread(self._sessions.person, token)
        if actor is None:
            await _refuse(_sign_in(connection), scope, receive, send)
        elif not self._owns(connection, actor):
            await _refuse(JSONResponse({"error": "this session is another person's"}, 403), scope, receive, send)
        else:
            inner = {**scope, "user": actor.as_user(), "headers": _without_cookies(scope)}
            if scope["type"] == "http":
                await self._app(inner, receive, _with_headers(send, secure))
            else:
                await self._watched(inner, receive, send, token)

    def _owns(self, connection: HTTPConnection, actor: Actor) -> bool:
        """Whether the notebook sessions that are named are theirs: whoever names one first owns it.

        Their names are short and the browser's own; without this, who guesses one would act in it.
        """
        named = {connection.headers.get("marimo-session-id"), connection.query_params.get("session_id")} - {None}
        for name in named:
            if self._owners.setdefault(str(name), actor.id) != actor.id:
                return False
        while len(self._owners) > _KEPT:
            self._owners.popitem(last=False)
        return True

    async def _watched(self, scope: Scope, receive: Receive, send: Send, token: str | None) -> None:
        """Serve a websocket, and close it once the session is over."""

        async def watch() -> None:
            while await asyncio.to_thread(self._sessions.person, token, active=False) is not None:
                await asyncio.sleep(self._look_every)
            with contextlib.suppress(RuntimeError):  # closed at this very moment
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": "signed out"})

        watching = asyncio.create_task(watch())
        try:
            await self._app(scope, receive, send)
        finally:
            watching.cancel()


def _sign_in(connection: HTTPConnection) -> Response:
    looks = connection.scope.get("method") in ("GET", "HEAD") and "text/html" in connection.headers.get("accept", "")
    if not looks:
        return JSONResponse({"error": "sign in first"}, 401)
    query = connection.url.query
    here = connection.url.path + (f"?{query}" if query else "")
    return RedirectResponse(f"/sign-in?next={quote(here, safe='')}", 303, {"cache-control": "no-store"})


async def _refuse(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION})  # before it is accepted: HTTP 403
    else:
        await response(scope, receive, send)


def _without_cookies(scope: Scope) -> list[tuple[bytes, bytes]]:
    """Notebooks are told who asks, not what opens the door."""
    return [(name, value) for name, value in scope["headers"] if name != b"cookie"]


def _with_headers(send: Send, secure: bool) -> Send:
    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["x-content-type-options"] = "nosniff"
            headers["referrer-policy"] = "same-origin"
            for name in [name for name in set(headers) if name.startswith("access-control-")]:
                del headers[name]  # marimo opens its own to every origin
            if secure:
                headers["strict-transport-security"] = "max-age=31536000"
            if headers.get("content-type", "").startswith("text/html"):
                headers["content-security-policy"] = _POLICY
                headers["cross-origin-opener-policy"] = "same-origin"
                headers["cache-control"] = "no-store"
        await send(message)

    return told
