"""Every notebook, light, dark and narrow: nothing that keeps people out (axe), nothing wider than the window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page

from engage.pages import PAGES
from tests.browser.serving import settled

# marimo's own frame around a notebook, which a notebook cannot change: the button that folds the navigation, the one
# that opens its menu, and the outline at the right have no names for screen readers (marimo 0.25).
FRAME = "[class*='top-[12px]'] button, [class*='top-3'] button, [data-testid='notebook-actions-dropdown']"

LAST = {
    "home": "Where to go",
    "audiences": "The first two hundred, by id",
    "people": "Pick somebody above",
    "campaigns": "Send a test",
    "journeys": "No journeys yet",
    "clever_campaigns": "Add as a draft",
    "facebook_audiences": "Audience at Facebook",
    "reports": "Who came back within 30 days",
    "retention": "Sent Onboarding, by the",
    "cohorts": "Every cell with its people",
    "funnels": "Keep them as a segment",
    "trends": "Uninstalled after a message",
    "message_settings": "Own caps",
    "access": "only ever appended to",
}
"""What stands at the end of each, when all of it has been worked out."""

NARROW = """() => [...document.querySelectorAll('#App *')].filter(one => {
    if (one.getBoundingClientRect().right <= window.innerWidth + 1) return false;
    for (let up = one; up && up.id !== 'App'; up = up.parentElement || up.getRootNode().host)
        if (['auto', 'scroll', 'hidden'].includes(getComputedStyle(up).overflowX)) return false;
    return true;
}).map(one => one.tagName + ' ' + one.className + ' ' + one.textContent.slice(0, 60))"""


def grave(page: Page, rules: tuple[str, ...] = ()) -> list[tuple[str, Any, str]]:
    """What axe calls serious or critical, outside marimo's frame; by all its rules, or some."""
    options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
    found = Axe().run(page, context={"exclude": [FRAME]}, options=options).response["violations"]
    return [
        (rule["id"], node["target"], node["html"][:300])
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def test_every_notebook_is_looked_at() -> None:
    assert list(LAST) == [one.name for one in PAGES]


@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[BrowserContext]:
    """One window for all of them: what marimo loads once is loaded once."""
    context = browser.new_context(viewport={"width": 1280, "height": 1600}, color_scheme="light")
    context.set_default_timeout(90_000)
    try:
        yield context
    finally:
        context.close()


@pytest.fixture
def page(window: BrowserContext) -> Iterator[Page]:
    """A tab of the window."""
    opened = window.new_page()
    try:
        yield opened
    finally:
        opened.close()


@pytest.mark.parametrize("name", LAST)
def test_a_notebook_is_for_everyone(name: str, notebooks: str, page: Page, screen: Callable[[str], None]) -> None:
    failed: list[str] = []
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.goto(f"{notebooks}/?file={name}.py")
    page.get_by_text(LAST[name]).first.wait_for()
    settled(page)
    assert not page.get_by_text("An internal error occurred").count()
    screen(f"{name}-light")
    assert grave(page) == []
    page.emulate_media(color_scheme="dark")
    page.locator("body.dark").wait_for()
    settled(page)
    screen(f"{name}-dark")
    assert grave(page, ("color-contrast", "link-in-text-block")) == []
    page.set_viewport_size({"width": 390, "height": 1600})
    page.wait_for_function("() => window.innerWidth === 390")
    settled(page)
    screen(f"{name}-narrow")
    assert page.evaluate(NARROW) == []
    assert failed == []
