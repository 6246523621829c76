"""The documentation as data: its pages, their fenced blocks, and the commands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)
_TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file it is (``title="…"``), its text, and where it begins."""

    page: Path
    line: int
    language: str
    file: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """README, CONTRIBUTING and every page of the documentation."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        info = match["info"].strip()
        title = _TITLE.search(info)
        language = info.split()[0] if info and not info.startswith("{") else ""
        line = text.count("\n", 0, match.start()) + 1
        yield Block(page, line, language, title[1] if title else "", match["body"])


def steps(block: Block) -> Iterator[tuple[str, str]]:
    """Each ``$ command`` of a console block, with the output shown below it."""
    command, shown = "", []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, "\n".join(shown)
            command, shown = line[2:], []
        else:
            shown.append(line)
    if command:
        yield command, "\n".join(shown)


def command_lines(block: Block) -> Iterator[str]:
    """Every ``engage …`` line of a shell block, without its comment."""
    if block.language == "console":
        lines = [command for command, _ in steps(block)]
    elif block.language in ("sh", "bash", ""):
        lines = block.text.replace("\\\n", " ").splitlines()
    else:
        lines = []
    for line in lines:
        for part in re.split(r"&&|;|\|(?!\|)", re.sub(r"(^|\s)#.*$", "", line)):
            if part.split()[:1] == ["engage"]:
                yield part.strip()
