"""Mail, which knows no key: killed at any moment, nobody gets it twice, and who may have got it is in doubt."""

from __future__ import annotations

import email
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

import engage

SEND = "import sys, engage; print('ready', flush=True); engage.Workspace.open(sys.argv[1]).campaign('news').send()"


class Taken:
    """A real mail server's handler that notes every message it took before it says so."""

    def __init__(self) -> None:
        self.people: list[str] = []
        self.some = threading.Condition()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        with self.some:
            self.people.append(email.message_from_bytes(envelope.content)["To"])
            self.some.notify_all()
        return "250 taken"


@pytest.fixture
def taken() -> Iterator[tuple[Taken, int]]:
    handler = Taken()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    yield handler, port
    controller.stop()


def test_mail_is_never_sent_twice(workspace: engage.Workspace, taken: tuple[Taken, int]) -> None:
    handler, port = taken
    file = workspace.root / "pyproject.toml"
    file.write_text(
        file.read_text()
        + f'\n[tool.engage.channels.email]\nprovider = "smtp"\nhost = "127.0.0.1"\nport = {port}\ntls = "none"\n'
    )
    space = engage.Workspace.open(workspace.root)
    earlier = datetime.now(UTC) - timedelta(days=1)
    space.land_profiles([{"user_id": f"u{i}", "email": f"u{i}@example.com"} for i in range(400)], now=earlier)
    content = {"subject": "Hi", "text": "Hello {{ user_id }}"}
    space.create_campaign("news", {"title": "News", "channel": "email", "everyone": True, "content": content})
    environment = {**os.environ, "PYTHONPATH": str(Path(engage.__file__).parent.parent)}
    chance = random.Random(3)
    for _ in range(4):
        command = [sys.executable, "-c", SEND, str(space.root)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
            assert process.stdout is not None
            process.stdout.readline()
            with handler.some:
                wanted = len(handler.people) + chance.randrange(20, 60)
                handler.some.wait_for(lambda: len(handler.people) >= wanted, timeout=30)  # noqa: B023
            time.sleep(chance.uniform(0, 0.02))
            process.send_signal(signal.SIGKILL)
    summary = space.campaign("news").send()
    assert summary.sent + summary.in_doubt == 400
    assert summary.in_doubt <= 4 * 1, "mail has one connection, and one message under way"
    times = Counter(handler.people)
    assert max(times.values()) == 1
    outcomes = dict(space.sql("select user_id || '@example.com', outcome from outcomes").rows())
    assert {person for person, outcome in outcomes.items() if outcome == "sent"} <= set(times)
    assert all(outcomes[person] in ("sent", "in_doubt") for person in times)
    assert space.resolve_run("news-once", "sent") == summary.in_doubt
    assert space.run("news-once").counts() == {"sent": 400}
