"""Every template, as the composer shows it: valid, seen in a real browser, without barriers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from jsonschema import Draft202012Validator
from playwright.sync_api import Browser

import engage.channels.in_app
from engage.channels.in_app.message import mailbox_message
from engage.channels.in_app.preview import DEVICES, preview_document, templates
from engage.channels.message import Message
from engage.content.renderer import Renderer
from engage.errors import UnsupportedContentError
from engage.vocabulary import PULLED_CHANNELS
from tests.onsite.conftest import _SCREENS

_OF_A_SITE = ("region", "landmark-one-main", "page-has-heading-one")  # what a page has, and a frame need not
NOW = datetime(2026, 3, 1, tzinfo=UTC)
SCHEMA = json.loads((Path(engage.channels.in_app.__file__).parent / "message.schema.json").read_text())
ALL = [(channel, name) for channel in sorted(PULLED_CHANNELS) for name in templates(channel)]


def content(channel: str, name: str) -> dict[str, object]:
    given = {key: value for key, value in templates(channel)[name].items() if key != "about"}
    return dict(Renderer(channel, given).render({"user_id": "ada", "profile": {"name": "Ada"}}))


@pytest.mark.parametrize(("channel", "name"), ALL)
def test_a_template_makes_a_valid_message(channel: str, name: str) -> None:
    message = mailbox_message(Message("m1", "ada", channel, "", content(channel, name)), now=NOW)
    Draft202012Validator(SCHEMA).validate(message)
    assert templates(channel)[name]["about"]


def test_each_layout_is_shown_and_has_no_barrier(browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 900, "height": 640})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda told: errors.append(told.text) if told.type == "error" else None)
    axe = Axe()
    _SCREENS.mkdir(exist_ok=True)
    for name, channel in {name: channel for channel, name in ALL}.items():
        device = "phone" if channel in ("in_app", "app_inbox") else "browser"
        page.set_content(preview_document(channel, content(channel, name), device=device, now=NOW))
        inner = page.frame_locator("iframe")
        title = str(content(channel, name)["title"])
        if channel == "app_inbox":
            inner.get_by_role("button", name=title).click()
            inner.get_by_text("Delete").wait_for()
        else:
            box = inner.get_by_role("dialog", name=title)
            box.evaluate("(one) => Promise.all(one.getAnimations().map((each) => each.finished))")
        page.screenshot(path=_SCREENS / f"preview-{channel}-{name}.png")
        found = axe.run(page, options={"rules": {rule: {"enabled": False} for rule in _OF_A_SITE}})
        assert found.violations_count == 0, (channel, name, found.generate_report())
    assert errors == []
    page.close()


def test_a_preview_tells_what_is_wrong() -> None:
    with pytest.raises(UnsupportedContentError, match="device"):
        preview_document("in_app", {"body": "x"}, device="watch", now=NOW)
    with pytest.raises(UnsupportedContentError, match="link"):
        preview_document("in_app", {"body": "x", "deep_link": "javascript:x"}, device=DEVICES[0], now=NOW)


def test_what_a_message_says_cannot_leave_its_place() -> None:
    said = "</script><script>alert(1)</script> MESSAGE SCRIPT"
    shown = preview_document("in_app", {"title": said, "body": "x"}, device="phone", now=NOW)
    assert "<script>alert" not in shown
    assert "&lt;script&gt;alert" not in shown
