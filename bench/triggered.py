"""How soon an event is seen, and how soon its message is: ``python bench/triggered.py``.

``engage up`` on a workspace with a pop-up for whoever fills a cart; events are posted one by one, each answered before
the next, while a page with engage.js is open in Chromium.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from playwright.sync_api import Page, sync_playwright

import engage

_KEY = "bench"
_SECRET = _KEY * 8
_SITE = "http://shop.test/"
_PAGE = """<!doctype html><html lang="en"><head><title>Shop</title><script src="{url}/sdk/engage.js" data-key="{key}"
defer></script></head><body><h1>Shop</h1></body></html>"""
_FLAGS = "--headless --no-sandbox --disable-gpu --disable-features=LocalNetworkAccessChecks".split()
_PEOPLE = 10_000
_SENT = """select event_time from notifications
where event_name = 'Notification Sent' and user_id = 'u1' and event_time > $at"""


def _workspace(folder: Path) -> engage.Workspace:
    root = engage.Workspace.create(folder / "workspace").root
    file = root / "pyproject.toml"
    file.write_text(file.read_text() + '\n[tool.engage.channels.web_popup]\nprovider = "mailbox"\n')
    workspace = engage.Workspace.open(root)
    people = [{"user_id": f"u{n}"} for n in range(_PEOPLE)]
    workspace.land_profiles(people, now=datetime.now(UTC) - timedelta(days=1))
    content = {"title": "{{ event.properties.item }}", "body": "<p>Still there</p>", "deep_link": "/cart"}
    values = {"channel": "web_popup", "everyone": True, "content": content}
    workspace.create_campaign("cart", values | {"schedule": {"event": "Cart Filled"}})
    workspace.campaign("cart").launch()
    return workspace


def _until(sql: str, workspace: engage.Workspace, **given: object) -> float:
    """When a question has an answer."""
    deadline = time.monotonic() + 60
    while not workspace.sql(sql, **given).height:
        if time.monotonic() > deadline:
            raise SystemExit(f"this did not come about: {sql}")
        time.sleep(0.02)
    return time.time()


def _tell(what: str, seconds: list[float]) -> None:
    """Print the middle, the 95th hundredth and the longest."""
    ordered = sorted(seconds)
    late = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    print(f"{what:<42} median {statistics.median(ordered):5.2f} s   p95 {late:5.2f} s   longest {ordered[-1]:5.2f} s")


@contextmanager
def _others(url: str, events: int) -> Iterator[None]:
    """Other people's events meanwhile, so many a second, one in a hundred of which fills a cart too."""
    ended = threading.Event()

    def post() -> None:
        with httpx.Client(base_url=url, auth=(_KEY, ""), timeout=60) as http:
            began, sent = time.monotonic(), 0
            while not ended.wait(max(0.0, began + sent / events - time.monotonic())):
                batch = [
                    {"userId": f"u{2 + (sent + n) % (_PEOPLE - 2)}", "event": "Product Viewed"} for n in range(100)
                ]
                batch[0] |= {"event": "Cart Filled", "properties": {"item": "coat"}}
                http.post("/v1/batch", json={"batch": batch}).raise_for_status()
                sent += 100

    posting = threading.Thread(target=post)
    if events:
        posting.start()
    try:
        yield
    finally:
        ended.set()
        if events:
            posting.join()


def _measure(workspace: engage.Workspace, url: str, page: Page, rounds: int) -> None:
    page.route(
        _SITE + "**", lambda route: route.fulfill(body=_PAGE.format(url=url, key=_KEY), content_type="text/html")
    )
    page.goto(_SITE)
    page.evaluate("([user, token]) => engage.identify(user, {}, {token})", ["u1", workspace.user_token("u1")])
    page.evaluate(
        "() => { window.seen = {}; engage.on('navigate', () => false);"
        " engage.on('viewed', (one) => { seen[one.title] = Date.now() / 1000 }) }"
    )
    visible, left, shown, counted = [], [], [], []
    with httpx.Client(base_url=url, auth=(_KEY, "")) as http:
        for number in range(rounds):
            item, began = f"hat {number}", time.time()
            event = {"userId": "u1", "event": "Cart Filled", "properties": {"item": item}, "messageId": item}
            http.post("/v1/track", json=event).raise_for_status()
            seen = "select 1 from user_events where event_id = $id"
            visible.append(_until(seen, workspace, id=item) - began)
            box = page.get_by_role("dialog", name=item, exact=True)
            box.wait_for()
            shown.append(page.evaluate("(item) => seen[item]", item) - began)
            at = datetime.fromtimestamp(began, UTC)
            _until(_SENT, workspace, at=at)
            left.append(workspace.sql(_SENT, at=at)["event_time"][0].timestamp() - began)
            clicked = time.time()
            box.get_by_role("heading").click()
            told = "select 1 from notifications where event_name = 'Notification Clicked' having count(*) > $n"
            counted.append(_until(told, workspace, n=number) - clicked)
    _tell("event posted → visible to SQL", visible)
    _tell("event posted → message has left", left)
    _tell("event posted → shown in Chromium", shown)
    _tell("click in Chromium → visible to SQL", counted)
    row = workspace.report_view(text="cart").row(0, named=True)
    assert (row["viewed"], row["clicked"]) == (rounds, rounds), row


def main() -> None:
    """Print how long it takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--load", type=int, default=0, help="events a second of other people")
    given = parser.parse_args()
    os.environ |= {"ENGAGE_WRITE_KEYS": _KEY, "ENGAGE_SECRET_KEY": _SECRET}
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "told").open("wb") as told:
        workspace = _workspace(Path(folder))
        command = [sys.executable, "-m", "engage", "-w", str(workspace.root), "up", "--port", "0"]
        running = subprocess.Popen(command, stdout=told, stderr=told)
        try:
            deadline = time.monotonic() + 60
            while not (line := re.search(r"engage is at (\S+)", Path(told.name).read_text())):
                if running.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(Path(told.name).read_text())
                time.sleep(0.1)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=_FLAGS)
                with _others(line[1], given.load):
                    _measure(workspace, line[1], browser.new_page(), given.rounds)
                browser.close()
        finally:
            running.send_signal(signal.SIGTERM)
            running.wait(60)


if __name__ == "__main__":
    main()
