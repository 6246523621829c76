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
    assert run(visited, capsys, *steps, "--times", "--format", "csv")[-1].endswith(",1")
    assert run(visited, capsys, *steps, "--end", "2026-02-27", "--format", "csv")[1] == "1,view,0,,"
    with pytest.raises(SystemExit):
        run(visited, capsys, *steps, "--output", "table.txt")
