from __future__ import annotations

from pathlib import Path

import pytest

import engage
from engage.cli import main


@pytest.fixture
def bought(workspace: engage.Workspace) -> engage.Workspace:
    days = [("a", 1), ("a", 10), ("b", 5), ("c", 20)]
    workspace.land_events(
        [{"user_id": u, "event_name": "Charged", "event_time": f"2026-03-{d:02}T00:00Z"} for u, d in days]
    )
    workspace.land_profiles([{"user_id": "a", "email": "a@example.com", "country": "DE"}, {"user_id": "b"}])
    return workspace


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ("segment sizes repeat_buyers --since 2026-03-09 --until 2026-03-16 --format csv",
         ["as_of,users", "2026-03-09T00:00:00.000000+0000,0", "2026-03-16T00:00:00.000000+0000,1"]),
        ("segment moved repeat_buyers --since 2026-03-09 --format csv", ["user_id,change", "a,came_in"]),
        ("segment overlap repeat_buyers everyone --format csv",
         ["part,users,rate", "first,0,0.0", "both,1,0.3333333333333333", "second,2,0.6666666666666666"]),
        ("segment breakdown everyone country --format csv",
         ["value,users,rate", "DE,1,0.3333333333333333", ",2,0.6666666666666666"]),
        ("people find --segment repeat_buyers --event Charged -p country=DE --format csv",
         ["user_id,name,email,phone,country,language,last_seen,events",
          "a,,a@example.com,,DE,,2026-03-10T00:00:00.000000+0000,2"]),
        ("people show a --kind event --format csv",
         ["time,kind,name,channel,campaign,labels,properties,source",
          *(f"2026-03-{d}T00:00:00.000000+0000,event,Charged,,,,,api" for d in ("10", "01"))]),
    ],
)  # fmt: skip
def test_what_it_prints(
    capsys: pytest.CaptureFixture[str], bought: engage.Workspace, arguments: str, lines: list[str]
) -> None:
    main(["-w", str(bought.root), *arguments.split()])
    assert capsys.readouterr().out.splitlines() == lines


def test_for_people(capsys: pytest.CaptureFixture[str], bought: engage.Workspace, tmp_path: Path) -> None:
    here = ["-w", str(bought.root)]
    main([*here, "segment", "reach", "everyone"])
    assert "email" in capsys.readouterr().out
    file = tmp_path / "x.csv"
    main([*here, "segment", "export", "everyone", str(file), "--property", "email"])
    assert capsys.readouterr().out == f"3 users in {file}\n"
    assert file.read_text() == "user_id,email\na,a@example.com\nb,\nc,\n"
    main([*here, "segment", "moved", "repeat_buyers", "--since", "2026-03-09"])
    assert "1 came in, 0 dropped out" in capsys.readouterr().out
    main([*here, "people", "show", "a"])
    shown = capsys.readouterr().out
    for told in ("a: 2 events, 0 messages", '"email": "a@example.com"', "Reachable", "Timeline", "Charged"):
        assert told in shown
