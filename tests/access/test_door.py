"""The door, over real HTTP and websockets: who gets in, who does not, and what a browser would be told."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

import engage
from engage.access.accounts import Accounts
from engage.access.audit import AuditLog
from engage.access.roles import Role
from engage.access.sessions import Sessions, Throttle
from engage.access.store import Store
from engage.server.access_pages import AccessPages
from engage.server.door import Door
from engage.server.origins import Origins
from engage.server.signing_in import SigningIn, local_path
from engage.server.up import listening

PASSWORD = "correct horse battery staple"


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


async def _notebooks(scope: Scope, receive: Receive, send: Send) -> None:
    """Stands where the notebooks do: tells who asks, and says over websockets what it hears."""
    if scope["type"] == "websocket":
        socket = WebSocket(scope, receive, send)
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(text)
        return
    told = {"user": scope["user"], "cookies": HTTPConnection(scope).cookies}
    looks = "text/html" in HTTPConnection(scope).headers.get("accept", "")
    answer = HTMLResponse("<p>here") if looks else JSONResponse(told, headers={"access-control-allow-origin": "*"})
    await answer(scope, receive, send)


@dataclass
class Place:
    url: str
    clock: Clock
    accounts: Accounts
    audit: AuditLog
    open: list[httpx.Client]

    def browser(self, **headers: str) -> httpx.Client:
        """A client that says of its posts what a browser would."""
        client = httpx.Client(base_url=self.url, headers={"origin": self.url} | headers, timeout=60)
        self.open.append(client)
        return client

    def signed_in(self, email: str = "ada@example.com", role: Role = Role.VIEWER) -> httpx.Client:
        self.accounts.add(email, role)
        client = self.browser()
        link = self.accounts.link(email)
        assert client.post(f"/link/{link}", data={"password": PASSWORD, "again": PASSWORD}).status_code == 303
        return client

    def socket(self, client: httpx.Client | None, **headers: str) -> ClientConnection:
        cookies = "; ".join(f"{name}={value}" for name, value in (client.cookies if client else {}).items())
        given = {"Origin": self.url, **headers} | ({"Cookie": cookies} if cookies else {})
        path = self.url.replace("http", "ws", 1) + "/notebooks/home/ws?session_id=s_" + re.sub(r"\W", "", cookies)[-8:]
        return connect(path, additional_headers=given, proxy=None, open_timeout=60)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Place]]:
    running: list[tuple[uvicorn.Server, threading.Thread]] = []
    clients: list[httpx.Client] = []

    def start(public_url: str = "") -> Place:
        clock = Clock()
        store = Store(tmp_path / "access.sqlite", clock=clock)
        accounts, sessions, origins = Accounts(store), Sessions(store), Origins(public_url)
        audit = AuditLog(tmp_path / "audit")
        door = Door(_notebooks, sessions, origins, look_every=0.1)
        signing_in = SigningIn(accounts, sessions, Throttle(store), audit, origins, AccessPages())
        app = Starlette(routes=[*signing_in.routes(), Mount("/notebooks", door)])
        taken = listening("127.0.0.1", 0)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[taken])))
        thread.start()
        running.append((server, thread))
        return Place(f"http://127.0.0.1:{taken.getsockname()[1]}", clock, accounts, audit, clients)

    yield start
    for client in clients:
        client.close()
    for server, thread in running:
        server.should_exit = True
        thread.join(60)


@pytest.fixture
def place(serve: Callable[..., Place]) -> Place:
    return serve()


def test_the_first_link_makes_an_admin_who_is_told_to_the_notebooks(place: Place) -> None:
    token = place.accounts.first_link()
    with place.browser() as client:
        page = client.get(f"/link/{token}")
        assert (page.status_code, "Become the first admin" in page.text) == (200, True)
        assert client.get(f"/link/{token}").status_code == 200, "looking at it does not use it up"
        given = {"email": "ada@example.com", "name": "Ada", "password": PASSWORD, "again": PASSWORD + "x"}
        assert "not the same" in client.post(f"/link/{token}", data=given).text
        assert "12 or more" in client.post(f"/link/{token}", data=given | {"password": "short", "again": "short"}).text
        done = client.post(f"/link/{token}", data=given | {"again": PASSWORD})
        assert (done.status_code, done.headers["location"]) == (303, "/")
        flags = done.headers["set-cookie"].lower()
        assert "httponly" in flags
        assert "samesite=lax" in flags
        assert "path=/" in flags
        seen = client.get("/notebooks/home/")
        ada = place.accounts.find("ada@example.com")
        assert seen.json()["user"] == {
            "is_authenticated": True,
            "username": "ada@example.com",
            "role": "admin",
            "account": ada.id,
        }
        assert seen.json()["cookies"] == {}, "what opens the door stays with it"
        assert "access-control-allow-origin" not in seen.headers
    with place.browser() as other:
        used = other.get(f"/link/{token}")
        assert (used.status_code, "used already or is too old" in used.text) == (404, True)
    what = place.audit.frame().select("who", "what", "outcome").rows()
    assert what == [("ada@example.com", "account.password", ""), ("ada@example.com", "account.sign_in", "")]


def test_who_is_not_signed_in_gets_no_further(place: Place) -> None:
    with place.browser() as client:
        asked = client.get("/notebooks/reports/?label=On+boarding", headers={"accept": "text/html"})
        assert asked.status_code == 303
        assert asked.headers["location"] == "/sign-in?next=%2Fnotebooks%2Freports%2F%3Flabel%3DOn%2Bboarding"
        assert client.get("/notebooks/reports/assets/x.js").status_code == 401
        assert client.post("/notebooks/reports/api/kernel/run").status_code == 401
        client.cookies.set("engage", "made-up")
        assert client.get("/notebooks/home/").status_code == 401
        assert "Nobody has an account yet" in client.get("/sign-in").text
    with pytest.raises(InvalidStatus) as refused:
        place.socket(None)
    assert refused.value.response.status_code == 403


def test_signing_in_leads_on_and_signing_out_shuts_the_door_and_open_sockets(place: Place) -> None:
    place.signed_in().close()
    with place.browser() as client:
        wrong = client.post("/sign-in", data={"email": "ada@example.com", "password": "wrong password", "next": "/x"})
        assert (wrong.status_code, "address or the password is wrong" in wrong.text) == (403, True)
        assert 'value="ada@example.com"' in wrong.text
        given = {"email": "ada@example.com", "password": PASSWORD, "next": "/notebooks/reports/?a=1"}
        done = client.post("/sign-in", data=given)
        assert (done.status_code, done.headers["location"]) == (303, "/notebooks/reports/?a=1")
        first = client.cookies["engage"]
        assert client.get("/sign-in?next=/notebooks/").headers["location"] == "/notebooks/"
        with place.socket(client) as socket:
            socket.send("heard")
            assert socket.recv(60) == "heard"
            assert "Sign out" in client.get("/sign-out").text
            assert client.get("/notebooks/home/").status_code == 200, "looking at the page signs nobody out"
            out = client.post("/sign-out")
            assert (out.status_code, out.headers["location"]) == (303, "/sign-in?out=1")
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(60)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008
        assert "engage" not in client.cookies
        client.cookies.set("engage", first)
        assert client.get("/notebooks/home/").status_code == 401, "a cookie kept back opens nothing"
    what = place.audit.frame().select("what", "outcome").rows()[2:]
    assert what == [("account.sign_in", "refused"), ("account.sign_in", ""), ("account.sign_out", "")]


def test_a_session_ends_and_nobody_uses_anothers(place: Place) -> None:
    ada, bob = place.signed_in(), place.signed_in("bob@example.com", Role.ADMIN)
    run = "/notebooks/home/api/kernel/run"
    assert bob.post(run, headers={"marimo-session-id": "s_bob"}).status_code == 200
    stolen = ada.post(run, headers={"marimo-session-id": "s_bob"})
    assert (stolen.status_code, stolen.json()["error"]) == (403, "this session is another person's")
    assert ada.get("/notebooks/home/ws?session_id=s_bob").status_code == 403
    assert ada.post(run, headers={"marimo-session-id": "s_ada"}).status_code == 200
    with place.socket(ada) as socket:
        place.clock.now += 2 * 3600
        with pytest.raises(ConnectionClosed):
            socket.recv(60)
    assert ada.get("/notebooks/home/").status_code == 401
    place.accounts.remove("ada@example.com")
    assert ada.post("/sign-in", data={"email": "ada@example.com", "password": PASSWORD}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
    ],
)
def test_another_sites_page_can_do_nothing_with_a_session(place: Place, headers: dict[str, str]) -> None:
    client = place.signed_in()
    for path in ("/notebooks/home/api/kernel/run", "/sign-out", "/sign-in"):
        assert client.post(path, headers=headers, data={"email": "a", "password": "b"}).status_code == 403, path
    assert client.get("/notebooks/home/").status_code == 200, "still signed in"
    if "navigate" not in headers.values():
        assert client.get("/notebooks/home/", headers=headers).status_code == 403
        with pytest.raises(InvalidStatus):
            place.socket(client, **{name.title(): value for name, value in headers.items()})


def test_a_link_from_elsewhere_may_be_followed_but_not_framed(place: Place) -> None:
    client = place.signed_in()
    followed = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    answer = client.get("/notebooks/home/", headers=followed | {"accept": "text/html"})
    assert answer.status_code == 200
    assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/notebooks/home/", headers=followed | {"sec-fetch-dest": "iframe"}).status_code == 403


def test_a_post_that_names_no_origin_is_refused(place: Place) -> None:
    with httpx.Client(base_url=place.url) as plain:
        assert plain.post("/sign-in", data={"email": "a", "password": "b"}).status_code == 403


def test_behind_tls_the_cookie_is_for_this_host_over_tls_alone(serve: Callable[..., Place]) -> None:
    place = serve("https://engage.example.com")
    place.accounts.add("ada@example.com", Role.VIEWER)
    with place.browser(origin="https://engage.example.com") as client:
        link = place.accounts.link("ada@example.com")
        done = client.post(f"/link/{link}", data={"password": PASSWORD, "again": PASSWORD})
        cookie = done.headers["set-cookie"]
        assert cookie.startswith("__Host-engage=")
        assert "Secure" in cookie
        token = cookie.partition("=")[2].partition(";")[0]
        seen = client.get("/notebooks/home/", headers={"cookie": f"__Host-engage={token}"})
        assert (seen.status_code, "strict-transport-security" in seen.headers) == (200, True)
        assert client.get("/notebooks/home/", headers={"cookie": f"engage={token}"}).status_code == 401


def test_guessing_is_told_to_wait_and_the_right_password_is_not_tried_meanwhile(place: Place) -> None:
    place.signed_in().close()
    with place.browser() as client:
        for _ in range(5):
            assert client.post("/sign-in", data={"email": "ada@example.com", "password": "guess"}).status_code == 403
        told = client.post("/sign-in", data={"email": "ADA@example.com", "password": PASSWORD})
        assert (told.status_code, 0 < int(told.headers["retry-after"]) <= 901) == (429, True)
        assert "Wait 15 minutes" in told.text or "Wait 16 minutes" in told.text
        place.clock.now += 901
        assert client.post("/sign-in", data={"email": "ada@example.com", "password": PASSWORD}).status_code == 303


def test_what_was_typed_for_an_address_is_not_kept_where_nobody_has_it(place: Place) -> None:
    with place.browser() as client:
        client.post("/sign-in", data={"email": "my secret passphrase", "password": "x"})
    [row] = place.audit.frame().to_dicts()
    assert (row["who"], row["outcome"]) == ("somebody", "refused")
    assert "secret" not in json.dumps(row, default=str)


def test_hostile_forms_are_refused_in_a_line_and_nothing_typed_becomes_html(place: Place) -> None:
    with place.browser() as client:
        assert client.post("/sign-in", content=b"\xff\xfe=1").status_code == 400
        assert client.post("/sign-in", content=b"a" * 20_000).status_code == 413
        assert client.post("/sign-in", content="&".join(f"f{n}=1" for n in range(50))).status_code == 400
        typed = {"email": '"><script>alert(1)</script>', "password": "x", "next": '/"><script>'}
        page = client.post("/sign-in", data=typed)
        assert "<script" not in page.text
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        assert client.post("/link/nonsense", data={"password": PASSWORD}).status_code == 404


@pytest.mark.parametrize(
    "wanted",
    ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "", "/a\r\nx: y", "/sign-out",
     "/\t/evil.example", "/link/abc", " /x"],
)  # fmt: skip
def test_nobody_is_sent_elsewhere_after_signing_in(wanted: str) -> None:
    assert local_path(wanted) == "/"


def test_a_server_without_a_worker_serves_notebooks_where_it_is_told_to(
    workspace: engage.Workspace, tmp_path: Path
) -> None:
    with listening("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "engage", "-w", str(workspace.root), "serve", "--notebooks", "--port", str(port)]
    keys = {"ENGAGE_WRITE_KEYS": "key", "ENGAGE_SECRET_KEY": "a secret of the tests, 32 bytes or more"}
    told = tmp_path / "told"
    with told.open("wb") as out:
        server = subprocess.Popen(
            command, cwd=Path(engage.__file__).parents[1], env=os.environ | keys, stdout=out, stderr=out
        )
    try:
        deadline = time.monotonic() + 90
        while True:
            assert server.poll() is None, told.read_text()
            assert time.monotonic() < deadline, told.read_text()
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}/", follow_redirects=True, headers={"accept": "text/html"})
                break
            except httpx.TransportError:
                time.sleep(0.1)
        assert answer.url.path == "/sign-in"
        assert re.search(rf"within a day: http://127\.0\.0\.1:{port}/link/\S+", told.read_text())
        assert (
            httpx.post(
                f"http://127.0.0.1:{port}/v1/track", auth=("wrong", ""), json={"event": "x"}, timeout=60
            ).status_code
            == 401
        )
    finally:
        server.terminate()
        server.wait(60)
