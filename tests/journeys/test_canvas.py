"""The canvas in a real browser: drawn by mouse and by keyboard, saved, read back."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import engage

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium")


@pytest.fixture
def served(workspace: engage.Workspace) -> Iterator[str]:
    """The journeys notebook of a workspace with one journey."""
    workspace.create_from_playbook("win_back_uninstalled", "win_back")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    notebook = str(workspace.settings.notebooks / "journeys.py")
    command = [sys.executable, "-m", "marimo", "run", notebook, "--headless", "--no-token", "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(Path(engage.__file__).parents[1])}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        url = f"http://127.0.0.1:{port}"
        for _ in range(200):
            try:
                urllib.request.urlopen(f"{url}/health").close()
                break
            except OSError:
                time.sleep(0.1)
        yield url
        server.terminate()


@pytest.mark.timeout(120)
def test_drawn_by_mouse_and_keyboard_and_saved(served: str, workspace: engage.Workspace) -> None:
    api = pytest.importorskip("playwright.sync_api")
    file = workspace.settings.journeys / "win_back.toml"
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS.split())
        page = browser.new_page(viewport={"width": 1400, "height": 1050})
        page.goto(served)
        node = page.locator(".journey .node")
        api.expect(node).to_have_count(11, timeout=30_000)
        # A wait is added after the picked node by keyboard, then connected onward by mouse.
        page.locator('.node[data-node="offer"]').focus()
        page.get_by_role("button", name="delete").click()
        api.expect(node).to_have_count(10)
        page.locator('.node[data-node="again"]').focus()
        page.get_by_role("button", name="add wait").press("Enter")
        api.expect(page.locator('.node[data-node="wait1"]')).to_be_visible()
        dot = page.locator('.node[data-node="wait1"] u[data-port="next"]')
        target = page.locator('.node[data-node="done"]')
        dot.scroll_into_view_if_needed()
        dot.hover()
        page.mouse.down()
        target.hover(force=True)
        page.mouse.up()
        text = page.get_by_label("What wait1 does")
        api.expect(text).to_have_value('{\n  "kind": "wait",\n  "for": "1 day",\n  "to": "done"\n}')
        # Undo and redo by keyboard.
        page.locator('.node[data-node="wait1"]').focus()
        page.keyboard.press("Control+z")
        api.expect(page.locator(".journey svg path")).to_have_count(13)
        page.keyboard.press("Control+y")
        api.expect(page.locator(".journey svg path")).to_have_count(14)
        if picture := os.environ.get("JOURNEY_PICTURE"):
            page.screenshot(path=picture)
        api.expect(page.get_by_text("No faults.")).to_be_visible()
        page.get_by_role("button", name="Save").click()
        api.expect(page.get_by_text("Saved data/journeys/win_back.toml")).to_be_visible()
        first = file.read_text()
        page.reload()
        api.expect(page.locator('.node[data-node="wait1"]')).to_be_visible(timeout=30_000)
        browser.close()
    nodes = workspace.journey("win_back").definition.nodes
    assert nodes["wait1"].to == {"next": "done"}
    assert nodes["again"].to["email"] == "wait1"
    assert "offer" not in nodes
    workspace.save_journey("win_back", workspace.journey("win_back").values())
    assert file.read_text() == first
