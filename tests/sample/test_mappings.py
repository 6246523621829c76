"""The shipped import mappings, run as they are on files like those they are for."""

import re
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from engage.lake.schema import DATASETS

ROOT = Path(__file__).parents[2]
CDNOW = ROOT / "data/sample/cdnow.parquet"
NEEDED = {
    "events": {"row_number", "user_id", "event_name", "event_time"},
    "notifications": {"row_number", "user_id", "event_name", "event_time", "campaign_id", "channel"},
    "profiles": {"row_number", "user_id", "properties"},
}

Mapped = Callable[[str, str], list[tuple[str, duckdb.DuckDBPyRelation]]]


@pytest.fixture
def mapped() -> Mapped:
    """Run a mapping's selects over a file: (dataset, rows) a select, in their order."""
    connection = duckdb.connect()

    def run(mapping: str, source: str) -> list[tuple[str, duckdb.DuckDBPyRelation]]:
        connection.execute(
            f"create or replace view input as select *, row_number() over () as row_number from {source}"
        )
        text = (ROOT / "sql/imports" / f"{mapping}.sql").read_text()
        datasets = re.findall(r"^-- into: (\w+)$", text, re.M)
        selects = [statement.query for statement in connection.extract_statements(text)]
        return [(dataset, connection.sql(select)) for dataset, select in zip(datasets, selects, strict=True)]

    return run


def csv(path: Path) -> str:
    return f"read_csv('{path}', all_varchar = true, header = true)"


@pytest.mark.parametrize("mapping", ["cdnow", "hillstrom", "example"])
def test_header_and_columns(mapping: str, mapped: Mapped, tmp_path: Path) -> None:
    text = (ROOT / "sql/imports" / f"{mapping}.sql").read_text()
    assert re.match(r"-- Title: [^\n]+\.\n-- grain: [^\n]+\n", text)
    assert all(len(line) <= 110 for line in text.splitlines())
    file = tmp_path / "input.csv"
    file.write_text(
        "customer_id,date,cds,dollars,recency,history_segment,history,mens,womens,zip_code,newbie,channel,segment,"
        "visit,conversion,spend,order_id,customer,ordered_at,total,items,email,country\n"
    )
    for dataset, rows in mapped(mapping, csv(file)):
        columns = set(rows.columns)
        assert columns >= NEEDED[dataset]
        assert columns <= set(DATASETS[dataset].schema.names) | {"row_number"}


def test_cdnow_is_the_published_data(mapped: Mapped) -> None:
    (events_into, events), (profiles_into, profiles) = mapped("cdnow", f"'{CDNOW}'")
    assert (events_into, profiles_into) == ("events", "profiles")
    purchases = events.pl()
    assert purchases.height == 69_659
    assert purchases["row_number"].to_list() == list(range(1, 69_660))
    assert purchases["user_id"].n_unique() == 23_570
    assert purchases["event_name"].unique().to_list() == ["Charged"]
    assert purchases["properties"].struct.field("amount").sum() == pytest.approx(2_500_315.63)
    first = purchases.select("user_id", month=purchases["event_time"].dt.truncate("1mo")).group_by("user_id").min()
    assert first["month"].dt.month().value_counts().sort("month")["count"].to_list() == [7_846, 8_476, 7_248]
    january = first.filter(first["month"].dt.month() == 1)
    in_february = purchases.filter(purchases["event_time"].dt.strftime("%Y-%m") == "1997-02")
    assert january.join(in_february, on="user_id", how="semi").height == 1_157

    people = profiles.pl()
    assert people.height == 23_570
    assert people["user_id"].is_unique().all()
    emails = people["properties"].struct.field("email")
    assert (emails == people["user_id"] + "@cdnow.example").all()


def test_cdnow_keeps_repeated_rows_and_order() -> None:
    (rows, repeated) = duckdb.sql(
        f"select sum(n), count(*) filter (n > 1) from "
        f"(select customer_id, date, cds, dollars, count(*) as n from '{CDNOW}' group by all)"
    ).fetchall()[0]
    assert (rows, repeated) == (69_659, 215)
    ids = [row[0] for row in duckdb.sql(f"select customer_id from '{CDNOW}'").fetchall()]
    assert ids == sorted(ids)
    assert (ids[0], ids[-1]) == ("00001", "23570")


