"""How soon a notebook shows itself, and how soon a filter is followed: ``python bench/notebooks.py``.

The notebooks are served as apps and opened in Chromium on the same machine. First paint is the time from navigation
until the title stands on the page, of notebooks that somebody opened before; the sample workspace is the one `engage
demo` makes. Filters are chosen on a lake of ten million events and a million messages, and timed in the page from the
choice until what follows from it stands there.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import tempfile
from pathlib import Path

from made_lake import LABELS, make
from playwright.sync_api import Browser, Page
from rich.progress import track

import engage
from engage.cli.demo import run_demo
from engage.pages import PAGES
from tests.browser.serving import chromium, served

_PAINTED = "() => document.querySelector('h1')?.textContent ? performance.now() : false"
_FOLLOWED = """async ([label, option, text, there]) => {
    const all = [...document.querySelectorAll('marimo-dropdown')].map(one => one.shadowRoot);
    const select = all.map(one => one.querySelector('select')).find(one => one?.closest('div')?.parentElement
        ?.textContent.includes(label) || one?.labels?.[0]?.textContent.includes(label));
    const words = () => document.body.innerText
        + [...document.querySelectorAll('*')].map(one => one.shadowRoot?.textContent || '').join(' ');
    select.value = [...select.options].find(one => one.textContent === option).value;
    const begin = performance.now();
    select.dispatchEvent(new Event('change', {bubbles: true}));
    while (words().includes(text) !== there) {
        await new Promise(done => requestAnimationFrame(done));
        if (performance.now() - begin > 60000) throw new Error('nothing followed: ' + text);
    }
    return performance.now() - begin;
}"""


def _paint(browser: Browser, workspace: engage.Workspace, rounds: int) -> None:
    with served(workspace) as address:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        took: dict[str, list[float]] = {one.name: [] for one in PAGES}
        for turn in track(range(rounds + 1), description="first paint"):
            for name, times in took.items():
                page = context.new_page()
                page.goto(f"{address}/?file={name}.py")
                painted = page.wait_for_function(_PAINTED, timeout=60_000).json_value()
                page.wait_for_load_state("networkidle")
                page.close()
                if turn:  # in the first everything is loaded for the first time
                    times.append(painted / 1000)
        context.close()
    print(f"first paint, seconds, the median of {rounds} (least–most)")
    for name, times in took.items():
        print(f"  {name:20} {statistics.median(times):5.2f} ({min(times):.2f}–{max(times):.2f})")


def _filters(browser: Browser, workspace: engage.Workspace, rounds: int) -> None:
    none = "No campaign fits"
    asked: dict[str, tuple[str, str, list[tuple[str, str, bool]]]] = {
        "reports, by when they were sent": ("reports", "Sent in", [("7 days", none, True), ("any time", none, False)]),
        "retention, of another label": (
            "retention",
            "Label",
            [(one, f"people sent {one}", True) for one in LABELS[:2]],
        ),
    }
    print("a filter followed, seconds, the median (least–most)")
    with served(workspace) as address:
        for words, (name, label, choices) in asked.items():
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(120_000)
            page.goto(f"{address}/?file={name}.py")
            page.get_by_label(label).first.wait_for()
            _idle(page)
            times = []
            for turn in range(rounds + 1):
                for option, text, there in choices:
                    took = page.evaluate(_FOLLOWED, [label, option, text, there]) / 1000
                    _idle(page)
                    if turn:  # the first may be what was chosen already
                        times.append(took)
            page.close()
            print(f"  {words:36} {statistics.median(times):5.2f} ({min(times):.2f}–{max(times):.2f})")


def _idle(page: Page) -> None:
    page.wait_for_timeout(500)
    page.wait_for_function("() => !document.querySelector('[data-testid=loading-indicator], .running')")
    page.wait_for_timeout(500)


def main(events: int, rounds: int) -> None:
    """Make both workspaces, look at one and filter in the other."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        sample = engage.Workspace.create(Path(folder) / "sample")
        with contextlib.redirect_stdout(io.StringIO()):
            run_demo(sample)
        _paint(browser, sample, rounds)
        large = make(Path(folder) / "large", events)
        large.compact()
        _filters(browser, large, rounds)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--events", type=int, default=10_000_000)
    arguments.add_argument("--rounds", type=int, default=5)
    given = arguments.parse_args()
    main(given.events, given.rounds)
