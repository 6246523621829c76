from __future__ import annotations

import os
from pathlib import Path

import pytest

import engage


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the developer's machine reaches a test."""
    for name in list(os.environ):
        if name.startswith("ENGAGE_"):
            monkeypatch.delenv(name)


@pytest.fixture
def workspace(tmp_path: Path) -> engage.Workspace:
    """A new workspace in UTC, its lake empty."""
    return engage.Workspace.create(tmp_path / "workspace")
