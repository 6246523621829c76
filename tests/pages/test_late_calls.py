"""What a button calls later finds what it needs: marimo forgets a cell's private names once the cell has run."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.py"))


def late(tree: ast.AST) -> list[ast.expr]:
    """What is handed to be called later: data of downloads, answers to clicks and changes."""
    found = []
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        named = {word.arg: word.value for word in call.keywords}
        if ast.unparse(call.func) == "mo.download":
            found.append(named["data"] if "data" in named else call.args[0])
        found += [named[word] for word in ("on_click", "on_change") if word in named]
    return found


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda file: file.stem)
def test_nothing_called_later_uses_a_private_name(notebook: Path) -> None:
    for call in late(ast.parse(notebook.read_text(encoding="utf-8"))):
        private = {node.id for node in ast.walk(call) if isinstance(node, ast.Name) and node.id.startswith("_")}
        assert not private, f"line {call.lineno}: name it without an underscore"


def test_some_are_there() -> None:
    assert sum(len(late(ast.parse(file.read_text(encoding="utf-8")))) for file in NOTEBOOKS) > 5
