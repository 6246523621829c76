"""Every link between pages leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, pages

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s#]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    made = {ROOT / "docs" / "reference" / "sql.md"}
    for link in _LINK.findall(text):
        if "://" not in link and not link.startswith("mailto:"):
            target = (page.parent / link).resolve()
            assert target.exists() or target in made, f"{page.relative_to(ROOT)}: {link}"
