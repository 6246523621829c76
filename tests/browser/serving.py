"""Notebooks as somebody's browser sees them: served on a free port, looked at in a real Chromium."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

import engage
from tests.ports import free_port

_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@contextmanager
def served(workspace: engage.Workspace) -> Iterator[str]:
    """The address of a workspace's notebooks, served as apps."""
    port = str(free_port())
    folder = str(workspace.settings.notebooks)
    command = [sys.executable, "-m", "marimo", "-q", "run", folder, "--headless", "--no-token", "--port", port]
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(command, cwd=workspace.root, stdout=quiet, stderr=quiet)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                if httpx.get(f"{address}/health").is_success:
                    break
            except httpx.TransportError:
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(20)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A real Chromium."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=_FLAGS)
        try:
            yield started
        finally:
            started.close()


def settled(page: Page) -> None:
    """Wait until a page has drawn its charts and stopped changing."""
    page.wait_for_function(
        """() => {
            // What lies in a tab that is not shown is not drawn.
            const charts = [...document.querySelectorAll('marimo-vega')].map(one => one.shadowRoot);
            const drawn = charts.every(one => !one.childElementCount || one.querySelector('svg'));
            const now = document.body.innerHTML.length;
            const same = window.engageSeen === now;
            window.engageSeen = now;
            return drawn && same;
        }""",
        polling=400,
    )
