"""Pages whose commands are run, one after the other, in one workspace; what they print is held against the page."""

from __future__ import annotations

import doctest
import shlex
from pathlib import Path

import pytest

from engage.cli import main
from tests.docs.pages import ROOT, blocks, steps

RUN = ["docs/tutorial.md", "docs/how-to/label-retention.md"]


@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_page_print_what_it_shows(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = 0
    for block in blocks(ROOT / page):
        if block.file:
            Path(block.file).parent.mkdir(parents=True, exist_ok=True)
            Path(block.file).write_text(block.text, encoding="utf-8")
        if block.language != "console":
            continue
        for command, shown in steps(block):
            words = shlex.split(command)
            if words[0] == "cd":
                monkeypatch.chdir(words[1])
                continue
            assert words[0] == "engage", f"{block.where}: {command}"
            capsys.readouterr()
            main(words[1:])  # a command that fails ends in SystemExit
            printed = capsys.readouterr().out
            assert same(shown, printed), f"{block.where}: {command}\nshown:\n{shown}\n\nprinted:\n{printed}"
            ran += 1
    assert ran > 5


def same(shown: str, printed: str) -> bool:
    """Whether a page shows what was printed: spaces do not count, and ``…`` stands for anything."""
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(shown.replace("…", "..."), printed.replace("…", "..."), options)
