from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import engage
from engage.lake.schema import DATASETS
from engage.sample.simulator import Simulation, simulate


@pytest.fixture(scope="module")
def made() -> tuple[Simulation, pl.DataFrame, pl.DataFrame]:
    simulation = simulate(6_000, 120_000, 7)
    batches = list(simulation.batches())
    tables = [pa.concat_tables([batch[n] for batch in batches]) for n in (0, 1)]
    for table, name in zip(tables, ("events", "notifications"), strict=True):
        assert table.schema == DATASETS[name].schema
    frames = [pl.DataFrame(pl.from_arrow(table)) for table in tables]
    return simulation, frames[0], frames[1]


def test_the_same_seed_gives_the_same_rows(made: tuple[Simulation, pl.DataFrame, pl.DataFrame]) -> None:
    again = simulate(6_000, 120_000, 7)
    assert again.profiles.equals(made[0].profiles)
    assert pl.DataFrame(pl.from_arrow(pa.concat_tables([e for e, _ in again.batches()]))).equals(made[1])
    other = simulate(6_000, 120_000, 8)
    assert not other.profiles.equals(made[0].profiles)


def test_there_are_as_many_events_as_asked(made: tuple[Simulation, pl.DataFrame, pl.DataFrame]) -> None:
    _, events, notes = made
    assert abs(events.height / 120_000 - 1) < 0.01
    assert events["event_id"].is_unique().all()
    assert notes["event_id"].is_unique().all()
    assert made[0].profiles.schema == DATASETS["profiles"].schema
    assert made[0].devices.schema == DATASETS["devices"].schema


def test_people_come_tire_and_leave(made: tuple[Simulation, pl.DataFrame, pl.DataFrame]) -> None:
    _, events, _ = made
    installed = events.filter(event_name="App Installed").select("user_id", first="event_time")
    assert installed["user_id"].n_unique() == installed.height == 6_000
    later = events.join(installed, on="user_id")
    assert (later["event_time"] >= later["first"]).all()
    removed = events.filter(event_name="App Uninstalled").select("user_id", gone="event_time")
    after = events.join(removed, on="user_id").filter(pl.col("event_name") != "App Uninstalled")
    assert (after["event_time"] < after["gone"]).all()
    age = (later["event_time"] - later["first"]).dt.total_days().to_numpy()
    weeks = np.bincount(age[later["event_name"].to_numpy() == "App Launched"] // 7, minlength=8)[:8]
    assert (np.diff(weeks) < 0).all(), "fewer come back each week"
    launched = events.filter(event_name="App Launched")["event_time"]
    weekday = np.bincount(launched.dt.weekday().to_numpy(), minlength=8)[1:]
    assert weekday[5:].mean() > 1.1 * weekday[:4].mean(), "weekends are busier"


def test_versions_never_go_back(made: tuple[Simulation, pl.DataFrame, pl.DataFrame]) -> None:
    launches = (
        made[1]
        .filter(event_name="App Launched")
        .with_columns(minor=pl.col("properties").str.extract(r"2\.(\d+)\.0").cast(pl.Int64))
    )
    steps = launches.sort("user_id", "event_time").select(pl.col("minor").diff().over("user_id")).to_series()
    assert (steps.drop_nulls() >= 0).all()


def test_the_report_recovers_what_was_planted(workspace: engage.Workspace) -> None:
    made = workspace.sample(20_000, 200_000, seed=7)
    before = workspace.sql("select count(*) from events").item()
    workspace.sample(20_000, 200_000, seed=7)
    assert workspace.sql("select count(*) from events").item() == before
    report = {row["campaign_id"]: row for row in workspace.campaign_report().to_dicts()}
    for campaign, planted in made.truth.items():
        row = report[campaign]
        assert (row["users_sent"], row["held_out"]) == (planted["sent"], planted["held_out"])
        assert row["lift_low"] <= planted["conversion"] <= row["lift_high"], campaign
        lift = workspace.lift(campaign, metric="conversion", within="14 days")
        assert (lift.treated_n, lift.control_n) == (planted["sent"], planted["held_out"])
        assert lift.difference == pytest.approx(row["lift"])
        assert not [warning for warning in lift.warnings if "split" in warning or "ratio" in warning]
    assert report["app_onboarding"]["lift_low"] > 0
    assert report["app_onboarding"]["labels"] == ["App onboarding"]
    assert report["app_onboarding"]["sent"] > report["app_onboarding"]["viewed"] > report["app_onboarding"]["clicked"]
