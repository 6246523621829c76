from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

import engage
from engage.errors import ImportFileError
from engage.lake.landing import Landed
from tests.examples import times

CDNOW = Path(engage.__file__).parent.parent / "data" / "sample" / "cdnow.parquet"
HEADER = "user_id,event_name,event_time,amount\n"


def rejects(path: Path) -> list[tuple[int, str]]:
    rows = [json.loads(line) for line in path.with_name(f"{path.name}.rejected.ndjson").read_text().splitlines()]
    return [(row["line"], row["reason"]) for row in rows]


def test_cdnow_is_all_there_and_importing_it_again_adds_nothing(workspace: engage.Workspace) -> None:
    first = workspace.import_file(CDNOW, mapping="cdnow")
    assert (first.rows, first.rejected) == (69_659, 0)
    assert first.landed == {"events": Landed(69_659, 0), "profiles": Landed(23_570, 0)}
    again = workspace.import_file(CDNOW, mapping="sql/imports/cdnow.sql")
    assert again.landed == {"events": Landed(0, 69_659), "profiles": Landed(0, 23_570)}
    facts = workspace.sql(
        "select count(*), count(distinct user_id), sum((properties->>'$.quantity')::int), "
        "round(sum((properties->>'$.amount')::double), 2) from events"
    )
    source = pl.read_parquet(CDNOW)
    assert facts.row(0) == (69_659, 23_570, int(source["cds"].sum()), round(float(source["dollars"].sum()), 2))
    # Published: 7,846 first bought in January 1997, and 1,157 of them again in February.
    table = workspace.retention(
        start_event="Charged",
        return_event="Charged",
        period="month",
        periods=18,
        kind="first_time",
        date_to="1998-06-30",
    )
    january = table.filter(pl.col("cohort").dt.to_string() == "1997-01-01")
    assert january["users"].to_list()[:2] == [7_846, 1_157]
    expected = (
        source.select(pl.col("customer_id"), month=pl.col("date").dt.year() * 12 + pl.col("date").dt.month())
        .unique()
        .with_columns(first=pl.col("month").min().over("customer_id"))
        .group_by("first", k=pl.col("month") - pl.col("first"))
        .len()
    )
    counted = {(first, k): users for first, k, users in expected.iter_rows()}
    for cohort, _, k, users, _ in table.iter_rows():
        number = cohort.year * 12 + cohort.month
        assert users == (counted.get((number, k), 0) if number + k <= 1998 * 12 + 6 else None)


def test_two_equal_rows_are_two_events_and_a_longer_export_adds_what_is_new(
    workspace: engage.Workspace, tmp_path: Path
) -> None:
    file = tmp_path / "a.csv"
    file.write_text(HEADER + "u,Charged,2026-01-01,5\nu,Charged,2026-01-01,5\n")
    assert workspace.import_file(file).landed["events"] == Landed(2, 0)
    assert workspace.import_file(file).landed["events"] == Landed(0, 2)
    file.write_text(HEADER + "u,Charged,2026-01-01,5\n" * 3 + "v,Charged,2026-01-01,5\n")
    assert workspace.import_file(file).landed["events"] == Landed(2, 2)


@pytest.mark.parametrize(("key", "there"), [("", 4), ("id as event_id, ", 2)])
def test_two_selects_into_one_dataset_share_its_keys(
    workspace: engage.Workspace, tmp_path: Path, key: str, there: int
) -> None:
    file, mapping = tmp_path / "a.csv", tmp_path / "m.sql"
    file.write_text("id,who,day\n1,u,2026-01-01\n2,v,2026-01-02\n")
    select = f"select row_number, {key}who as user_id, 'x' as event_name, day as event_time from input;\n"
    mapping.write_text(f"-- into: events\n{select}" * 2)
    assert workspace.import_file(file, str(mapping)).landed["events"] == Landed(there, 4 - there)
    assert workspace.import_file(file, str(mapping)).landed["events"] == Landed(0, 4)
    assert workspace.sql("select count(*), count(distinct event_id) from events").row(0) == (there, there)


@pytest.mark.parametrize("zipped", [False, True])
def test_csv_rejects_are_told_with_their_line(workspace: engage.Workspace, tmp_path: Path, zipped: bool) -> None:
    text = (
        HEADER.encode() + b'a,x,2026-01-01,"two\nlines"\n'  # lines 2 and 3
        b"b,x,someday,1\n"  # 4
        b"c,x\n"  # 5
        b"\n"  # 6: empty lines are nothing
        b"d,x,2026-01-01,1,too many\n"  # 7
        b"e,x,2026-01-01,\xff\xfe\n"  # 8
        b",x,2026-01-01,1\n"  # 9
        b"f,,2026-01-01,1\n"  # 10
        b"g,x,2026-01-01,1\n"
    )
    file = tmp_path / ("a.csv.gz" if zipped else "a.csv")
    file.write_bytes(gzip.compress(text) if zipped else text)
    summary = workspace.import_file(file)
    assert rejects(file) == [
        (4, "event_time is not a time"),
        (5, "has 2 columns, not 4"),
        (7, "has 5 columns, not 4"),
        (8, "is not UTF-8"),
        (9, "user_id is empty"),
        (10, "event_name is empty or could not be told"),
    ]
    assert (summary.rows, summary.rejected, summary.landed["events"].rows) == (8, 6, 2)
    got = workspace.sql("select user_id, properties->>'$.amount' as amount from events order by 1").rows()
    assert got == [("a", "two\nlines"), ("g", "1")]


