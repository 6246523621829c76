"""Clients that send slowly or without end: none holds a connection, and others are answered meanwhile."""

from __future__ import annotations

import base64
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
import uvicorn

import engage
from engage.server.app import create_app
from engage.server.http import LISTENING, Connection
from engage.server.requests import read_body
from tests.server.conftest import KEY, SECRET

BASIC = base64.b64encode(f"{KEY}:".encode()).decode()
EVENT = b'{"userId":"u1","event":"Charged"}'
HEAD = f"POST /v1/track HTTP/1.1\r\nHost: here\r\nAuthorization: Basic {BASIC}\r\n".encode()


class Hasty(Connection):
    """With little patience."""

    head_seconds, linger = 0.6, 0.6


@pytest.fixture
def port(workspace: engage.Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Of a server that waits half a second or so for a head, and as long for a body."""
    monkeypatch.setenv("ENGAGE_WRITE_KEYS", KEY)
    monkeypatch.setenv("ENGAGE_SECRET_KEY", SECRET)
    assert read_body.__kwdefaults__ is not None
    monkeypatch.setitem(read_body.__kwdefaults__, "seconds", 0.5)
    app = create_app(workspace, fold_every=0.05)
    config = uvicorn.Config(app, port=0, log_level="critical", **LISTENING | {"http": Hasty})
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(30)


def drip(port: int, first: bytes, rest: bytes, every: float = 0.1) -> bytes:
    """Send something at once and the rest byte by byte, again and again, until hung up on; what was answered."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(first)
        ended = threading.Event()

        def send() -> None:
            try:
                while not ended.wait(every):
                    connection.sendall(rest)
            except OSError:
                pass

        sender = threading.Thread(target=send)
        if rest:
            sender.start()
        answer = b""
        try:
            while data := connection.recv(65536):  # ends when the server hangs up
                answer += data
        except ConnectionResetError:
            pass
        finally:
            ended.set()
            if rest:
                sender.join(60)
    return answer


@pytest.mark.parametrize(
    ("first", "rest", "answered"),
    [
        (b"", b"", b""),  # connects and says nothing
        (b"", b"\r\n", b""),
        (b"POST /v1/tr", b"", b""),
        (HEAD + b"X-A: b", b"c", b""),  # a header that never ends
        (HEAD, b"X-A: b\r\n", b""),  # headers that never end
        (HEAD + b"Content-Length: 1000\r\n\r\n{", b" ", b"408 Request Timeout"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", b"408 Request Timeout"),
        (b"POST /nowhere HTTP/1.1\r\nHost: here\r\nContent-Length: 99999\r\n\r\n", b" ", b"404 Not Found"),
        (HEAD + b"X-A: " + b"b" * (1 << 20), b"", b"431 Request Header Fields Too Large"),
        (HEAD + b"X-A: b\r\n" * 100_000, b"", b"431 Request Header Fields Too Large"),
        (b"GET /" + b"a" * (1 << 20), b"", b"431 Request Header Fields Too Large"),
    ],
)
def test_nobody_holds_a_connection(port: int, first: bytes, rest: bytes, answered: bytes) -> None:
    for _ in range(10):  # on a busy machine even what is sent at once may come too late
        answer = drip(port, first, rest)
        if answer or not answered:
            break
    assert answered in answer.partition(b"\r\n")[0]
    assert bool(answered) == bool(answer)


def test_others_are_answered_while_two_hundred_say_nothing(port: int) -> None:
    idle = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(200)]
    try:
        for one in idle:
            one.sendall(HEAD)
        transport = httpx.HTTPTransport(retries=10)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=transport, timeout=60) as http:
            assert http.post("/v1/track", content=EVENT, auth=(KEY, "")).status_code == 200
        assert [one.recv(100) for one in idle] == [b""] * 200, "all were hung up on"
    finally:
        for one in idle:
            one.close()


def test_the_deadline_of_a_head_is_not_that_of_a_connection(port: int) -> None:
    request = HEAD + f"Content-Length: {len(EVENT)}\r\n\r\n".encode() + EVENT

    def lives_on() -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            began = time.monotonic()
            while time.monotonic() - began < 2 * Hasty.head_seconds:
                for half in (request[:80], request[80:]):
                    connection.sendall(half)
                    time.sleep(0.02)
                if not connection.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n"):
                    return False
        return True

    assert any(lives_on() for _ in range(10)), "a busy machine may be too slow once, not always"
