"""The audit log: appended to by many, and a change to it is seen."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engage.access.audit import AuditLog

_WRITE = """
import sys
from pathlib import Path
from engage.access.audit import AuditLog
for n in range(50):
    AuditLog(Path(sys.argv[1])).record(sys.argv[2], "campaign.send", f"c{n}")
"""


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    log = AuditLog(tmp_path / "audit")
    for n, day in enumerate((29, 30, 31), 1):
        now = datetime(2026, 10, day, tzinfo=UTC)
        log.record(
            "ada@example.com", "campaign.send", f"c{n}", role="sender", via="web", now=now, detail={"approve": "p\n1"}
        )
    log.record("bob@example.com", "campaign.send", "ü", outcome="refused", now=datetime(2026, 11, 1, tzinfo=UTC))
    return log


def test_it_tells_who_did_what_when_to_what(log: AuditLog, tmp_path: Path) -> None:
    frame = log.frame()
    assert frame["object"].to_list() == ["c1", "c2", "c3", "ü"]
    first = frame.row(0, named=True)
    assert (first["who"], first["role"], first["via"], first["outcome"]) == ("ada@example.com", "sender", "web", "")
    assert first["done_at"] == datetime(2026, 10, 29, tzinfo=UTC)
    assert json.loads(first["detail"]) == {"approve": "p\n1"}
    files = sorted((tmp_path / "audit").glob("*.ndjson"))
    assert [file.name for file in files] == ["2026-10.ndjson", "2026-11.ndjson"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert log.faults() == []
    assert AuditLog(tmp_path / "none").frame().is_empty()


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda lines: [lines[0].replace("ada", "eve"), *lines[1:]], "2026-10.ndjson:1"),
        (lambda lines: [lines[0], lines[2]], "2026-10.ndjson:2"),
        (lambda lines: [lines[1], lines[0], lines[2]], "2026-10.ndjson:1"),
        (lambda lines: [lines[0], lines[0], *lines[1:]], "2026-10.ndjson:2"),
        (lambda lines: lines[:2], "2026-11.ndjson:1"),
    ],
)
def test_a_change_is_found_where_it_was_made(log: AuditLog, tmp_path: Path, change: object, where: str) -> None:
    file = tmp_path / "audit" / "2026-10.ndjson"
    before = file.read_text()
    file.write_text("".join(change(before.splitlines(keepends=True))))  # type: ignore[operator]
    assert log.faults()[0].startswith(where)


def test_a_line_torn_by_a_power_cut_hides_no_other(log: AuditLog, tmp_path: Path) -> None:
    file = tmp_path / "audit" / "2026-11.ndjson"
    with file.open("a") as torn:
        torn.write('{"done_at": "2026-11-0')
    log.record("ada@example.com", "campaign.pause", "c1", now=datetime(2026, 11, 2, tzinfo=UTC))
    assert log.frame()["what"].to_list()[-2:] == ["campaign.send", "campaign.pause"]
    assert log.faults() == ["2026-11.ndjson:2: cannot be read"]


def test_many_processes_write_one_unbroken_chain(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    writers = [subprocess.Popen([sys.executable, "-c", _WRITE, str(folder), f"p{n}"]) for n in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    log = AuditLog(folder)
    assert log.faults() == []
    assert sorted(log.frame().group_by("who").len().rows()) == [("p0", 50), ("p1", 50), ("p2", 50)]