def test_ndjson_rejects_are_told_with_their_line(workspace: engage.Workspace, tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    good = '{"user_id":"u","event_name":"x","event_time":"2026-01-01T00:00:00.5Z","properties":{"a/b":[1]}}\n'
    file.write_text(good + "{oops\n\n[1]\n" + good.replace("2026-01-01", "never") + good.replace('{"a/b":[1]}', "7"))
    summary = workspace.import_file(file)
    assert rejects(file) == [
        (2, "is not a JSON object"),
        (4, "is not a JSON object"),
        (5, "event_time is not a time"),
        (6, "properties are no JSON object"),
    ]
    assert summary.landed["events"].rows == 1
    assert json.loads(workspace.sql("select properties from events").item()) == {"a/b": [1]}
    file.write_text(good)
    workspace.import_file(file)
    assert not (tmp_path / "a.ndjson.rejected.ndjson").exists(), "a clean import takes the old report away"


def test_messages_in_a_file_land_as_notifications(workspace: engage.Workspace, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(
        "user_id,event_name,event_time,label,campaign_id\nu,Notification Sent,2026-01-01,Onboarding,c\n"
        "u,App Launched,2026-01-02,,\n"
    )
    summary = workspace.import_file(file)
    assert {name: done.rows for name, done in summary.landed.items()} == {"events": 1, "notifications": 1}
    assert workspace.sql("select labels, campaign_id from notifications").row(0) == (["Onboarding"], "c")


def test_naive_times_are_in_the_workspaces_zone(tmp_path: Path) -> None:
    workspace = engage.Workspace.create(tmp_path / "w", timezone="Asia/Kolkata")
    file = tmp_path / "a.csv"
    file.write_text(HEADER + "u,x,2026-01-01 05:30,1\nv,x,2026-01-01T00:00Z,1\n")
    workspace.import_file(file)
    assert workspace.sql("select count(distinct event_time), min(local_date(event_time))::varchar from events").row(
        0
    ) == (
        1,
        "2026-01-01",
    )


@pytest.mark.parametrize(
    ("name", "content", "mapping", "told"),
    [
        ("none.csv", None, None, "no such file"),
        ("a.xlsx", "x", None, "cannot be imported; use .csv"),
        ("a.csv", "", None, "is empty"),
        (
            "a.csv",
            "user_id,event_time\na,2026-01-01\n",
            None,
            "column 'event_name' is missing; it has user_id, event_time",
        ),
        ("a.ndjson", "oops\n", None, "holds no JSON objects"),
        ("a.parquet", "oops", None, "a.parquet: "),
        ("a.csv", HEADER, "nope", "no mapping 'nope' under sql/imports/"),
        ("a.csv", HEADER, "drop table input", "a mapping holds selects and nothing else"),
        ("a.csv", HEADER, "select row_number, customer as user_id from input", '"customer" not found'),
        ("a.csv", HEADER, "selec 1", 'syntax error at or near "selec"'),
        ("a.csv", HEADER, "select row_number, user_id, event_name from input", "gives no column 'event_time'"),
        ("a.csv", HEADER, "select *, event_time as t from input", "have no column 'amount'; put it into properties"),
        ("a.csv", HEADER, "select * from read_text('/etc/passwd')", "file system operations are disabled"),
        ("a.csv", HEADER, "-- into: people\nselect 1", "there is no dataset 'people'"),
    ],
)
def test_what_cannot_be_imported_is_one_line_and_lands_nothing(
    workspace: engage.Workspace, tmp_path: Path, name: str, content: str | None, mapping: str | None, told: str
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_text(content)
    if mapping and " " in mapping:
        (tmp_path / "m.sql").write_text(mapping)
        mapping = str(tmp_path / "m.sql")
    with pytest.raises(ImportFileError) as error:
        workspace.import_file(file, mapping)
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert workspace.sql("select count(*) from events").item() == 0


IMPORT = "import sys, engage; print('ready', flush=True); "
IMPORT += "engage.Workspace.open(sys.argv[1]).import_file(sys.argv[2], 'cdnow')"


@pytest.mark.chance
def test_an_import_killed_anywhere_is_whole_or_not_there(workspace: engage.Workspace, tmp_path: Path) -> None:
    file = tmp_path / "cdnow.parquet"
    some = pl.read_parquet(CDNOW).head(10_000)
    some.write_parquet(file)
    environment = {**os.environ, "PYTHONPATH": str(Path(engage.__file__).parent.parent)}
    chance = random.Random(7)
    for _ in range(times(3)):
        process = subprocess.Popen(
            [sys.executable, "-c", IMPORT, str(workspace.root), str(file)], stdout=subprocess.PIPE, env=environment
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0.1, 1.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        with workspace.lake.storage.writing():  # takes over what the dead one left
            pass
        assert workspace.sql("select count(*) from events").item() in (0, 10_000)
    workspace.import_file(file, "cdnow")
    counts = workspace.sql("select count(*), count(distinct event_id) from events").row(0)
    assert counts == (10_000, 10_000)
    assert workspace.sql("select count(*) from profiles").item() == some["customer_id"].n_unique()


def test_line_ends_of_windows_are_line_ends(workspace: engage.Workspace, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(
        HEADER.replace("\n", "\r\n").encode() + b'u,x,2026-01-01,1\r\nv,x,soon,1\r\nw,x,2026-01-02,"a\r\nb"\r\n'
    )
    assert workspace.import_file(file).landed["events"].rows == 2
    assert rejects(file) == [(3, "event_time is not a time")]


EVENT = '{"user_id":"%s","event_name":"x","event_time":"2026-01-01T00:00:00Z"%s}\n'


@pytest.mark.parametrize("zipped", [False, True])
def test_a_byte_order_mark_is_no_part_of_the_first_line(
    workspace: engage.Workspace, tmp_path: Path, zipped: bool
) -> None:
    file = tmp_path / ("a.ndjson.gz" if zipped else "a.ndjson")
    text = b"\xef\xbb\xbf" + (EVENT % ("it's", ',"only":"here"') + EVENT % ("b", "")).encode()
    file.write_bytes(gzip.compress(text) if zipped else text)
    summary = workspace.import_file(file)
    assert (summary.rows, summary.rejected) == (2, 0)
    got = workspace.sql("select user_id, properties->>'$.only' from events order by 1").rows()
    assert got == [("b", None), ("it's", "here")]


def test_what_only_looks_like_json_is_refused(workspace: engage.Workspace, tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    file.write_text(
        EVENT % ("a", ',"properties":{"v":NaN}')
        + EVENT % ("b", ',"properties":{"v":[-Infinity]}')
        + EVENT % ("c", ',"w":nan')
        + EVENT % ("d", ',"properties":{"v":"NaN, \\"inf\\"","information":1}')
    )
    assert workspace.import_file(file).rejected == 3
    assert [line for line, _ in rejects(file)] == [1, 2, 3]
    assert workspace.sql("select user_id, properties->>'$.v' from events").rows() == [("d", 'NaN, "inf"')]
    table = tmp_path / "a.csv"
    table.write_text('user_id,event_name,event_time,properties\na,y,2026-01-01,"{""v"":NaN}"\nb,y,2026-01-01,{}\n')
    workspace.import_file(table)
    assert rejects(table) == [(2, "properties hold NaN or Infinity, which JSON has not")]


def test_nan_and_infinity_are_refused_however_they_are_spelt(workspace: engage.Workspace, tmp_path: Path) -> None:
    spelt = [
        sign + "".join(letter.upper() if bits >> place & 1 else letter for place, letter in enumerate(word)) + rest
        for word, rest in (("nan", ""), ("inf", ""), ("inf", "inity"))
        for bits in range(8)
        for sign in ("", "-")
    ]
    bad = [before + number for number in spelt for before in ("", " ", "[1,", "[", "[1,\t")]
    lines = [EVENT % (f"a{n}", f',"properties":{{"v":{text}{"]" * text.count("[")}}}') for n, text in enumerate(bad)]
    lines += [EVENT % (f"b{n}", f',"properties":{{"v":"a: {text}, \\": {text}"}}') for n, text in enumerate(spelt)]
    file = tmp_path / "a.ndjson"
    file.write_text("".join(lines))
    assert workspace.import_file(file).rejected == len(bad)
    assert [line for line, _ in rejects(file)] == list(range(1, len(bad) + 1))
    told = workspace.sql("select properties->>'$.v' from events order by user_id").to_series()
    assert sorted(told) == sorted(f'a: {text}, ": {text}' for text in spelt)


def test_columns_beside_properties_are_kept(workspace: engage.Workspace, tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    file.write_text(
        EVENT % ("a", ',"properties":{"v":1,"both":"inner"},"plan":"x","both":"outer"')
        + EVENT % ("b", ',"plan":"y"')
        + EVENT % ("c", ',"plan":"y","properties":[1]')
    )
    workspace.import_file(file)
    assert rejects(file) == [(3, "properties are no JSON object")]
    query = "select user_id, properties->>'$.v', properties->>'$.both', properties->>'$.plan' from events order by 1"
    assert workspace.sql(query).rows() == [("a", "1", "inner", "x"), ("b", None, None, "y")]


def test_a_long_csv_row_is_read_and_one_too_long_is_told(workspace: engage.Workspace, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    row = "{},x,2026-01-01,{}\n"
    file.write_text(HEADER + row.format("a", "y" * 3_000_000) + row.format("b", "z" * 17_000_000) + row.format("c", 1))
    summary = workspace.import_file(file)
    assert rejects(file) == [(3, "is longer than 16,000,000 bytes")]
    assert (summary.rows, summary.landed["events"].rows) == (3, 2)
    assert workspace.sql("select length(properties->>'$.amount') as n from events order by n").rows() == [
        (1,),
        (3_000_000,),
    ]
