"""`engage up` as people meet it: the link of the first start, the notebooks behind the door, and who may do what."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

import engage
from engage.access.roles import Role

PASSWORD = "correct horse battery staple"


@dataclass
class Running:
    workspace: engage.Workspace
    url: str
    first_link: str


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`engage up` in a process of its own, on a workspace with a little in it."""
    workspace = engage.Workspace.create(tmp_path_factory.mktemp("up") / "shop")
    now = datetime.now(UTC)
    events = [
        {"user_id": f"u{n % 9}", "event_name": "App Launched", "event_time": now - timedelta(hours=5 * n)}
        for n in range(1, 60)
    ]
    workspace.land_events(events)
    workspace.land_profiles([{"user_id": f"u{n}", "email": f"u{n}@example.com"} for n in range(9)])
    workspace.create_campaign(
        "news", {"title": "News", "channel": "email", "everyone": True, "content": {"subject": "Hi", "text": "Hello"}}
    )
    told = workspace.root / "told"
    command = [sys.executable, "-m", "engage", "-w", str(workspace.root), "up", "--port", "0"]
    keys = {"ENGAGE_WRITE_KEYS": "key-of-the-tests", "ENGAGE_SECRET_KEY": "a secret of the tests, 32 bytes or more"}
    with told.open("wb") as out:
        process = subprocess.Popen(command, env=os.environ | keys, stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + 90
        while not (found := re.search(r"within a day: (http://127\.0\.0\.1:\d+)(/link/\S+)", told.read_text())):
            assert process.poll() is None, told.read_text()
            assert time.monotonic() < deadline, told.read_text()
            time.sleep(0.1)
        yield Running(workspace, found[1], found[1] + found[2])
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, told.read_text()
    finally:
        process.kill()
        process.wait(30)


def choose_password(page: Page, link: str) -> None:
    page.goto(link)
    page.get_by_label(re.compile("^Password")).fill(PASSWORD)
    page.get_by_label("The password again").fill(PASSWORD)
    page.get_by_role("button", name="Set the password").click()
    page.get_by_role("heading", name="Home", exact=True).wait_for()


def faults_of(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['help']}" for one in found if one["impact"] in ("serious", "critical")]


def test_from_the_first_link_to_home_through_the_navigation_and_out(
    running: Running, page: Page, screen: Callable[[str], None]
) -> None:
    refused: list[str] = []
    page.on("console", lambda told: refused.append(told.text) if "Content Security Policy" in told.text else None)
    page.goto(running.url)
    expect(page).to_have_url(re.compile(r"/sign-in\?next="))
    page.goto(running.first_link)
    assert faults_of(page) == []
    screen("access_first_link")
    page.get_by_label("E-mail address").fill("ada@example.com")
    page.get_by_label(re.compile("^Name")).fill("Ada")
    page.get_by_label(re.compile("^Password")).fill(PASSWORD)
    page.get_by_label("The password again").fill(PASSWORD)
    page.get_by_role("button", name="Make the account").click()
    page.get_by_text("people active").first.wait_for()
    page.get_by_text("ada@example.com").first.wait_for()
    screen("access_home")
    for up in ("..%2f", "..%2f..%2f", "%2e%2e/", "..%5c", "home/..%2f..%2f", "home/%2e%2e/%2e%2e/"):
        assert "tool.engage" not in page.request.get(f"{running.url}/notebooks/{up}pyproject.toml").text(), up
    page.get_by_role("link", name="Message settings", exact=True).first.click()
    page.get_by_placeholder("Onboarding").fill("Spring")
    page.get_by_role("button", name="Make label").click()
    page.get_by_text("Spring is there.").wait_for()
    page.get_by_role("link", name="Access", exact=True).first.click()
    page.get_by_role("cell", name="label.create").first.wait_for()
    page.get_by_placeholder("ada@example.com").fill("bob@example.com")
    page.get_by_role("button", name="Add", exact=True).click()
    link = page.get_by_text(re.compile(rf"^{re.escape(running.url)}/link/\S+$")).first.inner_text()
    page.get_by_role("cell", name="bob@example.com").first.wait_for()
    page.get_by_text(link).wait_for()
    screen("access_admin")
    assert refused == []
    page.get_by_role("link", name="Sign out").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_text("You are signed out.").wait_for()
    assert faults_of(page) == []
    page.goto(f"{running.url}/notebooks/access/")
    page.get_by_label("E-mail address").fill("ada@example.com")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("The address or the password is wrong.").wait_for()
    screen("access_wrong")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Access", exact=True).wait_for()
    expect(page).to_have_url(f"{running.url}/notebooks/access/")
    log = running.workspace.audit("select who, role, via, what, object from audit where via = 'web' order by done_at")
    ada = ("ada@example.com", "admin", "web")
    assert (*ada, "label.create", "Spring") in log.rows()
    assert (*ada, "account.add", "bob@example.com") in log.rows()

    page.context.clear_cookies()
    choose_password(page, link)
    page.get_by_text("bob@example.com · viewer").first.wait_for()


def test_a_viewer_who_presses_launch_is_told_in_a_sentence(
    running: Running, page: Page, screen: Callable[[str], None]
) -> None:
    link = running.workspace.add_account("vera@example.com", role=Role.VIEWER)
    choose_password(page, running.url + link)
    page.get_by_role("link", name="Campaigns", exact=True).first.click()
    page.get_by_role("button", name="Launch").click()
    page.get_by_text(
        "campaign.launch: vera@example.com (viewer) may not do this; that takes the role sender or more; "
        "an admin can give it"
    ).wait_for()
    screen("access_viewer")
    assert running.workspace.campaign("news").definition.launched_at is None
    query = "select what, object, outcome from audit where who = 'vera@example.com' and what like 'campaign%'"
    assert running.workspace.audit(query).rows() == [("campaign.launch", "news", "refused")]
    page.goto(f"{running.url}/notebooks/access/")
    page.get_by_text("that takes the role admin or more").first.wait_for()
    running.workspace.set_role("vera@example.com", role=Role.SENDER)
    page.goto(f"{running.url}/notebooks/campaigns/")
    page.get_by_role("button", name="Launch").click()
    page.get_by_text("News is scheduled.").or_(page.get_by_text("News is running.")).first.wait_for()


def test_the_socket_and_other_sites_are_refused(running: Running, page: Page, tmp_path: Path) -> None:
    page.goto(f"{running.url}/sign-in")
    socket = """async address => await new Promise(done => {
        const socket = new WebSocket(address);
        socket.onopen = () => done('open'); socket.onerror = () => done('refused');
    })"""
    address = f"{running.url.replace('http', 'ws', 1)}/notebooks/home/ws?session_id=s_abcdef"
    page.goto(f"{running.url}/health")  # a page of ours whose policy would let it connect
    assert page.evaluate(socket, address) == "refused", "nobody is signed in"
    link = running.workspace.add_account("sam@example.com", role=Role.SENDER)
    choose_password(page, running.url + link)
    assert page.evaluate(socket, address) == "open"
    held = page.context.cookies(running.url)
    evil = tmp_path / "evil.html"
    evil.write_text(f"<form method=post action='{running.url}/sign-out'><button>Win</button></form>")
    page.goto(f"file://{evil}")
    assert page.evaluate(socket, address.replace("s_abcdef", "s_ghijkl")) == "refused", "another site asks"
    with page.expect_response(f"{running.url}/sign-out") as told:
        page.get_by_role("button", name="Win").click()
    assert told.value.status == 403
    page.goto(running.url)
    page.get_by_role("heading", name="Home", exact=True).wait_for()
    assert held == page.context.cookies(running.url), "still signed in"