def test_cdnow_bad_values_become_null(mapped: Mapped, tmp_path: Path) -> None:
    file = tmp_path / "cdnow.csv"
    file.write_text(
        "customer_id,date,cds,dollars\n1,1997-01-01,2,9.5\n2,1997-13-01,1,5\n3,1997-01-02,1,many\n,1997-01-02,1,1\n"
    )
    (_, events), (_, profiles) = mapped("cdnow", csv(file))
    rows = {row[0]: row[1:4] for row in events.fetchall()}
    assert rows[1][:2] == ("1", "Charged")
    assert rows[2][2] is None
    assert rows[3][1] is None
    assert rows[4][0] is None
    assert sorted(row[1] for row in profiles.fetchall()) == ["1", "2", "3"]


def test_hillstrom_counts(mapped: Mapped, tmp_path: Path) -> None:
    """Rows made up to the published counts of people, visits and purchases give back those counts."""
    published = {
        "Mens E-Mail": (21_307, 3_894, 267),
        "Womens E-Mail": (21_387, 3_238, 189),
        "No E-Mail": (21_306, 2_262, 122),
    }
    file = tmp_path / "hillstrom.csv"
    with file.open("w") as out:
        out.write(
            "recency,history_segment,history,mens,womens,zip_code,newbie,channel,segment,visit,conversion,spend\n"
        )
        for segment, (people, visits, purchases) in published.items():
            for n in range(people):
                visited, bought = int(n < visits), int(n < purchases)
                out.write(f"9,2) a,1.5,1,0,Rural,0,Phone,{segment},{visited},{bought},{29.99 * bought}\n")
    results = mapped("hillstrom", csv(file))
    assert [dataset for dataset, _ in results] == [
        "profiles",
        "notifications",
        "notifications",
        "events",
        "events",
    ]
    profiles, mens, womens, visits, charged = (rows.pl() for _, rows in results)
    assert profiles["user_id"].n_unique() == 64_000
    assert profiles["user_id"][0] == "h00001"
    for campaign, label, sent, rows in (
        ("mens_email", "Mens", 21_307, mens),
        ("womens_email", "Womens", 21_387, womens),
    ):
        assert rows["campaign_id"].unique().to_list() == [campaign]
        assert rows["labels"][0].to_list() == [label]
        counts = dict(rows["event_name"].value_counts().iter_rows())
        assert counts == {"Notification Sent": sent, "Notification Held Out": 21_306}
    assert (visits.height, charged.height) == (9_394, 578)
    assert visits["event_time"].min() > mens["event_time"].max()
    assert (charged["event_time"].max() - mens["event_time"].min()).days < 14
    # no row yields two of one kind, so ids can be derived from file, select and row
    assert all(rows["row_number"].is_unique().all() for rows in (profiles, mens, womens, visits, charged))


def test_hillstrom_refuses_what_it_does_not_understand(mapped: Mapped, tmp_path: Path) -> None:
    file = tmp_path / "hillstrom.csv"
    file.write_text(
        "recency,history_segment,history,mens,womens,zip_code,newbie,channel,segment,visit,conversion,spend\n"
        "1,a,1,1,0,Rural,0,Web,Mens E-Mail,1,1,lots\n1,a,1,1,0,Rural,0,Web,Pets E-Mail,yes,0,0\n"
    )
    _, (_, mens), (_, womens), (_, visits), (_, charged) = mapped("hillstrom", csv(file))
    assert [row[:3] for row in mens.fetchall()] == [(1, "h00001", "Notification Sent"), (2, "h00002", None)]
    assert womens.fetchall() == []
    assert [row[:3] for row in visits.fetchall()] == [(1, "h00001", "Site Visited"), (2, "h00002", None)]
    assert [row[:3] for row in charged.fetchall()] == [(1, "h00001", None)]
