from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import engage
from engage.errors import (
    EngageError,
    MissingParameterError,
    QueryError,
    ReadOnlyError,
    UnknownParameterError,
    UnknownSegmentError,
)
from engage.windows import moment


@pytest.fixture
def filled(workspace: engage.Workspace) -> engage.Workspace:
    workspace.land_events(
        [
            {
                "user_id": user,
                "event_name": "Charged",
                "event_time": f"2026-0{month}-01T00:00",
                "properties": {"amount": 9},
            }
            for month, user in ((1, "a"), (2, "a"), (3, "b"))
        ]
    )
    return workspace


def test_as_of_is_half_open(filled: engage.Workspace) -> None:
    counts = [
        filled.sql("select count(*) from events", as_of=day).item() for day in ("2026-02-01", "2026-02-01T00:01", None)
    ]
    assert counts == [1, 2, 3]


def test_as_of_a_day_is_its_first_instant_in_the_workspaces_zone(tmp_path: Path) -> None:
    berlin = engage.Workspace.create(tmp_path / "w", timezone="Europe/Berlin")
    assert berlin.moment("2026-07-01") == datetime(2026, 6, 30, 22, tzinfo=UTC)
    assert berlin.moment("2026-07-01T00:00Z") == datetime(2026, 7, 1, tzinfo=UTC)
    berlin.land_events([{"user_id": "a", "event_name": "x", "event_time": "2026-06-30T22:30"}])
    assert berlin.sql("select local_date(event_time)::varchar from events").item() == "2026-07-01"
    assert berlin.sql("select event_time::date::varchar from events").item() == "2026-07-01"


def test_what_is_set_for_a_workspace_holds_where_questions_are_asked(filled: engage.Workspace) -> None:
    names = ("asof_loop_join_threshold", "enable_external_access", "lock_configuration")
    settings = filled.engine.frame(f"select name, value from duckdb_settings() where name in {names} order by name")
    assert settings["value"].to_list() == ["0", "false", "true"]


def test_known_at_hides_what_arrived_later(filled: engage.Workspace) -> None:
    filled.land_events(
        [{"user_id": "z", "event_name": "x", "event_time": "2026-01-01"}], now=datetime(2099, 1, 1, tzinfo=UTC)
    )
    known = filled.engine.frame("select count(*) from events", known_at=datetime(2098, 1, 1, tzinfo=UTC)).item()
    assert (known, filled.sql("select count(*) from events").item()) == (3, 4)


def test_queries_as_of_different_times_run_side_by_side(filled: engage.Workspace) -> None:
    days = ["2026-01-01", "2026-01-02", "2026-02-02", "2026-03-02"] * 8
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda day: filled.sql("select count(*) from events", as_of=day).item(), days))
    assert counts == [0, 1, 2, 3] * 8


def test_parameters_are_bound_never_pasted(filled: engage.Workspace) -> None:
    hostile = "a' or '1' = '1"
    assert filled.sql("select count(*) from events where user_id = $user", user=hostile).item() == 0
    assert filled.sql("select count(*) from events where user_id = $user", user="a").item() == 2


def test_missing_and_unknown_parameters_are_named(filled: engage.Workspace) -> None:
    with pytest.raises(MissingParameterError, match=r"\$days has no value"):
        filled.sql("select $days")
    with pytest.raises(UnknownParameterError, match=r"no parameter \$dayz"):
        filled.sql("select 1", dayz=3)


