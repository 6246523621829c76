from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import engage
from engage.cli import main

START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def visited(workspace: engage.Workspace) -> engage.Workspace:
    """Four people: all view, three add, one buys."""
    journeys = {"a": ["view", "add", "buy"], "b": ["view", "add"], "c": ["view", "add"], "d": ["view"]}
    workspace.land_events(
        [
            {"user_id": user, "event_name": name, "event_time": START + timedelta(hours=hour)}
            for user, names in journeys.items()
            for hour, name in enumerate(names)
        ]
    )
    return workspace


def run(workspace: engage.Workspace, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    capsys.readouterr()
    main(["-w", str(workspace.root), *arguments])
    return capsys.readouterr().out.splitlines()


def test_a_funnel_is_shown_and_written(
    visited: engage.Workspace, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    steps = ("funnel", "view", "add", "buy")
    assert run(visited, capsys, *steps, "--format", "csv") == [
        "step,event_name,users,rate,median_seconds",
        "1,view,4,1.0,",
        "2,add,3,0.75,3600.0",
        "3,buy,1,0.25,3600.0",
    ]
    file = tmp_path / "dropped.parquet"
    assert "wrote 2 rows" in run(visited, capsys, *steps, "--dropped", "3", "--output", str(file))[0]
    assert pl.read_parquet(file)["user_id"].to_list() == ["b", "c"]
    assert "wrote" in run(visited, capsys, *steps, "--dropped", "3", "--save", "gave_up")[0]
    assert visited.segment("gave_up").users()["user_id"].sort().to_list() == ["b", "c"]
    with pytest.raises(SystemExit):
        run(visited, capsys, *steps, "--save", "who")
    assert run(visited, capsys, *steps, "--times", "--format", "csv")[-1].endswith(",1")
    assert run(visited, capsys, *steps, "--end", "2026-02-27", "--format", "csv")[1] == "1,view,0,,"
    with pytest.raises(SystemExit):
        run(visited, capsys, *steps, "--output", "table.txt")


def test_every_question_is_answered_on_the_command_line(
    visited: engage.Workspace, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    csv = ("--format", "csv")
    assert run(visited, capsys, "trends", "view", "buy", *csv)[1:] == [
        "view,2026-03-01,4.0,true",
        "buy,2026-03-01,1.0,true",
    ]
    assert run(visited, capsys, "active", *csv)[1] == "2026-03-01,4,4,4,1.0"
    assert run(visited, capsys, "stickiness", "--periods", "2", *csv)[1:] == ["1,4,1.0,4", "2,0,0.0,0"]
    assert run(visited, capsys, "paths", "view", "--depth", "1", *csv)[1:] == ["1,view,add,3,3", "1,view,(nothing),1,1"]
    assert run(visited, capsys, "paths", "buy", "--before", "--depth", "1", *csv)[1] == "1,buy,add,1,1"
    assert len(run(visited, capsys, "rfm", "--event", "buy", *csv)) == 26
    assert run(visited, capsys, "rfm", "--event", "buy", "--users", *csv)[1].startswith("a,")
    assert len(run(visited, capsys, "uninstalls", *csv)) == 1
    file = tmp_path / "after.csv"
    assert "wrote 0 rows" in run(visited, capsys, "uninstalls", "--after", "label", "--output", str(file))[0]
    assert file.read_text().startswith("label,sent,uninstalled,rate,low,high")
