"""What the documentation says can be typed can be typed."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

from engage.cli import cli
from tests.docs.pages import ROOT, blocks, command_lines, pages

_INLINE = re.compile(r"(?<!`)`engage ([^`]+)`(?!`)")


def parse(words: list[str], command: click.Command = cli, parent: click.Context | None = None) -> None:
    """Read a command line without running it.

    Raises:
        UsageError: There is no such command or option, or a value is not of its kind.
    """
    context = command.make_context(command.name or "engage", list(words), parent=parent)
    words = [*context._protected_args, *context.args] if isinstance(command, click.Group) else []
    if isinstance(command, click.Group) and words:  # one that needs a subcommand has said so by now
        _, found, left = command.resolve_command(context, words)
        assert found is not None
        parse(left, found, context)


def _names_a_file(error: click.ClickException) -> bool:
    """Whether all that is wrong is that the reader's own file is not here."""
    kind = error.param.type if isinstance(error, click.BadParameter) and error.param else None
    return isinstance(kind, click.Path | click.File) and "does not exist" in error.format_message()


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_line_of_a_page_parses(page: Path) -> None:
    for block in blocks(page):
        for line in command_lines(block):
            try:
                parse(shlex.split(line)[1:])
            except click.ClickException as error:
                if _names_a_file(error):
                    continue
                pytest.fail(f"{block.where}: {line}: {error.format_message()}")
    for match in _INLINE.finditer(page.read_text(encoding="utf-8")):
        try:
            parse(shlex.split(match[1]))
        except (click.MissingParameter, click.exceptions.NoArgsIsHelpError):
            pass  # a sentence may name a command without its arguments
        except click.ClickException as error:
            if _names_a_file(error):
                continue
            pytest.fail(f"{page.relative_to(ROOT)}: `engage {match[1]}`: {error.format_message()}")


def test_a_wrong_command_is_found() -> None:
    for wrong in ("frobnicate", "segment frobnicate", "segment count x --frob", "retention --days soon"):
        with pytest.raises(click.UsageError):
            parse(wrong.split())


def test_settings_shown_are_toml_and_scripts_are_python() -> None:
    seen = 0
    for page in pages():
        for block in blocks(page):
            if block.language == "toml":
                tomllib.loads(block.text)
            elif block.language == "python":
                compile(block.text, block.where, "exec")
            seen += block.language in ("toml", "python")
    assert seen > 10
