from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import engage
from engage.cli import main

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday


@pytest.fixture
def bought(workspace: engage.Workspace) -> engage.Workspace:
    """Two people view and buy in two weeks, for 5 and for 50."""
    for user, amount in (("a", 5), ("b", 50)):
        for day in (0, 1, 7, 8):
            workspace.land_events(
                [
                    {"user_id": user, "event_name": name, "event_time": START + timedelta(days=day, hours=hour)}
                    | {"properties": {"amount": amount, "screen": f"s{day}"}}
                    for hour, name in enumerate(("View", "Charged"))
                ]
            )
    return workspace


def told(workspace: engage.Workspace, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    capsys.readouterr()
    main(["-w", str(workspace.root), *arguments, "--format", "csv"])
    return capsys.readouterr().out.splitlines()[1:]


def test_events_have_conditions_on_the_command_line(
    bought: engage.Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    funnel = ("funnel", "View", "Charged[amount >= 10 and screen in ('s0', 's1')]")
    assert [line.rsplit(",", 3)[1] for line in told(bought, capsys, *funnel)] == ["2", "1"]
    assert [line.split(",")[0] for line in told(bought, capsys, *funnel, "--users", "2")] == ["b"]
    spoilt = ("funnel", "View", "Charged", "Charged", "--exclude", "View[amount < 9]", "--users", "3")
    assert [line.split(",")[0] for line in told(bought, capsys, *spoilt)] == ["b"]
    assert told(bought, capsys, "trends", "Charged[amount > 9]", "--period", "week")[0].split(",")[-2] == "2.0"
    assert told(bought, capsys, "active", "--event", "[amount > 9]")[0].split(",")[1] == "1"
    with pytest.raises(SystemExit):
        told(bought, capsys, "trends", "Charged[amount >]")


def test_retention_takes_conditions_and_weeks(bought: engage.Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("retention", "--start-event", "View", "--return-event", "Charged", "--period", "week", "--days", "1")
    whole = told(bought, capsys, *asked, "--date-from", "2026-03-02")
    assert whole == ["2026-03-02,2,0,2,1.0", "2026-03-02,2,1,2,1.0", "2026-03-09,2,0,2,1.0", "2026-03-09,2,1,,"]
    some = told(bought, capsys, *asked, "--date-from", "2026-03-02", "--where", "amount > 9")
    assert some[:2] == ["2026-03-02,1,0,1,1.0", "2026-03-02,1,1,1,1.0"]
    often = told(bought, capsys, *asked, "--date-from", "2026-03-02", "--at-least", "3")
    assert often[1] == "2026-03-02,2,1,0,0.0"
    sundays = told(bought, capsys, *asked, "--date-from", "2026-03-02", "--week-start", "sunday")
    assert sundays[0] == "2026-03-01,2,0,2,1.0"
    with pytest.raises(SystemExit):
        told(bought, capsys, *asked, "--week-start", "noday")
