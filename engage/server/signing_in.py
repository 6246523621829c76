"""Signing in and out, and the links by which people set their first password.

Source: https://cheatsheetseries.owasp.org/cheatsheets/Session_Management_Cheat_Sheet.html
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engage.access.accounts import Account, Accounts
from engage.access.audit import AuditLog
from engage.access.sessions import Sessions, Throttle
from engage.errors import AccessError
from engage.server.access_pages import AccessPages
from engage.server.door import session_cookie
from engage.server.origins import Origins
from engage.server.requests import Answer, read_body

__all__ = ["SigningIn", "local_path", "sentence"]

_BODY = 16 << 10
_AT_ONCE = 4  # passwords being hashed: each takes 64 MiB
_WRONG = "The address or the password is wrong."
_NOBODY = "Nobody has an account yet. Open the link that `engage up` printed when it started."


def local_path(wanted: str) -> str:
    """Where to go afterwards: a path of ours, whatever a link says."""
    fine = (
        wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable() and " " not in wanted
    )
    return wanted[:2000] if fine and not wanted.startswith(("/sign-", "/link/", "/oidc/")) else "/"


class SigningIn:
    """``/sign-in``, ``/sign-out`` and ``/link/…``.

    Args:
        accounts: Who there is.
        sessions: Who is signed in.
        throttle: How often passwords may be tried.
        audit: Where it is written down.
        origins: Tells our pages from others.
        pages: Renders the pages.
    """

    def __init__(
        self,
        accounts: Accounts,
        sessions: Sessions,
        throttle: Throttle,
        audit: AuditLog,
        origins: Origins,
        pages: AccessPages,
    ) -> None:
        self._accounts, self._sessions, self._throttle = accounts, sessions, throttle
        self._audit, self._origins, self._pages = audit, origins, pages
        self._hashing = asyncio.Semaphore(_AT_ONCE)

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/sign-in", self._sign_in, methods=["GET", "POST"]),
            Route("/sign-out", self._sign_out, methods=["GET", "POST"]),
            Route("/link/{token}", self._link, methods=["GET", "POST"]),
        ]

    def signed_in(self, request: Request, account: Account, to: str, how: str) -> Response:
        """Begin a session and go on.

        Args:
            request: Whose.
            account: Who proved to be.
            to: Where to go.
            how: By what: ``password``, ``link`` or ``oidc``.
        """
        secure = self._origins.secure(request)
        name = session_cookie(secure)
        token = self._sessions.begin(account, instead_of=request.cookies.get(name))
        self._audit.record(account.email, "account.sign_in", role=account.role, via="web", detail={"by": how})
        response = RedirectResponse(local_path(to), 303, {"cache-control": "no-store"})
        response.set_cookie(name, token, path="/", secure=secure, httponly=True, samesite="lax")
        return response

    async def _sign_in(self, request: Request) -> Response:
        try:
            form = await self._form(request)
        except Answer as answer:
            return answer.response
        to = local_path(form["next"] if form else request.query_params.get("next", "/"))
        if form is None:
            if await asyncio.to_thread(self._person, request):
                return RedirectResponse(to, 303, {"cache-control": "no-store"})
            nobody = not await asyncio.to_thread(self._accounts.all)
            said = _NOBODY if nobody else "You are signed out." if "out" in request.query_params else ""
            return self._pages.answer("sign_in", next=to, said=said)
        email, place = form["email"].strip()[:254], request.client.host if request.client else ""
        wait = await asyncio.to_thread(self._throttle.wait, email, place)
        if wait:
            wrong = f"There were too many tries. Wait {_minutes(wait)}, then try again."
            return self._pages.answer("sign_in", status=429, wait=wait, wrong=wrong, email=email, next=to)
        async with self._hashing:
            account = await asyncio.to_thread(self._accounts.verify, email, form["password"][:1025])
        if account is None:
            await asyncio.to_thread(self._note_wrong, email)
            return self._pages.answer("sign_in", status=403, wrong=_WRONG, email=email, next=to)
        await asyncio.to_thread(self._throttle.forgive, email, place)
        return await asyncio.to_thread(self.signed_in, request, account, to, "password")

    def _note_wrong(self, email: str) -> None:
        try:
            found = self._accounts.find(email)
        except AccessError:  # it may be a password, typed into the wrong field
            self._audit.record("somebody", "account.sign_in", via="web", outcome="refused")
        else:
            self._audit.record(found.email, "account.sign_in", role=found.role, via="web", outcome="refused")

    async def _sign_out(self, request: Request) -> Response:
        try:
            form = await self._form(request)
        except Answer as answer:
            return answer.response
        if form is None:
            if await asyncio.to_thread(self._person, request):
                return self._pages.answer("sign_out")
            return RedirectResponse("/sign-in", 303)
        secure = self._origins.secure(request)
        await asyncio.to_thread(self._end, request)
        response = RedirectResponse("/sign-in?" + urlencode({"out": 1}), 303)
        response.delete_cookie(session_cookie(secure), path="/", secure=secure, httponly=True, samesite="lax")
        return response

    async def _link(self, request: Request) -> Response:
        token = request.path_params["token"]
        try:
            form = await self._form(request)
            whose = await asyncio.to_thread(self._accounts.linked, token)
        except Answer as answer:
            return answer.response
        except AccessError as error:
            return self._pages.answer("nothing", status=404, wrong=sentence(error))
        page = partial(
            self._pages.answer,
            "link",
            title="Become the first admin" if whose is None else "Choose a password",
            said="" if whose is None else f"For {whose.email}",
            first=whose is None,
        )
        if form is None:
            return page(email=whose.email if whose else "")
        typed: dict[str, Any] = {"email": whose.email if whose else form["email"].strip(), "name": form["name"].strip()}
        if form["password"] != form["again"]:
            return page(status=400, wrong="The two passwords are not the same.", **typed)
        try:
            async with self._hashing:
                account = await asyncio.to_thread(self._accounts.accept, token, form["password"], **typed)
        except AccessError as error:
            return page(status=400, wrong=sentence(error), **typed)
        await asyncio.to_thread(
            partial(self._audit.record, account.email, "account.password", role=account.role, via="web")
        )
        return await asyncio.to_thread(self.signed_in, request, account, "/", "link")

    def _person(self, request: Request) -> bool:
        token = request.cookies.get(session_cookie(self._origins.secure(request)))
        return self._sessions.person(token) is not None

    def _end(self, request: Request) -> None:
        token = request.cookies.get(session_cookie(self._origins.secure(request)))
        person = self._sessions.person(token)
        self._sessions.end(token)
        if person is not None:
            self._audit.record(person.name, "account.sign_out", role=person.role or "", via="web")

    async def _form(self, request: Request) -> dict[str, str] | None:
        """The fields of a form; None where nothing was sent.

        Raises:
            Answer: It was sent by another site's page, or is none.
        """
        if request.method != "POST":
            return None
        if self._origins.foreign(request):
            raise Answer(403, "another site's page may not ask this")
        try:
            found = parse_qs((await read_body(request, _BODY)).decode(), keep_blank_values=True, max_num_fields=20)
        except ValueError:
            raise Answer(400, "the body is not a form") from None
        fields = ("next", "email", "name", "password", "again")
        return {name: found.get(name, [""])[0] for name in fields}


def _minutes(seconds: int) -> str:
    minutes = -(-seconds // 60)
    return "a minute" if minutes == 1 else f"{minutes} minutes"


def sentence(error: AccessError) -> str:
    """An error as people read it."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
