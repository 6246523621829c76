"""A real server in a process of its own, on a port of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

import engage
from engage.server.app import create_app

KEY = "write-key-of-the-tests"
SECRET = "a secret of the tests, thirty-two bytes or more"


class Server:
    """``engage serve`` of one workspace, to be started, killed and started again."""

    key = KEY

    def __init__(self, workspace: engage.Workspace, **environment: str) -> None:
        self.workspace = workspace
        self._environment = os.environ | {"ENGAGE_WRITE_KEYS": KEY, "ENGAGE_SECRET_KEY": SECRET} | environment
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Server:
        command = [sys.executable, "-m", "engage", "-w", str(self.workspace.root), "serve", "--port", str(self.port)]
        folder = Path(engage.__file__).parents[1]
        self.process = subprocess.Popen(command, env=self._environment, cwd=folder, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(self.url + "/health").raise_for_status()
                return self
            except httpx.HTTPError:
                assert self.process.poll() is None, "the server ended by itself"
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.1)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)


@pytest.fixture
def server(workspace: engage.Workspace) -> Iterator[Server]:
    running = Server(workspace).start()
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def client(workspace: engage.Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """A client of a server in a thread of this process, with its write key."""
    monkeypatch.setenv("ENGAGE_WRITE_KEYS", KEY)
    monkeypatch.setenv("ENGAGE_SECRET_KEY", SECRET)
    app = create_app(workspace, fold_every=0.05)
    http = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", ws="none"))
    thread = threading.Thread(target=http.run)
    thread.start()
    try:
        while not http.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        port = http.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", auth=(KEY, "")) as client:
            yield client
    finally:
        http.should_exit = True
        thread.join(30)


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], float]:
    """Wait until something is so; returns the seconds it took."""

    def wait(so: Callable[[], bool], seconds: float = 20) -> float:
        began = time.monotonic()
        while not so():
            assert time.monotonic() - began < seconds, "it did not come about"
            time.sleep(0.05)
        return time.monotonic() - began

    return wait
