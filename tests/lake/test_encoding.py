from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

import engage
from engage.lake.encoding import write_parquet
from engage.lake.schema import DATASETS

TIMES = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
TEXTS = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=12))


@given(
    st.lists(st.tuples(TEXTS, TIMES, st.one_of(st.none(), st.lists(TEXTS, max_size=3))), max_size=40),
    st.sampled_from([1, 30]),
)
def test_every_reader_finds_the_rows_that_were_written(
    rows: list[tuple[str | None, datetime, list[str | None] | None]], often: int
) -> None:
    rows *= often
    names = ("properties", "event_time", "labels")
    schema = pa.schema([DATASETS["notifications"].schema.field(name) for name in names])
    columns = zip(*rows, strict=True) if rows else ([], [], [])
    table = pa.table([pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)], schema)
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        path = Path(folder) / "a.parquet"
        write_parquet(table, path)
        assert pq.read_table(path).equals(table)
        assert pl.read_parquet(path).rows() == pl.from_arrow(table).rows()  # type: ignore[union-attr]
        connection.execute("set TimeZone = 'UTC'")
        assert connection.sql(f"from '{path}'").to_arrow_table().to_pylist() == table.to_pylist()


def encodings(workspace: engage.Workspace) -> dict[str, set[str]]:
    (path,) = workspace.lake.folder("events").glob("date=2026*/*.parquet")
    group = pq.read_metadata(path).row_group(0)
    columns = [group.column(place) for place in range(group.num_columns)]
    return {column.path_in_schema: set(column.encodings) - {"RLE", "PLAIN"} for column in columns}


def test_what_repeats_is_in_a_dictionary_and_nothing_else(workspace: engage.Workspace, tmp_path: Path) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        {"event_id": f"e{n}", "user_id": f"u{n}", "anonymous_id": f"a{n % 9}", "event_name": "Opened"}
        | {"event_time": (start + timedelta(seconds=n)).isoformat()}
        for n in range(600)
    ]
    workspace.land_events(rows[:300])
    expected = {"event_id": "DELTA_LENGTH_BYTE_ARRAY", "user_id": "DELTA_LENGTH_BYTE_ARRAY"}
    expected |= {"anonymous_id": "RLE_DICTIONARY", "event_name": "RLE_DICTIONARY", "event_time": "DELTA_BINARY_PACKED"}

    def is_as_expected() -> bool:
        found = encodings(workspace)
        return all(found[name] == {encoding} for name, encoding in expected.items())

    assert is_as_expected()
    workspace.land_events(rows[300:])
    workspace.compact()
    assert is_as_expected()
    again = engage.Workspace.create(tmp_path / "imported")
    file = tmp_path / "a.ndjson"
    pl.DataFrame(rows).write_ndjson(file)
    again.import_file(file)
    assert {name: encodings(again)[name] for name in expected} == {name: {told} for name, told in expected.items()}
