from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, sync_playwright

import engage

_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
_SCREENS = Path(__file__).parents[2] / ".screens"


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> engage.Workspace:
    """A workspace after `engage demo`."""
    from engage.cli.demo import run_demo

    workspace = engage.Workspace.create(tmp_path_factory.mktemp("demo") / "workspace")
    run_demo(workspace)
    return workspace


@pytest.fixture(scope="session")
def notebooks(demo: engage.Workspace) -> Iterator[str]:
    """The address of the demo's notebooks, served as apps."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = demo.settings.notebooks
    command = [
        sys.executable,
        "-m",
        "marimo",
        "-q",
        "run",
        str(folder),
        "--headless",
        "--no-token",
        "--port",
        str(port),
    ]
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(command, cwd=demo.root, stdout=quiet, stderr=quiet)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(150):
            try:
                if httpx.get(f"{address}/health").is_success:
                    break
            except httpx.TransportError:
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture
def page() -> Iterator[Page]:
    """A page of a real Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=_FLAGS)
        try:
            opened = browser.new_page(viewport={"width": 1280, "height": 1600})
            opened.set_default_timeout(90_000)
            yield opened
        finally:
            browser.close()


@pytest.fixture
def screen(page: Page) -> Callable[[str], None]:
    """Keeps a picture of the page in the git-ignored folder .screens/."""

    def keep(name: str) -> None:
        _SCREENS.mkdir(exist_ok=True)
        page.screenshot(path=_SCREENS / f"{name}.png", full_page=True)

    return keep
