from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import engage
from engage.errors import PlanError
from engage.lake.runs import Counts, Run, list_runs, read_run, recipients_path, run_folder, write_run
from engage.lake.schema import RECIPIENTS

WHEN = datetime(2026, 3, 1, 9, tzinfo=UTC)
RUN = Run(
    run_id="spring.2026-03-01",
    campaign_id="spring",
    campaign_name="Spring",
    channel="email",
    planned_at=WHEN,
    labels=("Onboarding",),
    content={"a": {"subject": "Hello {{ profile.name }}"}},
)


def people(*planned: tuple[str, str | None], run: Run = RUN) -> pa.Table:
    rows = [
        {"run_id": run.run_id, "seq": n, "message_id": f"m{n}", "user_id": f"u{n}", "planned": what, "reason": reason}
        | {"channel": run.channel, "variant": "a", "address": f"u{n}@example.com", "send_at": None, "context": "{}"}
        for n, (what, reason) in enumerate(planned)
    ]
    return pa.Table.from_pylist(rows, RECIPIENTS)


ALL = people(("send", None), ("send", None), ("held_out", None), ("excluded", "no_address"), ("excluded", "opted_out"))


def test_a_run_reads_back_as_it_was_written(workspace: engage.Workspace) -> None:
    written = write_run(workspace.settings, replace(RUN, start_at=WHEN, throttle_per_second=5.0), ALL)
    assert written.counts == Counts(2, 1, {"no_address": 1, "opted_out": 1})
    assert written.counts.audience == 5
    assert read_run(workspace.settings, RUN.run_id, verify=True) == written
    assert list_runs(workspace.settings) == [written]
    assert workspace.sql("select count(*) as n from audiences")["n"].item() == 5


def test_planning_again_gives_the_same_bytes_and_another_audience_is_refused(workspace: engage.Workspace) -> None:
    write_run(workspace.settings, RUN, ALL)
    before = recipients_path(workspace.settings, RUN.run_id).read_bytes()
    assert write_run(workspace.settings, RUN, ALL) == read_run(workspace.settings, RUN.run_id)
    with pytest.raises(PlanError, match="other recipients"):
        write_run(workspace.settings, RUN, people(("send", None)))
    assert recipients_path(workspace.settings, RUN.run_id).read_bytes() == before
    assert not any((workspace.settings.lake / ".staging").iterdir())


def test_a_finished_file_is_taken_over(workspace: engage.Workspace, tmp_path: Path) -> None:
    file = tmp_path / "recipients.parquet"
    pq.write_table(ALL, file)
    write_run(workspace.settings, RUN, file)
    assert not file.exists()
    assert read_run(workspace.settings, RUN.run_id, verify=True).counts.send == 2


@pytest.mark.parametrize(
    "table",
    [
        people(("excluded", "x"), ("send", None)),
        people(("lost", None)),
        people(("send", None), run=replace(RUN, run_id="other")),
        ALL.drop_columns(["context"]),
    ],
)
def test_rows_delivery_could_not_rely_on_are_refused(workspace: engage.Workspace, table: pa.Table) -> None:
    with pytest.raises(PlanError):
        write_run(workspace.settings, RUN, table)
    assert list_runs(workspace.settings) == []


def test_a_changed_recipients_file_is_noticed(workspace: engage.Workspace) -> None:
    write_run(workspace.settings, RUN, ALL)
    pq.write_table(people(("send", None)), recipients_path(workspace.settings, RUN.run_id))
    with pytest.raises(PlanError, match="changed after planning"):
        read_run(workspace.settings, RUN.run_id, verify=True)


@pytest.mark.parametrize("run_id", ["../x", "", "a/b", "a b", ".hidden"])
def test_a_run_id_never_leaves_the_audiences(workspace: engage.Workspace, run_id: str) -> None:
    with pytest.raises(PlanError, match="not a run id"):
        replace(RUN, run_id=run_id)
    with pytest.raises(PlanError, match="not a run id"):
        run_folder(workspace.settings, run_id)


def test_a_foreign_run_file_is_refused_in_one_line(workspace: engage.Workspace) -> None:
    write_run(workspace.settings, RUN, ALL)
    path = run_folder(workspace.settings, RUN.run_id) / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 2}))
    with pytest.raises(PlanError, match="another version"):
        read_run(workspace.settings, RUN.run_id)
    with pytest.raises(PlanError, match="no run"):
        read_run(workspace.settings, "absent")
