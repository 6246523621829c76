"""The SQL cookbook's questions and the answers it shows; ``python -m tests.docs.answers`` writes them anew."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import engage
from engage.cli.demo import run_demo
from engage.cli.output import console, show
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "cookbook.md"

_SECTION = re.compile(r"^## (?P<title>.*)$", re.MULTILINE)
_RECIPE = re.compile(
    r"^### (?P<title>[^\n]*)\n(?:(?!^##).)*?```sql\n(?P<sql>.*?)```\n(?:\n```text\n(?P<answer>.*?)```\n)?",
    re.DOTALL | re.MULTILINE,
)
_SHOP, _APP = "1998-07-01", "2026-04-01"  # as of when the shop's and the app's questions are asked


def recipes(text: str) -> list[tuple[str, str, str, str | None, int]]:
    """Each recipe: its title, as of when it is asked, its SQL, the answer shown, and where that is to stand."""
    sections = [(match.start(), match["title"]) for match in _SECTION.finditer(text)]
    found = []
    for match in _RECIPE.finditer(text):
        section = next(title for start, title in reversed(sections) if start < match.start())
        as_of = _SHOP if section.startswith("Customers") else _APP
        found.append((match["title"], as_of, match["sql"], match["answer"], match.end("sql") + len("```\n")))
    return found


def answer(workspace: engage.Workspace, sql: str, as_of: str) -> str:
    """What ``engage sql`` prints."""
    with console.capture() as printed:
        show(workspace.sql(sql, as_of=as_of))
    return "\n".join(line.rstrip() for line in printed.get().rstrip().splitlines())


def main() -> None:
    """Ask everything of a workspace after the demo, and write the answers into the page."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = engage.Workspace.create(Path(folder) / "shop")
        run_demo(workspace)
        text = PAGE.read_text(encoding="utf-8")
        for _, as_of, sql, shown, end in reversed(recipes(text)):
            after = end + (len(f"\n```text\n{shown}```\n") if shown is not None else 0)
            text = f"{text[:end]}\n```text\n{answer(workspace, sql, as_of)}\n```\n{text[after:]}"
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