@pytest.mark.parametrize(
    "query",
    [
        "drop view events",
        "delete from events",
        "create table t as select 1",
        "copy (select 1) to 'x.csv'",
        "attach 'x.db'",
        "install httpfs",
        "set memory_limit = '1GB'",
        "pragma database_list",
        "select 1; drop view events",
        "select * from read_text('/etc/passwd')",
        "select * from read_csv('/etc/passwd')",
        "select * from '/etc/passwd'",
        "select * from glob('/etc/*')",
        "select * from read_text('{root}/../outside.txt')",
        "select * from read_text('{root}/.env')",
        "select * from read_text('{root}/*.toml')",
        "select * from read_blob('{root}/data/access.sqlite')",
        "select * from read_text('{root}/data/lake/../labels.toml')",
        "select * from read_text('{root}/data/audit/log.jsonl')",
        "select * from glob('{root}/data/*')",
        "select * from read_text('{root}/.git/config')",
        "select * from read_text('{root}/data/../../outside.txt')",
    ],
)
def test_nothing_is_written_and_nothing_outside_is_read(filled: engage.Workspace, query: str) -> None:
    for name in ("../outside.txt", ".env", "data/access.sqlite", "data/audit/log.jsonl", ".git/config"):
        file = filled.root / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("secret")
    before = {path: path.stat().st_mtime_ns for path in filled.root.rglob("*") if path.is_file()}
    with pytest.raises(QueryError):
        filled.sql(query.replace("{root}", str(filled.root)))
    assert {path: path.stat().st_mtime_ns for path in filled.root.rglob("*") if path.is_file()} == before


def test_a_link_out_of_the_workspace_is_not_followed_by_name(filled: engage.Workspace) -> None:
    with pytest.raises(ReadOnlyError, match="only one select"):
        filled.sql("update events set user_id = 'x'")


def test_a_wrong_column_is_told_with_its_line(filled: engage.Workspace) -> None:
    with pytest.raises(QueryError, match=r"^line 2, column 5: .*nope"):
        filled.sql("select\n    nope\nfrom events")


def test_an_edited_file_is_seen_at_once(filled: engage.Workspace) -> None:
    path = filled.settings.sql / "segments" / "mine.sql"
    path.write_text(
        "-- Title: Mine\n-- grain: user_id\n-- params: who='a'\n"
        "select distinct user_id from events where user_id = $who"
    )
    assert filled.sql("select user_id from segments.mine")["user_id"].to_list() == ["a"]
    path.write_text(path.read_text().replace("'a'", "'b'  "))
    assert filled.sql("select user_id from segments.mine")["user_id"].to_list() == ["b"]
    path.unlink()
    with pytest.raises(EngageError):
        filled.sql("select user_id from segments.mine")


def test_a_broken_file_stops_only_those_who_ask_for_it(filled: engage.Workspace) -> None:
    (filled.settings.sql / "segments" / "broken.sql").write_text("-- Title: x\nselect nope from events")
    assert filled.sql("select count(*) from segments.repeat_buyers").item() == 1
    with pytest.raises(QueryError, match=r"sql/segments/broken\.sql.*nope"):
        filled.sql("from segments.broken")


def test_segments(filled: engage.Workspace) -> None:
    assert filled.segment("repeat_buyers").users()["user_id"].to_list() == ["a"]
    assert filled.segment("repeat_buyers", purchases=1).count() == 2
    assert filled.segment("repeat_buyers", as_of="2026-02-01").count() == 0
    assert filled.segment("new_customers", as_of="2026-03-15").users()["user_id"].to_list() == ["b"]
    assert filled.segment("lapsed_buyers", as_of="2026-03-15", days=30).users()["user_id"].to_list() == ["a"]
    assert filled.segment("big_spenders", amount=18).users()["user_id"].to_list() == ["a"]
    assert filled.segment("everyone").count() == 2
    assert "having count(*) >= $purchases" in filled.segment("repeat_buyers").sql


