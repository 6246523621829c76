"""Birthdays come back each year at nine by the person's own clock; the journey of the documentation is a sound one."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path

import engage


def test_a_birthday_by_the_persons_clock(workspace: engage.Workspace) -> None:
    begin = datetime(2027, 1, 1, tzinfo=UTC)
    rows = [
        {"user_id": "tokyo", "birthday": "1990-03-05", "timezone": "Asia/Tokyo"},
        {"user_id": "leap", "birthday": "2000-02-29"},
        {"user_id": "unknown", "birthday": "someday"},
    ]
    workspace.land_profiles([{**row, "changed_at": begin} for row in rows])
    made = workspace.create_from_playbook("birthday", now=begin)
    made.journey.simulate("2027-01-01", "2027-02-01")
    journey = made.journey.launch(begin)
    for day in ("2027-03-01", "2027-03-04", "2028-03-02"):
        journey.tick(day)
    entered = journey.record.moves()
    found = workspace.engine.frame(f"select user_id, entry_at from ({entered}) where seq = 0 order by all").rows()
    assert found == [
        ("leap", datetime(2027, 2, 28, 9, tzinfo=UTC)),
        ("leap", datetime(2028, 2, 29, 9, tzinfo=UTC)),
        ("tokyo", datetime(2027, 3, 5, tzinfo=UTC)),
    ]
    journey.tick("2028-03-06")
    assert journey.path("tokyo")["entered_at"].max() == datetime(2028, 3, 5, tzinfo=UTC)


def test_the_documented_file(workspace: engage.Workspace) -> None:
    text = (Path(engage.__file__).parents[1] / "docs" / "journeys.md").read_text()
    values = tomllib.loads(text.split("```toml\n")[1].split("```")[0])
    assert workspace.create_journey("documented", values).check() == []
