"""The canvas without a notebook, on a page of its own: what comes in between and what is done in a hurry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import engage

CHROMIUM = Path("/usr/bin/chromium")
CANVAS = Path(engage.__file__).parent / "journeys" / "canvas"
FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
GRAPH = {
    "entry": {"event": "App Launched", "to": "hello"},
    "nodes": {
        "hello": {"kind": "message", "channel": "email", "content": {"subject": "Hi", "text": "Hello"}, "to": "done"},
        "done": {"kind": "exit"},
    },
}
CHOICES = {
    "events": ["App Launched"],
    "properties": [],
    "profile": [],
    "segments": [],
    "ready": ["email"],
    "fields": {"email": [{"name": "subject", "about": "", "required": True, "common": True, "kind": "line"}]},
}
PAGE = """<!doctype html><link rel="stylesheet" href="canvas.css"><div id="here"></div><script type="module">
import widget from "./canvas.js";
const heard = {}, state = %s;
window.model = {
  saved: [],
  get: (name) => state[name],
  set: (name, value) => { state[name] = value; },
  tell: (name, value) => { state[name] = value; for (const one of heard[`change:${name}`] || []) one(); },
  on: (name, what) => (heard[name] ||= []).push(what),
  off: (name, what) => { heard[name] = (heard[name] || []).filter((one) => one !== what); },
  save_changes: () => window.model.saved.push(structuredClone(state.graph)),
};
window.gone = widget.render({ model: window.model, el: document.getElementById("here") });
</script>"""
HURRIED = """async () => {
  // What Python has to say and the next key come within one turn of each other, in every order.
  const root = document.querySelector(".jc"), turn = () => new Promise((done) => setTimeout(done));
  const names = () => [...document.querySelectorAll(".react-flow__node")].map((one) => one.dataset.id);
  const lost = [];
  for (let n = 0; n < 60; n += 1) {
    const before = new Set(names()), gap = n % 4;
    window.model.tell("faults", { hello: [`fault ${n}`] });
    if (gap === 1) await Promise.resolve();
    if (gap === 2) await turn();
    if (gap === 3) await new Promise((done) => {
      const one = new MessageChannel();
      one.port1.onmessage = done;
      one.port2.postMessage(0);
    });
    root.dispatchEvent(new KeyboardEvent("keydown", { key: "j", bubbles: true, composed: true }));
    let added;
    while (!(added = names().find((one) => !before.has(one)))) await turn();
    await turn(); await turn();
    const box = document.querySelector(`.react-flow__node[data-id="${added}"]`);
    if (!box.classList.contains("selected")) lost.push(n);
  }
  return lost;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS.split())
        yield opened
        opened.close()


def drawn(browser: Any, *, width: int = 1300) -> Any:
    """A page with the canvas on it; nothing is fetched but from memory."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.set_default_timeout(60_000)
    told = PAGE % json.dumps({"graph": GRAPH, "faults": {}, "figures": {}, "choices": CHOICES})
    kinds = {"canvas.js": "text/javascript", "canvas.css": "text/css"}

    def answer(route: Any) -> None:
        name = route.request.url.rsplit("/", 1)[1]
        if name in kinds:
            route.fulfill(body=(CANVAS / name).read_text(encoding="utf-8"), content_type=kinds[name])
        else:
            route.fulfill(body=told, content_type="text/html")

    page.route("**/*", answer)
    page.goto("http://canvas.test/")
    page.locator('.react-flow__node[data-id="done"]').wait_for()
    return page


@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium")
def test_a_new_node_stays_picked_whatever_comes_in_between(browser: Any) -> None:
    page = drawn(browser)
    assert page.evaluate(HURRIED) == []
    page.close()


@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium")
def test_what_was_typed_last_leaves_before_the_canvas_is_left_or_taken_away(browser: Any) -> None:
    page = drawn(browser)
    page.locator('.react-flow__node[data-id="hello"]').click()
    last = """(text) => {
        const field = document.querySelector('.jc-side input[aria-label="subject"]');
        field.focus();
        Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(field, text);
        field.dispatchEvent(new Event("input", { bubbles: true }));
        %s;
        return window.model.saved.at(-1)?.nodes.hello.content.subject;
    }"""
    assert page.evaluate(last % "field.blur()", "Good day") == "Good day"
    assert page.evaluate(last % "window.gone()", "Good night") == "Good night"
    page.close()
