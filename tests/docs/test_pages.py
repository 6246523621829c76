"""What the documentation says of the command line, of files and of settings is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from engage.cli import cli
from tests.docs.pages import ROOT, blocks, command_lines, pages

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s#]+)(?:#[^)]*)?\)")


def words_of(line: str) -> list[str]:
    return [word for word in shlex.split(line)[1:] if word != "…"]


def parse(words: list[str]) -> None:
    """Find the command and check its options; arguments that stand for something are not looked at."""
    command: click.Command = cli
    path = ["engage"]
    while isinstance(command, click.Group):
        options = {name for parameter in command.params for name in parameter.opts}
        while words and words[0] in options:
            words = words[2:]
        if not words:
            return
        context = click.Context(command, info_name=path[-1])
        inner = command.get_command(context, words[0])
        assert inner is not None, f"{' '.join(path)} has no {words[0]}"
        command, words, path = inner, words[1:], [*path, words[0]]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    for word in words:
        if word.startswith("-") and not word.lstrip("-").isdigit():
            assert word.partition("=")[0] in known, f"{' '.join(path)} has no option {word}"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_command_there_is_one_of_the_command_line(page: Path) -> None:
    for block in blocks(page):
        for line in command_lines(block):
            for part in re.split(r" {2,}|·", line)[:1]:  # what follows is said of it
                try:
                    parse(words_of(part))
                except (AssertionError, ValueError) as fault:
                    raise AssertionError(f"{block.where}: {line}: {fault}") from None


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    made = {ROOT / "docs" / "reference" / "sql.md"}
    for link in _LINK.findall(text):
        if "://" not in link and not link.startswith("mailto:"):
            target = (page.parent / link).resolve()
            assert target.exists() or target in made, f"{page.relative_to(ROOT)}: {link}"
