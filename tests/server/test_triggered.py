"""An event comes in over HTTP, and the message it triggers goes out: server and worker as processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

import engage
from engage.lake.collected import collected_until
from engage.server.journal import Journal
from tests.server.conftest import KEY, SECRET, Server
from tests.server.onsite_client import AppClient


@pytest.fixture
def shop(workspace: engage.Workspace, monkeypatch: pytest.MonkeyPatch) -> engage.Workspace:
    """A workspace with a pop-up for whoever fills a cart, launched."""
    monkeypatch.setenv("ENGAGE_SECRET_KEY", SECRET)
    file = workspace.root / "pyproject.toml"
    file.write_text(file.read_text() + '\n[tool.engage.channels.web_popup]\nprovider = "mailbox"\n')
    opened = engage.Workspace.open(workspace.root)
    people = [{"user_id": f"u{n}"} for n in range(20)]
    opened.land_profiles(people, now=datetime.now(UTC) - timedelta(days=1))
    content = {"title": "{{ event.properties.item }}", "body": "Still there"}
    values = {"channel": "web_popup", "everyone": True, "content": content, "schedule": {"event": "Cart Filled"}}
    opened.create_campaign("cart", values)
    opened.campaign("cart").launch()
    return opened


@pytest.fixture
def running(shop: engage.Workspace) -> Iterator[Server]:
    server = Server(shop).start()
    folder = Path(engage.__file__).parents[1]
    command = [sys.executable, "-m", "engage", "-w", str(shop.root), "worker"]
    worker = subprocess.Popen(
        command, cwd=folder, stderr=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": str(folder)}
    )
    try:
        yield server
    finally:
        worker.terminate()
        worker.wait(30)
        server.stop()


def fill(server: Server, user: str, item: str) -> None:
    event = {"userId": user, "event": "Cart Filled", "properties": {"item": item}, "messageId": f"{user}-{item}"}
    httpx.post(server.url + "/v1/track", json=event, auth=(KEY, "")).raise_for_status()


def test_a_message_follows_its_event_and_each_event_has_one(running: Server, shop: engage.Workspace) -> None:
    clients = [AppClient(running.url, shop.user_token(f"u{n}")) for n in range(20)]
    for n in range(20):  # over several stretches: none may fall between two
        fill(running, f"u{n}", f"hat {n}")
        time.sleep(0.2)
    deadline = time.monotonic() + 60
    for client in clients:
        client.fetch(channels="web_popup")
        while not client.messages and time.monotonic() < deadline:
            client.fetch(wait=5, channels="web_popup")
    titles = [[one["title"] for one in client.messages.values()] for client in clients]
    assert titles == [[f"hat {n}"] for n in range(20)]
    fill(running, "u3", "coat")
    while len(clients[3].messages) < 2 and time.monotonic() < deadline:
        clients[3].fetch(wait=5, channels="web_popup")
    assert [one["title"] for one in clients[3].messages.values()] == ["hat 3", "coat"]
    for client in clients:
        client.close()


def test_what_has_not_landed_is_waited_for(shop: engage.Workspace) -> None:
    """An event that was received before a tick and lands after it has its message."""
    assert collected_until(shop.settings) is None, "without a server nothing is waited for"
    journal = Journal(shop.settings.data / "journal")
    try:
        with journal.receiving() as received:
            journal.landed(journal.received())
            assert collected_until(shop.settings) == received
            time.sleep(4.5)  # the stretches of triggers are two seconds long
            assert shop.tick_campaigns() == []
            row: dict[str, Any] = {"user_id": "u1", "event_name": "Cart Filled", "event_time": received}
            shop.land_events([row | {"received_at": received, "properties": {"item": "hat"}}])
        journal.landed(journal.received())
        [done] = shop.tick_triggers()
        assert done.summary is not None
        assert done.summary.sent == 1
        assert shop.tick_triggers() == []
    finally:
        journal.close()
