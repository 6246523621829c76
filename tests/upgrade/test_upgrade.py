"""Workspaces of earlier layouts become this version's. ``oldest/`` is by the first version that sent a campaign."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import engage
from engage.cli import main
from engage.errors import QueryError
from engage.lake.layout import LAYOUT, read_layout

OLDEST = Path(__file__).parent / "oldest"

# Ends the process, as a kill would, just before the n-th file takes its place.
_KILLED = """
import os, sys
import engage
workspace = engage.Workspace.open(sys.argv[1])
left = int(sys.argv[2])
def before(event, arguments):
    global left
    if event == "os.rename":
        left -= 1
        if left == 0:
            os._exit(9)
sys.addaudithook(before)
workspace.upgrade()
"""


@pytest.fixture
def oldest(tmp_path: Path) -> Path:
    return shutil.copytree(OLDEST, tmp_path / "oldest")


def digests(root: Path) -> dict[str, str]:
    """Every file of a workspace that an upgrade may write."""
    files = [*sorted((root / "sql").rglob("*")), root / "data" / "lake" / "layout.json"]
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()
    }


def test_the_oldest_workspace_answers_again(oldest: Path, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="consents"):
        engage.Workspace.open(oldest).sql("select * from consents")
    done = engage.Workspace.open(oldest).upgrade()
    assert (done.before, done.after, done.kept) == (0, LAYOUT, [])
    assert "sql/lake/consents.sql" in done.added
    assert "sql/lake/profiles.sql" in done.renewed
    workspace = engage.Workspace.open(oldest)
    assert workspace.check() == []
    new = engage.Workspace.create(tmp_path / "new")
    assert set(new.engine.relations()) <= set(workspace.engine.relations())
    assert workspace.sql("select count(*) as n from user_events")["n"].item() == 3
    assert workspace.campaign_report()["sent"].to_list() == [2]
    assert workspace.label_retention("Onboarding", 3)["people"][0] == 2
    again = workspace.upgrade()
    assert (again.before, again.added, again.renewed, again.kept) == (LAYOUT, [], [], [])


@pytest.mark.parametrize("renames", [1, 4, 11])
def test_an_upgrade_that_was_killed_is_carried_on(oldest: Path, tmp_path: Path, renames: int) -> None:
    whole = shutil.copytree(oldest, tmp_path / "whole")
    engage.Workspace.open(whole).upgrade()
    killed = subprocess.run([sys.executable, "-c", _KILLED, oldest, str(renames)], check=False)
    assert killed.returncode == 9
    assert read_layout(engage.Workspace.open(oldest).settings) == 0
    engage.Workspace.open(oldest).upgrade()
    assert digests(oldest) == digests(whole)


def test_a_file_somebody_edited_is_kept_and_told(oldest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edited = oldest / "sql" / "lake" / "user_events.sql"
    text = edited.read_text() + "-- ours\n"
    edited.write_text(text)
    main(["-w", str(oldest), "upgrade"])
    told = capsys.readouterr().out
    assert "kept sql/lake/user_events.sql, which was edited here" in told
    assert told.splitlines()[-1] == f"layout {LAYOUT}, was 0"
    assert edited.read_text() == text


def test_what_a_later_version_wrote_is_refused_in_a_sentence(
    workspace: engage.Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    file = workspace.settings.lake / "layout.json"
    assert json.loads(file.read_text())["layout"] == LAYOUT, "a new workspace says its layout"
    file.write_text(json.dumps({"layout": LAYOUT + 1, "shipped": {}}))
    for command in (["upgrade"], ["sql", "select 1"]):
        with pytest.raises(SystemExit):
            main(["-w", str(workspace.root), *command])
        told = capsys.readouterr().err
        assert f"this workspace has layout {LAYOUT + 1}, and this version of engage reads up to {LAYOUT}" in told
        assert len(told.strip().splitlines()) == 1
