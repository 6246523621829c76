from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

import engage
from tests.browser.serving import chromium, served

_SCREENS = Path(__file__).parents[2] / ".screens"


@pytest.fixture(scope="session")
def demo(demo_made: Path, tmp_path_factory: pytest.TempPathFactory) -> engage.Workspace:
    """A workspace after `engage demo`, where more than a thousand messages are not sent without the plan's id."""
    root = Path(shutil.copytree(demo_made, tmp_path_factory.mktemp("demo") / "workspace"))
    file = root / "pyproject.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("[tool.engage]\n", "[tool.engage]\napproval_above = 1000\n", 1), encoding="utf-8")
    return engage.Workspace.open(root)


@pytest.fixture(scope="session")
def notebooks(demo: engage.Workspace) -> Iterator[str]:
    """The address of the demo's notebooks, served as apps."""
    with served(demo) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium."""
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of it, of nobody who was there before; what a failed test left on it is kept in .screens/."""
    context = browser.new_context(viewport={"width": 1280, "height": 1600}, color_scheme="light")
    context.set_default_timeout(90_000)
    before = request.session.testsfailed
    try:
        opened = context.new_page()
        yield opened
        if request.session.testsfailed > before:
            _SCREENS.mkdir(exist_ok=True)
            opened.screenshot(path=_SCREENS / f"left_{request.node.name}.png", full_page=True)
    finally:
        context.close()


@pytest.fixture
def screen(page: Page) -> Callable[[str], None]:
    """Keeps a picture of the page in the git-ignored folder .screens/."""

    def keep(name: str) -> None:
        _SCREENS.mkdir(exist_ok=True)
        page.screenshot(path=_SCREENS / f"{name}.png", full_page=True)

    return keep
