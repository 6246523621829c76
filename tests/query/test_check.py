from __future__ import annotations

from pathlib import Path

import pytest

from engage.query.check import check_text


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