def test_an_unknown_segment_suggests_a_near_one(filled: engage.Workspace) -> None:
    with pytest.raises(UnknownSegmentError, match="did you mean repeat_buyers"):
        filled.segment("repeat_buyer")
    with pytest.raises(UnknownSegmentError):
        filled.segment("../lake/events")
    with pytest.raises(UnknownParameterError, match="it has: purchases"):
        filled.segment("repeat_buyers", days=3)


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        (
            "select distinct user_id from events\nwhere event_time > now()",
            r":5:20: now is not reproducible; write as_of\(\)",
        ),
        (
            "select distinct user_id from events where event_time::date = current_date",
            ":4:62: current_date is not",
        ),
        ("select distinct user_id from events where random() < 0.5", ":4:43: random.. is not reproducible"),
        ("select distinct user_id from events limit 10", ":4:37: a limit without an order"),
        ("delete from events", "only one select can be run here, not delete"),
        ("select event_name from events", "has no column user_id"),
        ("select user_id from events", "is not one row a user_id: 3 rows, 2 people"),
        ("select user_id,\n  nope from events", ":5:3: Binder Error"),
        ("select user_id from events where $days > 1", r":4:34: \$days has no default"),
    ],
)
def test_check_tells_line_and_column(filled: engage.Workspace, sql: str, told: str) -> None:
    path = filled.settings.sql / "segments" / "draft.sql"
    path.write_text(f"-- Title: A draft\n-- grain: user_id\n\n{sql}\n")
    [finding] = filled.check_file(path)
    assert re.search(told, str(finding)), str(finding)
    assert any(str(path) in str(fault) for fault in filled.check())


def test_what_looks_like_a_clock_but_is_none_passes(filled: engage.Workspace) -> None:
    path = filled.settings.sql / "segments" / "fine.sql"
    path.write_text(
        "-- Title: now() in words, 'random()' in text, a column called random\n-- grain: user_id\n"
        "select user_id from (select user_id, 'now()' as random from events) where random <> 'today()' "
        "group by user_id order by user_id limit 5"
    )
    assert filled.check_file(path) == []


def test_the_shipped_sql_is_in_order(filled: engage.Workspace) -> None:
    assert filled.check() == []


def test_a_moment_that_is_none_is_refused() -> None:
    with pytest.raises(QueryError, match="'soon' is not a time"):
        moment("soon", "UTC")


def test_a_query_writes_parquet_whole(filled: engage.Workspace) -> None:
    path = filled.settings.data / "out" / "users.parquet"
    filled.engine.copy("select distinct user_id from events where user_id <> $x", {"x": "a"}, path)
    assert filled.sql(f"select user_id from '{path}'")["user_id"].to_list() == ["b"]
    with pytest.raises(QueryError):
        filled.engine.copy("select nope from events", None, path)
    assert [file.name for file in path.parent.iterdir()] == ["users.parquet"]


def test_a_folder_that_comes_while_questions_are_asked_can_be_read(filled: engage.Workspace, tmp_path: Path) -> None:
    asked = filled.engine._cursor("select 1", {}, None, None)  # a question that is still running then
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.csv").write_text("x\n1\n")
    query = "select x from read_csv(workspace_file('data/warehouse/a.csv'))"
    with pytest.raises(QueryError):
        filled.sql(query)
    (filled.root / "data" / "warehouse").symlink_to(elsewhere)
    assert filled.sql(query).item() == 1
    assert asked.sql("select count(*) from events").fetchall() == [(3,)]
    asked.close()


def test_a_file_replaced_under_its_name_is_read_anew(filled: engage.Workspace) -> None:
    (file,) = (filled.settings.lake / "events" / "date=2026-03-01").glob("*.parquet")
    table = pq.read_table(file)
    for users in (["c"], ["d", "e"], ["f"]):
        assert table.num_rows == 1
        rows = [table.set_column(table.column_names.index("user_id"), "user_id", pa.array([user])) for user in users]
        pq.write_table(pa.concat_tables(rows), file)
        found = filled.sql("select user_id from events where event_time >= '2026-03-01' order by all")
        assert found["user_id"].to_list() == users


def test_a_connection_is_replaced_at_times(filled: engage.Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engage.query.engine._QUESTIONS", 3)
    connections = []
    for _ in range(9):
        assert filled.sql("select count(*) from events").item() == 3
        if filled.engine._connection not in connections:
            connections.append(filled.engine._connection)
    with filled.engine.derived() as reading:
        assert reading is None
    assert len(connections) == 3
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: filled.sql("select count(*) from events").item(), range(40))) == {3}
