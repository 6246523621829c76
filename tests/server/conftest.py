"""A real server in a process of its own, on a port of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

import engage
from engage.server.app import create_app
from tests.ports import free_port

KEY = "write-key-of-the-tests"
SECRET = "a secret of the tests, thirty-two bytes or more"
ACCOUNT, PASSCODE = "TEST-ACCOUNT", "passcode-of-the-tests"


class Server:
    """``engage serve`` of one workspace, to be started, killed and started again."""

    key = KEY

    def __init__(self, workspace: engage.Workspace, **environment: str) -> None:
        self.workspace = workspace
        self._environment = os.environ | {"ENGAGE_WRITE_KEYS": KEY, "ENGAGE_SECRET_KEY": SECRET}
        self._environment |= {"ENGAGE_CLEVERTAP_PASSCODES": f"{ACCOUNT}:{PASSCODE}"} | environment
        self.port: int = free_port()
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
    monkeypatch.setenv("ENGAGE_CLEVERTAP_PASSCODES", f"other:other-passcode, {ACCOUNT}:{PASSCODE}")
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


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Runs a script of ``tests/clients`` beside the clients it needs; gives what it printed as JSON.

    Without Node the tests are skipped, but never in CI.
    """
    if not (shutil.which("node") and shutil.which("npm")):
        if os.environ.get("CI"):
            pytest.fail("the tests of other people's clients need Node: apt-get install nodejs npm")
        pytest.skip("there is no Node here")
    folder = tmp_path_factory.mktemp("clients") / "clients"
    shutil.copytree(Path(__file__).parents[1] / "clients", folder, ignore=shutil.ignore_patterns("node_modules"))
    install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--prefer-offline"]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr

    def run(script: str, *arguments: str, given: Any = None) -> Any:
        command = ["node", script, *arguments]
        done = subprocess.run(command, cwd=folder, input=json.dumps(given), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout or "null")

    return run


@pytest.fixture
def landed(workspace: engage.Workspace, eventually: Any) -> Callable[..., list[dict[str, Any]]]:
    """Ask the lake until there are enough rows."""

    def rows(sql: str, count: int = 1) -> list[dict[str, Any]]:
        eventually(lambda: workspace.sql(sql).height >= count)
        return workspace.sql(sql).to_dicts()

    return rows


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
