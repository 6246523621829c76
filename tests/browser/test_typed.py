"""Fields typed into while a notebook is busy are all taken."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

import engage
from engage.pages.typed import joined
from tests.browser.serving import served

BUSY = """
import marimo

app = marimo.App()

with app.setup:
    import time

    import marimo as mo

    from engage import pages


@app.cell
def _():
    ws = pages.opened()
    fields = mo.ui.dictionary({name: mo.ui.text(label=name, debounce=False) for name in ("one", "two", "three")})
    mo.vstack([fields[name] for name in ("one", "two", "three")])
    return (fields,)


@app.cell
def _(fields):
    time.sleep(1.5 if fields.value["one"] == "x" else 0)
    mo.md("Heard: " + ", ".join(f"{name} {value or 'nothing'}" for name, value in fields.value.items()))
    return
"""


class _Fields:
    """A registry of fields: ``form`` has ``form.a`` and ``form.b``, which has ``form.b.c`` and ``form.b.d``."""

    def resolve_lens(self, object_id: str, value: object) -> tuple[str, object]:
        owner, *path = object_id.split(".")
        if owner not in ("form", "alone"):
            raise KeyError(owner)
        for key in reversed(path):
            value = {key: value}
        return owner, value


def test_fields_of_one_element_are_joined_and_others_keep_their_newest_value() -> None:
    assert joined(
        _Fields(),
        [("form.a", 1), ("alone", {"k": 1}), ("form.b.c", 2), ("gone", 3), ("form.b.d", {"x": 4}), ("alone", {"l": 5})],
    ) == [("form", {"a": 1, "b": {"c": 2, "d": {"x": 4}}}), ("alone", {"l": 5}), ("gone", 3)]
    assert joined(_Fields(), [("form.a", {"x": 1}), ("form.a", {"y": 2})]) == [("form", {"a": {"y": 2}})]


def test_what_is_typed_while_the_notebook_is_busy_is_all_heard(tmp_path: Path, page: Page) -> None:
    workspace = engage.Workspace.create(tmp_path / "shop")
    (workspace.settings.notebooks / "busy.py").write_text(BUSY, encoding="utf-8")
    with served(workspace) as address:
        page.goto(f"{address}/?file=busy.py")
        page.get_by_text("Heard: one nothing").wait_for()
        page.get_by_label("one", exact=True).fill("x")  # keeps it busy
        page.wait_for_timeout(500)
        page.get_by_label("two", exact=True).fill("y")
        page.get_by_label("three", exact=True).fill("z")
        page.get_by_text("Heard: one x, two y, three z").wait_for(timeout=15_000)
