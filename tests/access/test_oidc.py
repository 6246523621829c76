"""Sign-in through an identity provider that is real but for its people: another server, its own keys, signed words."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import threading
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

import engage
from engage.access.accounts import Accounts
from engage.access.audit import AuditLog
from engage.access.identity import read_provider
from engage.access.roles import Role
from engage.access.sessions import Sessions, Throttle
from engage.access.sign_ins import SignIns
from engage.access.store import Store
from engage.errors import ConfigurationError
from engage.server.access_pages import AccessPages
from engage.server.oidc import Oidc
from engage.server.origins import Origins
from engage.server.signing_in import SigningIn
from engage.server.up import listening
from engage.settings import Settings

SECRET = "the client's secret: &%="
KEYS = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]


def jwk(number: int) -> dict[str, Any]:
    return jwt.algorithms.RSAAlgorithm.to_jwk(KEYS[number].public_key(), as_dict=True) | {"kid": f"k{number}"}


@dataclass
class Provider:
    """Lets everybody in as `person`, after checking all that RFC 6749 and 7636 have it check; lies when told to."""

    url: str = ""
    person: dict[str, Any] = field(default_factory=dict)
    lies: dict[str, Any] = field(default_factory=dict)
    key: int = 0
    published: tuple[int, ...] = (0,)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    discovered: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._about),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/keys", self._published),
                Route("/me", self._me),
            ]
        )

    async def _about(self, request: Request) -> Response:
        at = {f"{name}_endpoint": f"{self.url}/{path}" for name, path in
              (("authorization", "authorize"), ("token", "token"), ("userinfo", "me"))}  # fmt: skip
        return JSONResponse({"issuer": self.url, "jwks_uri": f"{self.url}/keys", **at} | self.discovered)

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        assert (asked["response_type"], asked["client_id"]) == ("code", "engage")
        assert (asked["code_challenge_method"], asked["scope"]) == ("S256", "openid email profile")
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        answer = httpx.QueryParams({"code": code, "state": asked["state"], "iss": self.url} | self.answers)
        return RedirectResponse(f"{asked['redirect_uri']}?{answer}", 303)

    async def _token(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        scheme, _, pair = request.headers["authorization"].partition(" ")
        assert (scheme, base64.b64decode(pair).decode()) == ("Basic", "engage:the%20client%27s%20secret%3A%20%26%25%3D")
        asked = self.codes.pop(form["code"], None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
        if asked is None or asked["code_challenge"] != challenge.decode():
            return JSONResponse({"error": "invalid_grant"}, 400)
        assert (form["grant_type"], form["redirect_uri"]) == ("authorization_code", asked["redirect_uri"])
        now = int(time.time())
        claims = {"iss": self.url, "aud": "engage", "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        claims |= {"sub": "1"} | self.person | self.lies
        how = claims.pop("how", "RS256")
        claims = {name: value for name, value in claims.items() if value is not None}
        key = KEYS[self.key] if how == "RS256" else None
        token = jwt.encode(claims, key, algorithm="none" if how == "HS256" else how, headers={"kid": f"k{self.key}"})
        if how == "HS256":  # signed with what everybody knows, in the hope that it is taken for a shared secret
            pem = (
                KEYS[0]
                .public_key()
                .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            )
            head = json.dumps({"alg": "HS256", "kid": "k0"}).encode()
            signed = base64.urlsafe_b64encode(head).rstrip(b"=") + b"." + token.split(".")[1].encode()
            mac = base64.urlsafe_b64encode(hmac.digest(pem, signed, "sha256")).rstrip(b"=")
            token = (signed + b"." + mac).decode()
        return JSONResponse({"id_token": token, "access_token": "at", "token_type": "Bearer"})

    async def _published(self, request: Request) -> Response:
        self.seen.append("keys")
        return JSONResponse({"keys": [jwk(number) for number in self.published]})

    async def _me(self, request: Request) -> Response:
        assert request.headers["authorization"] == "Bearer at"
        return JSONResponse({"sub": "1", "email": "me@example.com", "email_verified": True} | self.answers)


@dataclass
class Place:
    """Ours, and theirs."""

    url: str
    provider: Provider
    accounts: Accounts
    audit: AuditLog
    sessions: Sessions

    def sign_in(self, client: httpx.Client | None = None) -> httpx.Response:
        """Go the whole way, as a browser does; the last answer is ours."""
        with client or httpx.Client(timeout=60) as browser:
            answer = browser.get(f"{self.url}/oidc/start?next=/notebooks/reports/")
            while answer.is_redirect and "/oidc/back" not in str(answer.url):
                answer = browser.get(answer.headers["location"])
            return answer

    def who(self, answer: httpx.Response) -> str:
        token = answer.headers["set-cookie"].partition("engage=")[2].partition(";")[0]
        actor = self.sessions.person(token)
        assert actor is not None
        return f"{actor.name} {actor.role}"


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("ENGAGE_OIDC_CLIENT_SECRET", SECRET)
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def serve(app: ASGIApp) -> str:
        taken = listening("127.0.0.1", 0)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[taken])))
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"

    def made(**options: Any) -> Place:
        theirs = Provider()
        theirs.url = serve(theirs.app())
        given = {"oidc": {"issuer": theirs.url, "client_id": "engage", "name": "Example"} | options}
        provider = read_provider(Settings(tmp_path, options={"access": given}))
        assert provider is not None
        store, origins, pages = Store(tmp_path / "access.sqlite"), Origins(""), AccessPages(provider.name)
        accounts, sessions, audit = Accounts(store), Sessions(store), AuditLog(tmp_path / "audit")
        signing_in = SigningIn(accounts, sessions, Throttle(store), audit, origins, pages)
        oidc = Oidc(provider, SignIns(store), accounts, signing_in, audit, origins, pages)
        ours = serve(Starlette(routes=[*signing_in.routes(), *oidc.routes()]))
        return Place(ours, theirs, accounts, audit, sessions)

    yield made
    for server, thread in running:
        server.should_exit = True
        thread.join(60)


ADA = {"sub": "ada-1", "email": "ada@example.com", "email_verified": True, "name": "Ada"}


def test_who_has_an_account_is_let_in_by_the_provider_and_led_on(make: Any) -> None:
    place = make()
    place.provider.person = dict(ADA)
    refused = place.sign_in()
    assert (refused.status_code, "You have no account here" in refused.text) == (403, True)
    place.accounts.add("ada@example.com", Role.SENDER)
    done = place.sign_in()
    assert (done.status_code, done.headers["location"]) == (303, "/notebooks/reports/")
    assert place.who(done) == "ada@example.com sender"
    place.provider.person = ADA | {"email": "moved@example.com"}  # known by her subject, whatever her address is
    assert place.who(place.sign_in()) == "ada@example.com sender"
    assert place.accounts.find("ada@example.com").signs_in == "oidc"
    assert 'href="/oidc/start?next=/"' in httpx.get(f"{place.url}/sign-in").text
    log = place.audit.frame().select("who", "outcome").rows()
    assert log == [("somebody", "refused"), ("ada@example.com", ""), ("ada@example.com", "")]


@pytest.mark.parametrize(
    ("lies", "told"),
    [
        ({"nonce": "another"}, "for another sign-in"),
        ({"nonce": None}, "for another sign-in"),
        ({"aud": "another"}, "InvalidAudience"),
        ({"aud": ["engage", "another"]}, "for another application"),
        ({"aud": ["engage", "another"], "azp": "another"}, "for another application"),
        ({"iss": "https://evil.example"}, "InvalidIssuer"),
        ({"exp": 1_700_000_000}, "ExpiredSignature"),
        ({"exp": None}, "MissingRequiredClaim"),
        ({"sub": None}, "MissingRequiredClaim"),
        ({"iat": 4_000_000_000, "exp": 4_000_000_300}, "ImmatureSignature"),
        ({"how": "none"}, "not to be believed"),
        ({"how": "HS256"}, "not to be believed"),
    ],
)
def test_a_word_that_is_not_for_us_now_and_here_is_refused(make: Any, lies: dict[str, Any], told: str) -> None:
    place = make(default_role="viewer")
    place.provider.person, place.provider.lies = dict(ADA), lies
    answer = place.sign_in()
    assert answer.status_code == 403
    assert told in answer.text
    assert "engage=" not in answer.headers.get("set-cookie", "")
    assert place.accounts.all() == []


def test_a_word_signed_by_another_key_is_refused_and_new_keys_are_looked_up(make: Any) -> None:
    place = make(default_role="viewer")
    place.provider.person = dict(ADA)
    assert place.sign_in().status_code == 303
    place.provider.key = 1
    answer = place.sign_in()
    assert "signed with a key it does not publish" in answer.text
    place.provider.published = (0, 1)
    assert place.sign_in().status_code == 303, "the provider changed its key"
    assert place.provider.seen.count("keys") == 3


def test_a_forged_signature_is_refused(make: Any) -> None:
    place = make(default_role="viewer")
    place.provider.person = dict(ADA)
    assert place.sign_in().status_code == 303
    KEYS.reverse()  # still called k0, another key
    try:
        answer = place.sign_in()
    finally:
        KEYS.reverse()
    assert (answer.status_code, "InvalidSignature" in answer.text) == (403, True)


def test_groups_decide_each_time_and_the_most_counts(make: Any) -> None:
    place = make(role_claim="realm.roles", roles={"crew": "analyst", "crm": "marketer"})
    place.provider.person = ADA | {"realm": {"roles": ["crew", "crm", "other"]}}
    assert place.who(place.sign_in()) == "ada@example.com marketer"
    place.provider.person = ADA | {"realm": {"roles": "crew"}}
    assert place.who(place.sign_in()) == "ada@example.com analyst"
    for nothing in ({"realm": {"roles": ["other", 7, None]}}, {"realm": []}, {}):
        place.provider.person = ADA | nothing
        answer = place.sign_in()
        assert (answer.status_code, "None of your groups" in answer.text) == (403, True)


def test_an_address_nobody_vouches_for_opens_no_account(make: Any) -> None:
    place = make(default_role="viewer")
    place.accounts.add("ada@example.com", Role.ADMIN)
    for verified in (False, None):
        place.provider.person = ADA | {"sub": "eve", "email_verified": verified}
        assert place.sign_in().status_code == 403
    assert place.accounts.find("ada@example.com").signs_in == ""


def test_what_the_provider_tells_elsewhere_is_asked_for_and_must_be_of_the_same_person(make: Any) -> None:
    place = make(default_role="analyst")
    assert place.who(place.sign_in()) == "me@example.com analyst"
    place.provider.answers = {"sub": "2"}
    assert "told of somebody else" in place.sign_in().text


def test_an_answer_comes_back_once_to_the_browser_it_began_in(make: Any) -> None:
    place = make(default_role="viewer")
    place.provider.person = dict(ADA)
    with httpx.Client(timeout=60) as ada, httpx.Client(timeout=60) as eve:
        began = ada.get(f"{place.url}/oidc/start").headers["location"]
        back = ada.get(began).headers["location"]
        assert "took too long, or began in another browser" in eve.get(back).text
        assert ada.get(back).status_code == 403, "what was shown once is used up"
        again = ada.get(ada.get(f"{place.url}/oidc/start").headers["location"]).headers["location"]
        assert ada.get(again).status_code == 303
        assert ada.get(again).status_code == 403
        query = parse_qs(urlsplit(again).query)
        assert ada.get(f"{place.url}/oidc/back", params={"code": "x", "state": query["state"][0]}).status_code == 403
    for given in ({"error": "access_denied"}, {"iss": "https://evil.example"}, {"code": "made-up"}):
        place.provider.answers = given
        assert place.sign_in().status_code == 403


@pytest.mark.parametrize(
    "discovered",
    [{"issuer": "https://evil.example"}, {"token_endpoint": "http://evil.example/token"}, {"jwks_uri": None},
     {"authorization_endpoint": "javascript:alert(1)"}],
)  # fmt: skip
def test_a_provider_that_describes_itself_wrongly_is_not_asked(make: Any, discovered: dict[str, Any]) -> None:
    place = make()
    place.provider.discovered = discovered
    answer = httpx.get(f"{place.url}/oidc/start", timeout=60)
    assert (answer.status_code, "tells of itself is not right" in answer.text) == (503, True)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"client_id": "x"}, "issuer"),
        ({"issuer": "http://id.example.com", "client_id": "x"}, "no https address"),
        ({"issuer": "https://id.example.com"}, "client_id is missing"),
        ({"issuer": "https://id.example.com", "client_id": "x", "default_role": "king"}, "no role 'king'"),
        ({"issuer": "https://id.example.com", "client_id": "x", "rolls": {}}, "there is no 'rolls'"),
    ],
)
def test_what_is_set_wrong_is_told_in_a_line(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        read_provider(Settings(tmp_path, options={"access": {"oidc": options}}))


def test_the_documentations_settings_are_taken_and_its_roles_are_ours() -> None:
    text = (Path(engage.__file__).parents[1] / "docs" / "access.md").read_text(encoding="utf-8")
    [block] = [one.partition("```")[0] for one in text.split("```toml\n")[1:]]
    provider = read_provider(Settings(Path(), options=tomllib.loads(block)["tool"]["engage"]))
    assert provider is not None
    assert provider.role_of({"realm_access": {"roles": ["crm-readers", "crm-leads"]}}) is Role.SENDER
    assert re.findall(r"^\| (\w+) \| (?:look|also)", text, re.MULTILINE) == [role.value for role in Role]
