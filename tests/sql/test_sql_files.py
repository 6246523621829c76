"""Every SQL file: header, one statement, parameters covered, runs on an empty lake and on a filled one."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

import engage
from engage.query.files import literal, parse_value, read_sql, with_literals

ROOT = Path(engage.__file__).parent.parent
FILES = sorted(path for path in (ROOT / "sql").rglob("*.sql") if path.parent.name != "imports")


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_file(workspace: engage.Workspace, path: Path) -> None:
    file = read_sql(path)
    assert file.title
    assert file.grain
    [statement] = duckdb.extract_statements(file.text)
    assert statement.type == duckdb.StatementType.SELECT
    assert set(statement.named_parameters) <= set(file.params)
    keys = [name.strip() for name in file.grain.split(",")]
    workspace.engine.frame(file.text, dict(file.params) or None)
    rows = [
        {"user_id": user, "event_name": name, "event_time": f"2026-0{month}-03",
         "properties": {"amount": 150, "labels": ["L"], "campaign_id": "c"}}
        for user in ("a", "b")
        for name in ("Charged", "App Launched", "Notification Sent")
        for month in (1, 2)
    ]  # fmt: skip
    workspace.land_events(rows)
    workspace.land_profiles([{"user_id": "a", "email": "a@example.com"}, {"user_id": "c"}])
    frame = workspace.engine.frame(file.text, dict(file.params) or None)
    assert set(keys) <= set(frame.columns)
    assert frame.select(keys).is_duplicated().sum() == 0
    if path.parent.name == "segments":
        assert frame.columns == ["user_id"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("everyone", ["a", "b", "c", "d"]),
        ("new_customers", ["b"]),
        ("repeat_buyers", ["a"]),
        ("lapsed_buyers", ["a", "c"]),
        ("big_spenders", ["a"]),
    ],
)
def test_segments_find_whom_they_say(workspace: engage.Workspace, name: str, expected: list[str]) -> None:
    bought = [("a", "2026-01-01", 150), ("a", "2026-01-02", 50), ("b", "2026-05-20", 199), ("c", "2026-02-01", 5)]
    workspace.land_events(
        [
            {"user_id": user, "event_name": "Charged", "event_time": day, "properties": {"amount": amount}}
            for user, day, amount in bought
        ]
    )
    workspace.land_profiles([{"user_id": "d"}])
    assert workspace.segment(name, as_of="2026-06-01").users()["user_id"].to_list() == expected


def test_headers_and_literals() -> None:
    assert parse_value("30") == 30
    assert parse_value("'it''s'") == "it's"
    assert (parse_value("true"), parse_value("null"), parse_value("2.5")) == (True, None, 2.5)
    text = "select '$a', \"$a\", $a -- $a\n, $$ $a $$, $ab /* $a */"
    assert with_literals(text, {"a": "x'y"}) == "select '$a', \"$a\", 'x''y' -- $a\n, $$ $a $$, $ab /* $a */"
    for value in ("x'y", 3, 2.5, True, None, ["a", 1]):
        assert duckdb.sql(f"select {literal(value) if not isinstance(value, list) else literal(['a'])}").fetchall()
