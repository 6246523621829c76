"""Signing in through an identity provider: authorization code with PKCE.

Source: OpenID Connect Core 1.0, section 3.1; RFC 7636 (PKCE); RFC 9207 (who answers); RFC 9700 (best current practice).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import secrets
import time
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import httpx
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engage.access.accounts import Account, Accounts
from engage.access.audit import AuditLog
from engage.access.identity import IdentityProvider, at_home, read_id_token
from engage.access.sign_ins import SignIn, SignIns
from engage.errors import AccessError
from engage.logs import log
from engage.server.access_pages import AccessPages
from engage.server.origins import Origins
from engage.server.signing_in import SigningIn, local_path, sentence

if TYPE_CHECKING:
    from jwt import PyJWKSet

__all__ = ["Oidc"]

_COOKIE = "engage-oidc"
_KEPT = 3600.0  # seconds for which what the provider tells of itself is kept
_LARGEST = 1 << 20  # bytes of an answer
_ASKED = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class Oidc:
    """``/oidc/start`` and ``/oidc/back``.

    Args:
        provider: Who vouches.
        sign_ins: Those under way.
        accounts: Who there is.
        signing_in: Begins sessions.
        audit: Where refusals are written down.
        origins: Knows where people reach us.
        pages: Renders pages.
    """

    def __init__(
        self,
        provider: IdentityProvider,
        sign_ins: SignIns,
        accounts: Accounts,
        signing_in: SigningIn,
        audit: AuditLog,
        origins: Origins,
        pages: AccessPages,
    ) -> None:
        self._provider, self._sign_ins, self._accounts, self._signing_in = provider, sign_ins, accounts, signing_in
        self._audit, self._origins, self._pages = audit, origins, pages
        self._secret = os.environ.get("ENGAGE_OIDC_CLIENT_SECRET", "")
        self._about: tuple[float, dict[str, Any], PyJWKSet] | None = None

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/oidc/start", self._start, methods=["GET"]),
            Route("/oidc/back", self._back, methods=["GET"]),
        ]

    async def _start(self, request: Request) -> Response:
        browser = request.cookies.get(_COOKIE) or secrets.token_urlsafe(32)
        try:
            async with self._client() as client:
                about, _ = await self._asked(client)
            to = local_path(request.query_params.get("next", "/"))
            begun = await asyncio.to_thread(self._sign_ins.begin, browser, to)
        except AccessError as error:
            return self._pages.answer("nothing", status=503, wait=60, wrong=sentence(error))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(begun.verifier.encode()).digest()).rstrip(b"=").decode()
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self._provider.client_id,
                "redirect_uri": self._redirect(request),
                "scope": " ".join(self._provider.scopes),
                "state": begun.state,
                "nonce": begun.nonce,
                "code_challenge": challenge,
                "code_challenge_method": "S256",
            }
        )
        there = str(about["authorization_endpoint"])
        response = RedirectResponse(f"{there}{'&' if '?' in there else '?'}{query}", 303, {"cache-control": "no-store"})
        secure = self._origins.secure(request)
        response.set_cookie(_COOKIE, browser, max_age=600, path="/oidc", secure=secure, httponly=True, samesite="lax")
        return response

    async def _back(self, request: Request) -> Response:
        given = request.query_params
        try:
            begun = await asyncio.to_thread(
                self._sign_ins.take, given.get("state", ""), request.cookies.get(_COOKIE, "")
            )
            if given.get("iss", self._provider.issuer) != self._provider.issuer:
                raise AccessError("another identity provider answered", hint="begin again")
            if "error" in given or not given.get("code"):
                raise AccessError(f"{self._provider.name} did not let you in", hint="begin again, or ask an admin")
            account = await self._vouched(given["code"], begun, self._redirect(request))
        except AccessError as error:
            log("sign_in_refused", reason=error.what)
            refused = partial(self._audit.record, "somebody", "account.sign_in", via="web", outcome="refused")
            await asyncio.to_thread(partial(refused, detail={"by": "oidc", "reason": error.what}))
            return self._pages.answer("nothing", status=403, wrong=sentence(error))
        response = await asyncio.to_thread(self._signing_in.signed_in, request, account, begun.next, "oidc")
        response.delete_cookie(_COOKIE, path="/oidc", secure=self._origins.secure(request), httponly=True)
        return response

    async def _vouched(self, code: str, begun: SignIn, redirect: str) -> Account:
        async with self._client() as client:
            about, keys = await self._asked(client)
            told = await self._exchanged(client, about, code, begun, redirect)
            token = told.get("id_token")
            try:
                claims = read_id_token(token, keys, self._provider, begun.nonce)
            except AccessError as error:
                if "does not publish" not in error.what:
                    raise
                about, keys = await self._asked(client, anew=True)  # keys are changed now and then
                claims = read_id_token(token, keys, self._provider, begun.nonce)
            if "email" not in claims and about.get("userinfo_endpoint"):
                claims = await self._more(client, about, told, claims)
        return await asyncio.to_thread(
            partial(
                self._accounts.from_oidc,
                self._provider.issuer,
                str(claims["sub"]),
                self._provider.email_of(claims),
                str(claims.get("name") or ""),
                role=self._provider.role_of(claims),
                default=self._provider.default_role,
            )
        )

    async def _exchanged(
        self, client: httpx.AsyncClient, about: dict[str, Any], code: str, begun: SignIn, redirect: str
    ) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
            "code_verifier": begun.verifier,
        }
        methods = about.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        headers = {}
        if self._secret and "client_secret_basic" in methods:
            pair = f"{quote(self._provider.client_id, safe='')}:{quote(self._secret, safe='')}"
            headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        else:
            form["client_id"] = self._provider.client_id
            if self._secret:
                form["client_secret"] = self._secret
        return await self._json(
            client, client.build_request("POST", about["token_endpoint"], data=form, headers=headers)
        )

    async def _more(
        self, client: httpx.AsyncClient, about: dict[str, Any], told: dict[str, Any], claims: dict[str, Any]
    ) -> dict[str, Any]:
        """What some providers tell at another address only; the signed word stands above it."""
        headers = {"authorization": f"Bearer {told.get('access_token', '')}"}
        found = await self._json(client, client.build_request("GET", about["userinfo_endpoint"], headers=headers))
        if found.get("sub") != claims["sub"]:
            raise AccessError("the identity provider told of somebody else", hint="try again")
        return found | claims

    async def _asked(self, client: httpx.AsyncClient, *, anew: bool = False) -> tuple[dict[str, Any], PyJWKSet]:
        """What the provider tells of itself, and its keys."""
        import jwt

        if self._about is not None and not anew and time.monotonic() - self._about[0] < _KEPT:
            return self._about[1], self._about[2]
        issuer = self._provider.issuer
        where = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        about = await self._json(client, client.build_request("GET", where))
        if about.get("issuer") != issuer or not all(at_home(about.get(name)) for name in _ASKED):
            raise AccessError(f"what {self._provider.name} tells of itself is not right", hint="tell an admin")
        if "userinfo_endpoint" in about and not at_home(about["userinfo_endpoint"]):
            del about["userinfo_endpoint"]
        try:
            keys = jwt.PyJWKSet.from_dict(await self._json(client, client.build_request("GET", about["jwks_uri"])))
        except jwt.PyJWTError as error:
            raise AccessError(f"{self._provider.name} publishes no usable keys", hint="tell an admin") from error
        self._about = (time.monotonic(), about, keys)
        return about, keys

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(timeout=10, follow_redirects=False)

    async def _json(self, client: httpx.AsyncClient, request: httpx.Request) -> dict[str, Any]:
        data = bytearray()
        try:
            response = await client.send(request, stream=True)
            async for chunk in response.aiter_bytes():
                data += chunk
                if len(data) > _LARGEST:
                    break
            await response.aclose()
            found = json.loads(data) if response.status_code == 200 else None
        except (httpx.HTTPError, ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise AccessError(f"{self._provider.name} does not answer as it should", hint="try again in a minute")
        return found

    def _redirect(self, request: Request) -> str:
        return f"{self._origins.of(request)}/oidc/back"
