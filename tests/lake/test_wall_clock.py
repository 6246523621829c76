from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage.lake.wall_clock import wall_clock

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",  # changed its mind in 2019
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # by half an hour
    "Africa/Casablanca",  # back for a month of each year
    "Pacific/Apia",
)


@pytest.mark.parametrize("zone", ZONES)
def test_it_is_what_duckdb_says_every_hour_and_around_each_change(zone: str) -> None:
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        own = wall_clock("t", zone)
        connection.execute(
            "create table hours as select unnest(generate_series(timestamptz '2015-12-01 00:00:00+00', "
            "timestamptz '2036-02-01 00:00:00+00', interval 1 hour)) as t"
        )
        connection.execute(f"create table told as select t, (t at time zone '{zone}') as said from hours")
        different = "select count(*) from {} where {} is distinct from {}"
        assert connection.sql(different.format("told", own, "said")).fetchall() == [(0,)]
        # Minutes around the hours in which the clock was changed.
        connection.execute(
            "create table minutes as select t + to_minutes(minute) as t from (select t from (select t, said, "
            "lag(said) over (order by t) as before from told) where said - before <> interval 1 hour), "
            "unnest(range(-180, 180)) as around(minute) "
            "union all select make_timestamptz(epoch_us(t) - 1) from hours where day(t) = 1"
        )
        asked = f"(t at time zone '{zone}')"
        assert connection.sql(different.format("minutes", own, asked)).fetchall() == [(0,)]
        assert connection.sql(f"select {wall_clock('null::timestamptz', zone)}").fetchall() == [(None,)]


@given(
    st.sampled_from(ZONES),
    st.datetimes(datetime(1990, 1, 1), datetime(2024, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_it_is_what_python_says(zone: str, moment: datetime) -> None:
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        query = f"select {wall_clock('t', zone)} from (select $moment::timestamptz as t)"
        found = connection.execute(query, {"moment": moment}).fetchall()
    assert found == [(moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None),)]
