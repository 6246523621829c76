"""How messages look: whatever the page's own styles say, dark where the page is, and on the narrowest phone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.onsite.conftest import Shop

BUY = [{"label": "To the till", "url": "/till", "id": "till"}, {"label": "Not now, thank you", "id": "later"}]
_STYLED = """(rules) => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(rules);
  document.adoptedStyleSheets = [sheet];
}"""
_COLOURS = "(one) => [getComputedStyle(one).color, getComputedStyle(one).backgroundColor]"
_BUTTON = "(one) => getComputedStyle(one).backgroundColor"
_PANEL = """() => {
  const panel = document.querySelector('engage-inbox').shadowRoot.querySelector('.panel');
  const {left, right} = panel.getBoundingClientRect();
  return [getComputedStyle(panel).backgroundColor, left, right];
}"""
LIGHT = ["rgb(23, 32, 42)", "rgb(255, 255, 255)"]
DARK = ["rgb(238, 242, 245)", "rgb(29, 36, 44)"]


def test_the_pages_styles_stay_outside(shop: Shop) -> None:
    shop.send("plain", "web_popup", title="Plain", actions=BUY)
    shop.visit()
    rules = (
        ":root{--text:red;--back:red;--accent:red;--e-text:red;--e-back:red;--e-accent:red;--on:red}"
        "*{font-size:40px!important;letter-spacing:9px} div{color:red!important;opacity:0!important;"
        "display:none!important;transform:scale(3)!important} button,dialog,h2{background:red!important}"
    )
    shop.page.evaluate(_STYLED, rules)
    box = shop.shown("Plain")
    assert box.evaluate(_COLOURS) == LIGHT
    assert box.evaluate("(one) => getComputedStyle(one.querySelector('.body')).fontSize") == "16px"
    assert box.get_by_role("button", name="To the till").evaluate(_BUTTON) == "rgb(11, 95, 165)"
    assert shop.page.evaluate("getComputedStyle(document.querySelector('[data-engage]')).opacity") == "1"


@pytest.mark.parametrize(
    ("scheme", "declared", "style", "colours"),
    [
        ("dark", "light dark", {}, DARK),
        ("light", "light dark", {}, LIGHT),
        ("dark", "", {}, LIGHT),  # a page that does not say it can be dark is not, whatever the system is
        ("dark", "light dark", {"background": "#fff8e1"}, [LIGHT[0], "rgb(255, 248, 225)"]),
    ],
)
def test_a_message_is_dark_where_the_page_is(
    open_shop: Callable[..., Shop], scheme: Any, declared: str, style: dict[str, str], colours: list[str]
) -> None:
    shop = open_shop(color_scheme=scheme, viewport={"width": 320, "height": 600})
    shop.send("night", "web_popup", title="Night", actions=BUY, style=style)
    shop.send("letter", "app_inbox", title="A letter", actions=BUY)
    shop.visit()
    shop.page.evaluate("(declared) => { document.documentElement.style.colorScheme = declared }", declared)
    box = shop.shown("Night")
    box.evaluate("(one) => Promise.all(one.getAnimations().map((each) => each.finished))")
    assert box.evaluate(_COLOURS) == colours
    edges = box.evaluate("(one) => [one.getBoundingClientRect().left, one.getBoundingClientRect().right]")
    assert edges[0] >= 0
    assert edges[1] <= 320
    assert box.evaluate("(one) => one.scrollWidth <= one.clientWidth"), "nothing is cut off"
    barriers = Axe().run(shop.page, "[data-engage]", {"runOnly": ["color-contrast", "button-name"]})
    assert barriers.violations_count == 0, barriers.generate_report()
    assert len(barriers.response["passes"]) == 2, "it was looked at"
    shop.page.keyboard.press("Escape")
    shop.page.get_by_role("button", name="Inbox, 1 unread").click()
    shop.page.get_by_role("button", name="A letter").click()
    shop.page.locator("engage-inbox .panel").get_by_text("Hello").wait_for()
    background, *edges = shop.page.evaluate(_PANEL)
    assert background == (DARK if scheme == "dark" and declared else LIGHT)[1]
    assert edges[0] >= 0
    assert edges[1] <= 320
    barriers = Axe().run(shop.page, "engage-inbox", {"runOnly": ["color-contrast", "button-name"]})
    assert barriers.violations_count == 0, barriers.generate_report()
    shop.screen(f"looks-{scheme}-{'dark' if declared else 'plain'}-{len(style)}")
