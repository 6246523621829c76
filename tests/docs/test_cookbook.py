"""Every recipe of the cookbook is asked, and answers what the page shows."""

from __future__ import annotations

import engage
from engage.query.check import require_reproducible
from tests.docs.answers import PAGE, answer, recipes


def test_every_recipe_answers_what_the_page_shows(demo: engage.Workspace) -> None:
    text = PAGE.read_text(encoding="utf-8")
    found = recipes(text)
    assert len(found) == text.count("\n### "), "a recipe is a heading, SQL and its answer"
    for title, as_of, sql, shown, _ in found:
        require_reproducible(sql, PAGE)
        assert shown is not None, title
        assert answer(demo, sql, as_of) == shown.rstrip("\n"), title
