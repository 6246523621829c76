from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from engage.query.check import check_text

HARMLESS = {
    "current_database",
    "current_query",
    "current_schema",
    "current_schemas",
    "current_setting",
    "error",
    "getvariable",
    "in_search_path",
    "sleep_ms",
    "stats",
    "vector_type",
    "write_log",
}
"""What DuckDB does not call consistent, and yet gives the same answer for the same rows, files and settings."""


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("select user_id from events where (n=$a)=$b and x < now()", [(1, 52)]),
        ("select 1 where f($a)=$now and g($b)=$random", []),
        ("select '$a now()', \"$b\" -- $c now()", []),
        ("select user_id\nfrom events\nwhere length($a)=$b\nlimit 3", [(4, 1)]),
    ],
)
def test_parameters_are_no_dollar_quotes(sql: str, found: list[tuple[int, int]]) -> None:
    assert [(finding.line, finding.column) for finding in check_text(sql, Path("x.sql"))] == found


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("select user_id from events tablesample 10%", [(1, 28, "a sample")]),
        ("select user_id from events using sample 5", [(1, 34, "a sample")]),
        ("select user_id from events\noffset 3", [(2, 1, "an offset")]),
        ("select user_id from events order by 1 limit 5 offset 3", []),
        ("select user_id from events fetch first 3 rows only", [(1, 28, "a fetch")]),
        ("select user_id from (select user_id from events limit 5) order by 1 limit 3", [(1, 49, "a limit")]),
        ("(select a from t order by a limit 1) union select a from t limit 2", [(1, 60, "a limit")]),
        ("select list(a order by a limit 3) from t", []),
        ("select sample, t.sample, t.random, offset from t", []),
        ("select distinct on (a) a, b from t", [(1, 8, "a distinct on")]),
        ("select distinct on (a) a, b from t order by a, b", []),
        ("select distinct a from t", []),
        ("select a from t qualify row_number() over (partition by a) = 1", [(1, 25, "row_number()")]),
        ("select a from t qualify row_number() over (partition by a order by b) = 1", []),
        ("select Lag(a) filter (where a > 1) over (partition by (b)) from t", [(1, 8, "lag()")]),
        ("select sum(a) over (partition by b), rank() over w from t window w as (order by b)", []),
        ("select age(a), age(as_of(), a), age(date_trunc('day', a)) from t", [(1, 8, "age()"), (1, 33, "age()")]),
        ("select current_localtimestamp(), txid_current() from t", [(1, 8, "current_lo"), (1, 34, "txid_curr")]),
        ("select a from t limit 1; select 2 limit 1", [(1, 17, "a limit"), (1, 35, "a limit")]),
    ],
)
def test_what_goes_by_no_order_or_by_the_day_is_told_where_it_is(sql: str, found: list[tuple[int, int, str]]) -> None:
    told = check_text(sql, Path("x.sql"))
    assert [(one.line, one.column) for one in told] == [(line, column) for line, column, _ in found]
    assert all(one.what.startswith(what) for one, (_, _, what) in zip(told, found, strict=True))


def test_every_function_that_duckdb_calls_inconsistent_is_told_or_known_to_be_harmless() -> None:
    with duckdb.connect() as connection:
        query = "select distinct function_name from duckdb_functions() where stability <> 'CONSISTENT'"
        names = {name for (name,) in connection.execute(query).fetchall()}
    told = {name for name in names if check_text(f"select user_id from events where {name}() > 1", Path("x.sql"))}
    assert names - told == HARMLESS & names
    assert {"now", "random", "today", "uuid"} <= told
