"""The worker, as a process that is stopped, killed and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import engage
from engage.errors import ConfigurationError, PlanError
from engage.worker import Duty, work

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(engage.__file__).parent.parent)}


class Endpoint:
    """A real endpoint that logs the key of every webhook it takes."""

    def __init__(self) -> None:
        self.accepted: list[str] = []
        self.wait = 0.0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                outer.accepted.append(self.headers["webhook-id"])
                time.sleep(outer.wait)
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a worker that was killed hangs up

        self.server = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    found = Endpoint()
    yield found
    found.server.shutdown()
    found.thread.join()
    found.server.server_close()


@pytest.fixture
def ready(workspace: engage.Workspace, endpoint: Endpoint) -> engage.Workspace:
    """A workspace whose webhooks go to the endpoint."""
    file = workspace.root / "pyproject.toml"
    url = f"http://127.0.0.1:{endpoint.server.server_port}/"
    file.write_text(
        file.read_text() + f'\n[tool.engage.channels.webhook]\nprovider = "webhook"\nurl = "{url}"\n'
        "allow_private = true\n[tool.engage.delivery]\nbackoff_base = 0.01\nconcurrency = 4\n"
    )
    return engage.Workspace.open(workspace.root)


def launched(workspace: engage.Workspace, people: int) -> None:
    earlier = datetime.now(UTC) - timedelta(days=1)
    workspace.land_profiles([{"user_id": f"u{i}", "email": f"u{i}@example.com"} for i in range(people)], now=earlier)
    workspace.create_campaign("news", {"title": "News", "channel": "webhook", "everyone": True, "content": {}})
    workspace.campaign("news").launch()


@contextmanager
def worker(workspace: engage.Workspace) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "engage", "-w", str(workspace.root), "worker"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=ENVIRONMENT) as process:
        try:
            yield process
        finally:
            process.kill()


def until(true: Callable[[], object], seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_killed_at_work_the_next_worker_finishes_and_stops_cleanly(ready: engage.Workspace, endpoint: Endpoint) -> None:
    launched(ready, 400)
    endpoint.wait = 0.01
    for wanted in (60, 200):
        with worker(ready) as process:
            until(lambda: len(endpoint.accepted) >= wanted)  # noqa: B023
            process.send_signal(signal.SIGKILL)
    with worker(ready) as process:
        until(lambda: len(set(endpoint.accepted)) == 400)
        until(lambda: ready.run("news-once").state == "completed")
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=20)
        assert process.returncode == 0
    repeats = [key for key, n in Counter(endpoint.accepted).items() if n > 1]
    assert len(repeats) <= 2 * 3 * 4, "only what was under way, next or just answered came again, with its key"
    assert ready.run("news-once").counts() == {"sent": 400}
    lines = [json.loads(line) for line in told.splitlines()]
    assert [line["event"] for line in lines][0 :: len(lines) - 1] == ["worker_started", "worker_stopped"]
    assert any(line["event"] == "sent" and line["state"] == "completed" for line in lines)
    assert b"example.com" not in told


def test_told_to_stop_at_work_it_leaves_nothing_in_flight(ready: engage.Workspace, endpoint: Endpoint) -> None:
    launched(ready, 400)
    endpoint.wait = 0.02
    with worker(ready) as process:
        until(lambda: len(endpoint.accepted) >= 40)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        assert process.returncode == 0
    counts = ready.run("news-once").counts()
    assert counts["sent"] == len(endpoint.accepted) == len(set(endpoint.accepted)) < 400
    assert counts["sent"] + counts["pending"] == 400
    landed = ready.sql("select count(*) from notifications where event_name = 'Notification Sent'").item()
    assert landed == counts["sent"]


def test_one_worker_leads_a_workspace(ready: engage.Workspace) -> None:
    entered, stop = threading.Event(), threading.Event()

    def wait(workspace: engage.Workspace) -> list[str]:
        entered.set()
        return []

    thread = threading.Thread(target=work, args=(ready,), kwargs={"duties": [Duty("wait", 0.1, wait)], "stop": stop})
    thread.start()
    try:
        assert entered.wait(10)
        with pytest.raises(
            ConfigurationError, match=rf"a worker runs already \(process {os.getpid()}\); stop it first"
        ):
            work(engage.Workspace.open(ready.root), duties=[], once=True)
    finally:
        stop.set()
        thread.join()
    work(engage.Workspace.open(ready.root), duties=[], once=True)


def test_a_duty_that_fails_is_left_alone_longer_and_the_others_go_on(ready: engage.Workspace) -> None:
    done, stop = Counter[str](), threading.Event()

    def fails(workspace: engage.Workspace) -> list[str]:
        done["fails"] += 1
        raise PlanError("no") if done["fails"] % 2 else RuntimeError("a fault")

    def works(workspace: engage.Workspace) -> list[str]:
        done["works"] += 1
        if done["works"] == 12:
            stop.set()
        return []

    work(ready, duties=[Duty("fails", 0.05, fails), Duty("works", 0.05, works)], stop=stop)
    assert done["works"] == 12
    assert 2 <= done["fails"] <= 6
    assert ready.stop is None


def test_a_run_cut_short_by_hand_is_finished_by_the_worker(ready: engage.Workspace, endpoint: Endpoint) -> None:
    launched(ready, 30)
    ready.campaign("news").pause()
    ready.campaign("news").plan()
    work(ready, once=True)
    assert endpoint.accepted == []
    ready.campaign("news").launch()
    work(ready, once=True)
    assert ready.run("news-once").counts() == {"sent": 30}
    assert ready.deliver_due() == [], "nothing is left"


def test_a_campaign_that_goes_wrong_rests_while_others_go_on(ready: engage.Workspace, endpoint: Endpoint) -> None:
    launched(ready, 5)
    ready.create_campaign("mail", {"title": "Mail", "channel": "email", "everyone": True,
                                   "content": {"subject": "Hi", "text": "Hello"}})  # fmt: skip
    ready.campaign("mail").launch()
    file = ready.root / "pyproject.toml"
    file.write_text(
        file.read_text().replace("[tool.engage.delivery]\n", "[tool.engage.delivery]\nunreachable = 0.2\nbreaker = 1\n")
        + '\n[tool.engage.channels.email]\nprovider = "smtp"\nhost = "127.0.0.1"\nport = 1\ntls = "none"\n'
    )
    space = engage.Workspace.open(ready.root)
    ticks: list[list[str]] = []
    stop = threading.Event()

    def tick(workspace: engage.Workspace) -> list[str]:
        done = workspace.tick_campaigns()
        ticks.append([one.error for one in done])
        if len(ticks) == 3:
            stop.set()
        return []

    work(space, duties=[Duty("campaigns", 0.05, tick)], stop=stop)
    assert space.run("news-once").counts() == {"sent": 5}
    assert space.run("mail-once").counts() == {"pending": 5}
    assert sum("cannot be reached" in error for errors in ticks for error in errors) == 1, "then it rested"


def test_on_postgres_the_next_worker_leads_when_the_first_is_killed(
    ready: engage.Workspace, endpoint: Endpoint, postgres: str
) -> None:
    file = ready.root / "pyproject.toml"
    file.write_text(file.read_text().replace("[tool.engage]\n", f'[tool.engage]\nledger = "{postgres}"\n', 1))
    space = engage.Workspace.open(ready.root)
    endpoint.wait = 0.01
    with worker(space) as first:
        assert first.stderr is not None
        assert json.loads(first.stderr.readline())["leads"] is True
        with worker(space) as second:
            assert second.stderr is not None
            assert json.loads(second.stderr.readline())["leads"] is False
            launched(space, 300)
            until(lambda: len(endpoint.accepted) >= 50)
            first.send_signal(signal.SIGKILL)
            until(lambda: space.run("news-once").state == "completed")
            space.create_campaign("more", {"title": "More", "channel": "webhook", "everyone": True, "content": {}})
            space.campaign("more").launch()
            until(lambda: {"more-once": "completed"}.items() <= {r.run_id: r.state for r in space.runs()}.items())
            second.send_signal(signal.SIGTERM)
            second.communicate(timeout=20)
            assert second.returncode == 0
    assert space.run("news-once").counts() == {"sent": 300}
    assert len(set(endpoint.accepted)) == 600
    assert len(endpoint.accepted) <= 600 + 3 * 4
