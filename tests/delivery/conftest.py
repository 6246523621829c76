"""A real server at the network's edge whose every connection does what a test says."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

Answer = Callable[[socket.socket, bytes], None]
"""Given the connection and the webhook-id of a request that was read whole; returns when it is done with it."""


class Edge:
    """Reads requests whole, remembers whose they were, and lets a function answer.

    `answers` are used one a request, in order; afterwards `answer` is.
    """

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.answers: list[Answer] = []
        self.answer: Answer = says(204)
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            thread.start()
            self._threads.append(thread)

    def _serve(self, connection: socket.socket) -> None:
        try:
            buffer = b""
            while True:
                while b"\r\n\r\n" not in buffer:
                    if not (chunk := connection.recv(65536)):
                        return
                    buffer += chunk
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                headers = {
                    name.strip().lower(): value.strip()
                    for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
                }
                length = int(headers.get(b"content-length", b"0"))
                while len(buffer) < length:
                    if not (chunk := connection.recv(65536)):
                        return
                    buffer += chunk
                body, buffer = buffer[:length], buffer[length:]
                key = headers.get(b"webhook-id", b"").decode()
                with self._lock:
                    self.seen.append(key)
                    self.bodies.append(body)
                    answer = self.answers.pop(0) if self.answers else self.answer
                answer(connection, key.encode())
        except OSError:
            pass
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):  # its client has left
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)


def says(status: int, body: bytes = b"", *headers: str, pause: float = 0.0, each: float = 0.0) -> Answer:
    """A whole answer, after a pause; byte by byte with a pause before each when told so."""

    def answer(connection: socket.socket, key: bytes) -> None:
        time.sleep(pause)
        lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", *headers, "", ""]
        connection.sendall("\r\n".join(lines).encode())
        if not each:
            connection.sendall(body)
            return
        for n in range(len(body)):
            time.sleep(each)
            connection.sendall(body[n : n + 1])

    return answer


def hangs_up(*, after: bytes = b"", reset: bool = False) -> Answer:
    """Accepts, says part of an answer or nothing, and closes the connection, or resets it."""

    def answer(connection: socket.socket, key: bytes) -> None:
        connection.sendall(after)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        raise OSError("hung up")

    return answer


@pytest.fixture
def edge() -> Iterator[Edge]:
    found = Edge()
    yield found
    found.close()


@pytest.fixture(name="says")
def answer_maker() -> Callable[..., Answer]:
    return says


@pytest.fixture(name="hangs_up")
def hang_up_maker() -> Callable[..., Answer]:
    return hangs_up


@pytest.fixture(params=["sqlite", "postgres"])
def ledger_at(request: pytest.FixtureRequest, tmp_path: Path) -> str | Path:
    """Where a new ledger is kept, in either of its databases."""
    return request.getfixturevalue("postgres") if request.param == "postgres" else tmp_path / "ledger.sqlite"
