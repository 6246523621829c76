"""The canvas in a real browser: the onboarding journey built by keyboard and by mouse, saved, read back, simulated."""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

import engage
from tests.ports import free_port

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
CANVAS = Path(engage.__file__).parent / "journeys" / "canvas"


def test_what_is_shipped_was_built_of_these_sources() -> None:
    digest = sha256((CANVAS / "package-lock.json").read_bytes())
    for file in sorted((CANVAS / "src").iterdir()):
        digest.update(file.read_bytes())
    built = (CANVAS / "canvas.js").read_text(encoding="utf-8")
    assert digest.hexdigest() in built.splitlines()[0], "run make canvas and commit what it builds"
    lock = (CANVAS / "package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in lock


@pytest.fixture
def served(workspace: engage.Workspace) -> Iterator[str]:
    """The journeys notebook of a workspace where eight people came in the last days."""
    now = datetime.now(UTC)
    users = [f"u{n}" for n in range(8)]
    workspace.land_profiles(
        [{"user_id": u, "email": f"{u}@example.com", "changed_at": now - timedelta(days=20)} for u in users]
    )
    workspace.land_events(
        [
            {"user_id": u, "event_name": name, "event_time": now - timedelta(days=9 - n, hours=k)}
            for n, u in enumerate(users)
            for k, name in enumerate(["Product Viewed", "App Launched"][n % 2 :])
        ]
    )
    port = free_port()
    notebook = str(workspace.settings.notebooks / "journeys.py")
    command = [sys.executable, "-m", "marimo", "run", notebook, "--headless", "--no-token", "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(Path(engage.__file__).parents[1])}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        url = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{url}/health").close()
                break
            except OSError:
                time.sleep(0.1)
        yield url
        server.terminate()


@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium")
@pytest.mark.timeout(420)
def test_onboarding_is_built_saved_read_back_and_simulated(served: str, workspace: engage.Workspace) -> None:
    api = pytest.importorskip("playwright.sync_api")
    file = workspace.settings.journeys / "onboarding.toml"
    pictures = os.environ.get("JOURNEY_PICTURES")
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS.split())
        page = browser.new_page(viewport={"width": 1500, "height": 1250})
        page.set_default_timeout(60_000)
        api.expect.set_options(timeout=60_000)
        page.goto(served)
        page.get_by_placeholder("spring_welcome").fill("onboarding")
        page.get_by_role("button", name="Draw a new one").click()

        def node(name: str) -> api.Locator:
            return page.locator(f'.react-flow__node[data-id="{name}"]')

        def keys(*pressed: str) -> None:
            for key in pressed:
                page.keyboard.press(key)

        def field(label: str) -> api.Locator:
            return page.locator(".jc-side").get_by_label(label, exact=True)

        def at_its_fields(name: str) -> None:
            """Picked, its fields shown, the first of them entered."""
            api.expect(node(name)).to_be_focused()
            api.expect(field("Name")).to_have_value(name)
            keys("i")
            api.expect(field("Name")).to_be_focused()

        def back_at(name: str) -> None:
            keys("Escape")
            api.expect(node(name)).to_be_focused()

        def at_rest() -> None:
            """Wait until the canvas has glided to its place."""
            page.wait_for_function(
                "() => { const at = document.querySelector('marimo-anywidget')?.shadowRoot ?? document;"
                "const shown = [...at.querySelectorAll('.react-flow__viewport')];"
                "const now = shown.map((one) => one.style.transform).join();"
                "const is = now === window.wasAt; window.wasAt = now; return is; }",
                polling=300,
            )

        api.expect(node("done")).to_be_visible()
        before = file.read_text()

        # By keyboard: a welcome after the entry, a day's wait, then a branch; what each says is typed into its fields.
        node("entry").focus()
        keys("Enter")
        api.expect(page.locator(".jc-side h3")).to_have_text("Entry")
        keys("m")
        at_its_fields("message1")
        keys("ControlOrMeta+a")
        page.keyboard.type("welcome")
        keys("Enter")
        api.expect(node("welcome")).to_be_focused()
        at_its_fields("welcome")
        keys("Tab", "Tab", "Tab")  # name, title, channel, subject
        api.expect(field("subject")).to_be_focused()
        page.keyboard.type("Good to have you")
        keys("Tab")
        page.keyboard.type("Hello")
        api.expect(field("text")).to_have_value("Hello")
        back_at("welcome")
        keys("w")
        at_its_fields("wait1")
        keys("Tab", "Tab", "Tab")
        api.expect(field("How long")).to_be_focused()
        keys("ControlOrMeta+a")
        page.keyboard.type("2 days")
        api.expect(field("How long")).to_have_value("2 days")
        back_at("wait1")
        keys("b")
        at_its_fields("branch1")
        field("Event").fill("Product Viewed")
        field("yes").select_option("done")

        # By mouse: a nudge, connected by dragging from the branch's other way to it, and from it to the end.
        page.locator(".react-flow__pane").click(position={"x": 5, "y": 5})
        api.expect(page.locator(".jc-side h3")).to_have_text("The journey")
        page.get_by_role("button", name="add message").click()
        api.expect(field("Name")).to_have_value("message1")
        field("subject").fill("You are nearly there")
        field("text").fill("It takes a minute.")
        page.get_by_role("button", name="Arrange").click()
        edges = page.locator(".react-flow__edge")
        api.expect(edges).to_have_count(4)
        api.expect(page.get_by_text("the way 'else' leads nowhere").first).to_be_visible()
        for source, port, target in [("branch1", "else", "message1"), ("message1", "next", "done")]:
            connected = page.locator(f'.react-flow__edge[data-id="{source}:{port}"]')
            for _ in range(10):  # a drag that the canvas glides away under is done again, from all of it in view
                page.locator(".react-flow__controls-fitview").click()
                at_rest()
                node(source).locator(f'.react-flow__handle[data-handleid="{port}"]').hover()
                page.mouse.down()
                node(target).locator(".react-flow__handle-top").hover(force=True)
                page.mouse.up()
                try:
                    api.expect(connected).to_have_count(1, timeout=3_000)
                    break
                except AssertionError:
                    continue
            api.expect(connected).to_have_count(1)
        api.expect(edges).to_have_count(6)

        # Copied, pasted, deleted, undone and done again.
        node("message1").click()
        api.expect(field("Name")).to_have_value("message1")
        keys("ControlOrMeta+c", "ControlOrMeta+v")
        api.expect(node("message2")).to_be_focused()
        keys("Delete")
        api.expect(node("message2")).to_have_count(0)
        keys("ControlOrMeta+z")
        api.expect(node("message2")).to_be_visible()
        keys("ControlOrMeta+y")
        api.expect(node("message2")).to_have_count(0)
        page.get_by_role("button", name="Arrange").click()
        api.expect(page.get_by_text("No faults")).to_be_visible()
        api.expect(page.get_by_text("there already")).to_have_count(0)
        page.get_by_role("button", name="Save", exact=True).click()
        api.expect(page.get_by_text("Saved data/journeys/onboarding.toml")).to_be_visible()
        saved = file.read_text()

        page.get_by_role("button", name="Simulate", exact=True).click()
        api.expect(node("entry").locator("[data-figures] b")).to_have_text("8")
        api.expect(page.locator('[data-way="branch1:yes"]')).to_have_text("yes 4 (50 %)")
        if pictures:
            page.screenshot(path=f"{pictures}/canvas.png")
            page.emulate_media(color_scheme="dark")
            page.wait_for_timeout(500)
            page.screenshot(path=f"{pictures}/canvas-dark.png")
        page.reload()
        api.expect(node("message1")).to_be_visible()
        browser.close()
    definition = workspace.journey("onboarding").definition
    assert definition.edges() == [
        ("entry", "next", "welcome"),
        ("welcome", "next", "wait1"),
        ("wait1", "next", "branch1"),
        ("branch1", "yes", "done"),
        ("branch1", "else", "message1"),
        ("message1", "next", "done"),
    ]
    assert definition.nodes["wait1"].does.length == timedelta(days=2)  # type: ignore[union-attr]
    # A diff a person can read: but for where it stands nothing that was there is told anew.
    lines = [one for one in difflib.ndiff(before.splitlines(), saved.splitlines()) if one[0] in "-?"]
    assert [one for one in lines if one.startswith("- ")] == ['- to = "done"'] or not lines
    workspace.save_journey("onboarding", workspace.journey("onboarding").values())
    assert file.read_text() == saved
