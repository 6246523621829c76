from __future__ import annotations

import subprocess

import pytest

import engage
from engage.cli import main
from engage.errors import QueryError


def git(workspace: engage.Workspace, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(workspace.root), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def kept(workspace: engage.Workspace) -> engage.Workspace:
    """A workspace in git: a bought twice, b once, both in 2026."""
    workspace.land_events(
        [
            {"user_id": u, "event_name": "Charged", "event_time": f"2026-03-0{d}T00:00Z", "properties": {"amount": 100}}
            for u, d in (("a", 1), ("a", 2), ("b", 3))
        ]
    )
    folder = workspace.settings.sql / "segments"
    (folder / "on_top.sql").write_text("-- Title: t\n-- grain: user_id\nselect user_id from segments.repeat_buyers\n")
    git(workspace, "init", "-q")
    git(workspace, "add", "sql")
    git(workspace, "commit", "-qm", "one")
    return workspace


def test_who_comes_in_and_who_drops_out(kept: engage.Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert kept.segment_diff("HEAD") == []
    folder = kept.settings.sql / "segments"
    text = (folder / "repeat_buyers.sql").read_text()
    (folder / "repeat_buyers.sql").write_text(text.replace("purchases=2", "purchases=1"))
    (folder / "big_spenders.sql").write_text("-- Title: x\n-- grain: user_id\nselect 'b' as user_id")
    (folder / "lapsed_buyers.sql").unlink()
    (folder / "new_one.sql").write_text("-- Title: x\n-- grain: user_id\nselect nope from events")
    found = {change.name: change for change in kept.segment_diff("HEAD", as_of="2026-03-05")}
    assert set(found) == {"repeat_buyers", "on_top", "big_spenders", "lapsed_buyers", "new_one"}
    for name, status in (("repeat_buyers", "changed"), ("on_top", "affected")):
        change = found[name]
        assert (change.status, change.before, change.after) == (status, 1, 2)
        assert (change.came_in, change.dropped_out) == (("b",), ())
    assert (found["big_spenders"].came_in, found["big_spenders"].dropped_out) == (("b",), ("a",))
    assert (found["lapsed_buyers"].status, found["lapsed_buyers"].after) == ("removed", None)
    assert (found["new_one"].status, found["new_one"].after) == ("added", None)
    assert "nope" in found["new_one"].fault
    main(["-w", str(kept.root), "diff", "HEAD", "--format", "markdown", "--as-of", "2026-03-05"])
    comment = capsys.readouterr().out
    assert "| `big_spenders` | changed | 1 | 1 | +1 | −1 |" in comment
    assert "| `new_one` | added | – | – | – | – |" in comment
    main(["-w", str(kept.root), "diff", "HEAD", "--as-of", "2026-03-05"])
    assert "affected" in capsys.readouterr().out


@pytest.mark.parametrize("revision", ["nope", "", "--help", "HEAD~9"])
def test_no_such_revision(kept: engage.Workspace, revision: str) -> None:
    with pytest.raises(QueryError, match="revision"):
        kept.segment_diff(revision)


def test_without_git(workspace: engage.Workspace) -> None:
    with pytest.raises(QueryError, match="no revision"):
        workspace.segment_diff("HEAD")
