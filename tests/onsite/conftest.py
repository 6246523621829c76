from __future__ import annotations

import base64
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

import engage
from tests.onsite.site import Site
from tests.server.conftest import KEY, SECRET, Server

_FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync "
    "--disable-features=LocalNetworkAccessChecks"  # a page "from the cache" may ask a server on this machine
).split()
_SCREENS = Path(__file__).parents[2] / ".screens"
_CHANNELS = ("in_app", "app_inbox", "web_popup", "web_exit_intent")
_people = itertools.count(1)


class Shop:
    """A page of the shop, open in a real browser, and the workspace behind the server it talks to."""

    def __init__(self, workspace: engage.Workspace, site: Site, server: Server, context: BrowserContext) -> None:
        self.workspace, self.site, self.server, self.context = workspace, site, server, context
        self.user = f"ada{next(_people)}"
        self.page: Page = context.new_page()
        self.page.set_default_timeout(30_000)
        self.violations: list[str] = []
        self.page.on("console", lambda one: self.violations.append(one.text) if "violates" in one.text else None)
        self.page.on("pageerror", lambda error: self.violations.append(str(error)))

    def visit(self, path: str = "/", *, known: bool = True) -> None:
        """Open a page; the person logs in there, unless they stay a visitor."""
        self.page.goto(self.site.url + path)
        if known:
            token = self.workspace.user_token(self.user)
            login = "([user, token]) => engage.identify(user, {}, {token})"
            self.page.evaluate(login, [self.user, token])

    def send(self, name: str, channel: str, **content: Any) -> None:
        """Send a campaign to this one person."""
        campaign = f"{name}-{next(_people)}"
        values = {"title": name, "channel": channel, "sql": f"select '{self.user}' as user_id"}
        self.workspace.create_campaign(campaign, values | {"content": {"body": "<p>Hello</p>"} | content})
        assert self.workspace.campaign(campaign).send().sent == 1

    def shown(self, title: str) -> Any:
        """The message on the page, once it is there."""
        box = self.page.get_by_role("dialog", name=title)
        box.wait_for()
        return box

    def landed(self, count: int) -> list[tuple[str, str]]:
        """What the person did with messages, once so much of it is in the lake."""
        query = (
            "select replace(event_name, 'Notification ', '') as did, campaign_name from notifications "
            "where user_id = $user and event_name <> 'Notification Sent' order by event_time, event_name desc"
        )
        deadline = time.monotonic() + 30
        while (found := self.workspace.sql(query, user=self.user)).height < count:
            assert time.monotonic() < deadline, found
            time.sleep(0.1)
        return list(found.rows())

    def screen(self, name: str) -> None:
        """Keep a picture in the git-ignored folder .screens/."""
        _SCREENS.mkdir(exist_ok=True)
        self.page.screenshot(path=_SCREENS / f"onsite-{name}.png")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    workspace = engage.Workspace.create(tmp_path_factory.mktemp("onsite") / "workspace")
    file = workspace.root / "pyproject.toml"
    tables = "".join(f'\n[tool.engage.channels.{name}]\nprovider = "mailbox"\n' for name in _CHANNELS)
    tables += '\n[tool.engage.channels.web_push]\nprovider = "web_push"\nsubject = "mailto:ada@example.com"\n'
    file.write_text(file.read_text() + tables)
    number = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
    key = base64.urlsafe_b64encode(number.to_bytes(32, "big")).decode()
    running = Server(engage.Workspace.open(workspace.root), VAPID_PRIVATE_KEY=key).start()
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def site(server: Server) -> Iterator[Site]:
    opened = Site(server.url, KEY)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=_FLAGS)
        try:
            yield opened
        finally:
            opened.close()


@pytest.fixture
def open_shop(
    server: Server, site: Site, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Shop]]:
    """Opens a shop in a browser profile of its own; at the end none may have broken the page's policy."""
    monkeypatch.setenv("ENGAGE_SECRET_KEY", SECRET)
    opened: list[Shop] = []

    def one(**options: Any) -> Shop:
        opened.append(Shop(server.workspace, site, server, browser.new_context(**options)))
        return opened[-1]

    yield one
    for shop in opened:
        shop.context.close()
        assert shop.violations == []


@pytest.fixture
def shop(open_shop: Callable[..., Shop]) -> Shop:
    return open_shop(viewport={"width": 1000, "height": 700})
