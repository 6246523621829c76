from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

import engage
from engage.cli import cli, main
from engage.cli.demo import run_demo


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = 0
    try:
        main(list(arguments))
    except SystemExit as stop:
        code = int(stop.code or 0)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_the_main_job_from_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    root = tmp_path / "w"
    assert run(capsys, "init", str(root))[0] == 0
    here = ("-w", str(root))
    file = tmp_path / "a.csv"
    file.write_text(
        "user_id,event_name,event_time,amount\n"
        + "".join(f"u{i},Charged,2026-01-{day:02},{i}\n" for i in range(20) for day in (5, 6 + i % 9))
    )
    code, out, _ = run(capsys, *here, "import", str(file))
    assert (code, "landed 40 events" in out) == (0, True)
    workspace = engage.Workspace.open(root)
    workspace.land_profiles([{"user_id": f"u{i}", "email": f"u{i}@example.com"} for i in range(20)])
    counted = run(capsys, *here, "segment", "count", "new_customers", "--as-of", "2026-01-06")[1].splitlines()
    assert (counted[0], "email 20, " in counted[1], "sms 0, " in counted[1]) == ("20", True, True)
    assert run(capsys, *here, "segment", "count", "big_spenders", "-p", "amount=30")[1].splitlines()[0] == "5"
    assert "no label" not in run(capsys, *here, "label", "create", "Spring")[1]
    assert run(capsys, *here, "campaign", "label", "onboarding", "Spring", "Onboarding")[0] == 0
    assert (
        "19 to send, 1 held out" in run(capsys, *here, "campaign", "preview", "onboarding", "--as-of", "2026-01-06")[1]
    )
    for _ in range(2):
        assert "sent 19" in run(capsys, *here, "campaign", "send", "onboarding", "--as-of", "2026-01-06")[1]
    code, out, _ = run(capsys, *here, "retention", "--label", "Spring", "--days", "5", "--format", "csv")
    assert out.splitlines()[0].startswith("day,people,back,rate,held_out")
    assert out.splitlines()[0].endswith(",difference,difference_low,difference_high")
    assert out.splitlines()[1].startswith("0,19,19,1.0,1,1.0")
    code, out, _ = run(capsys, *here, "report", "campaigns", "--format", "csv")
    assert "onboarding" in out
    assert "19" in out
    assert "difference" in run(capsys, *here, "lift", "onboarding")[1]
    assert run(capsys, *here, "check")[1].strip() == "sql/ is in order"
    assert "completed" in run(capsys, *here, "delivery", "status")[1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("sql", "drop table x"), "only one select can be run here"),
        (("sql", "select nope from events"), "line 1, column 8"),
        (("segment", "count", "new_customer"), "did you mean new_customers?"),
        (("campaign", "send", "onbording"), "did you mean onboarding?"),
        (("campaign", "label", "onboarding", "Nope"), "engage label create"),
        (("import", "nothing.csv"), "no such file"),
        (("sql", "select 1", "--as-of", "soon"), "'soon' is not a time"),
        (("frobnicate",), "No such command"),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], workspace: engage.Workspace, arguments: tuple[str, ...], told: str
) -> None:
    code, out, err = run(capsys, "-w", str(workspace.root), *arguments)
    assert (code, out) == (2, "")
    assert told in err
    assert "Traceback" not in err
    if arguments != ("frobnicate",):
        assert len(err.strip().splitlines()) == 1


def test_no_workspace_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = run(capsys, "-w", str(tmp_path), "sql", "select 1")
    assert code == 2
    assert "make one with `engage init" in err


def test_a_workspace_is_not_made_over_another(capsys: pytest.CaptureFixture[str], workspace: engage.Workspace) -> None:
    code, _, err = run(capsys, "init", str(workspace.root))
    assert (code, "there is a workspace already" in err) == (2, True)
    code, _, err = run(capsys, "init", str(workspace.root / "new"), "--timezone", "Mars/Olympus")
    assert (code, "Mars/Olympus" in err) == (2, True)
    assert not (workspace.root / "new" / "pyproject.toml").exists()


def test_every_command_says_what_it_does() -> None:
    for name, command in cli.commands.items():
        assert command.help, name
        for sub in getattr(command, "commands", {}).values():
            assert sub.help, f"{name} {sub.name}"


def test_cohorts_are_chosen_and_followed(demo: engage.Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """The customers of January to March 1997, 7,846, 8,476 and 7,248, as published for this data set."""
    asked = "--start-event Charged --return-event Charged --period month --kind first_time --date-from 1997-01-01"
    asked += " --date-to 1998-06-30 --cohorts 3 --days 2 --mode on_or_after --format csv"
    code, out, _ = run(capsys, "-w", str(demo.settings.root), "retention", *asked.split())
    rows = [line.split(",") for line in out.splitlines()]
    assert (code, rows[0]) == (0, ["cohort", "size", "period", "users", "rate"])
    assert [(cohort, size) for cohort, size, period, *_ in rows[1:] if period == "0"] == [
        ("1997-01-01", "7846"), ("1997-02-01", "8476"), ("1997-03-01", "7248"),
    ]  # fmt: skip
    assert len(rows) == 1 + 3 * 3


def test_the_demo_may_be_run_again(demo_made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = engage.Workspace.open(shutil.copytree(demo_made, tmp_path / "w"))
    run_demo(workspace)
    printed = capsys.readouterr().out
    assert "events: 0 landed, 69,659 were there already" in printed
    assert "sent 6,833, held out 804" in printed
    assert not list(workspace.settings.outbox.rglob("*.eml")), "nobody is sent it again"
    table = workspace.label_retention("Onboarding", 30, as_of="1997-04-01")
    assert table.row(0) == (0, 6833, 6833, 1.0)
    assert table.height == 31
    assert workspace.label_retention("Onboarding", 30, group="held_out")["people"][0] == 804
    lift = workspace.retention_lift("Onboarding", 30, as_of="1997-04-01")
    assert lift["day"].to_list() == list(range(1, 31))
    assert lift.row(0)[:7] == (1, 6833, 44, 44 / 6833, 804, 6, 6 / 804)
    assert lift["difference"][0] == 44 / 6833 - 6 / 804
    assert (lift["difference_low"] < lift["difference"]).all()
    assert (lift["difference"] < lift["difference_high"]).all()
    full = workspace.retention(label="Onboarding", periods=31, date_from="1997-02-01", as_of="1997-04-01")
    first = full.filter(full["cohort"].cast(str) == "1997-02-01")
    assert first["users"].to_list() == table["back"].to_list(), "two roads, one answer"


@pytest.mark.parametrize("name", [path.stem for path in sorted((Path(__file__).parents[2] / "notebooks").glob("*.py"))])
def test_a_notebook_runs_over_the_demo(demo: engage.Workspace, name: str) -> None:
    spec = importlib.util.spec_from_file_location(f"notebook_{name}", demo.settings.notebooks / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    chosen = {"label": "Onboarding", "days": 30} if name == "retention" else {}
    _, found = module.app.run(defs=chosen)
    if name == "retention":
        assert found["sent"]["people"][0] == 6833
    if name == "reports":
        assert found["shown"].filter(campaign_id="onboarding")["sent"].item() == 6833
        assert found["shown"].height == 4
