from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import engage
from engage.campaigns.editing import create_campaign
from engage.campaigns.schedule import occurrences_due, read_schedule
from engage.errors import ConfigurationError, PlanError

START = datetime(2026, 3, 1, 12, tzinfo=UTC)  # a Sunday
ZONES = {"a": "UTC", "b": "Asia/Tokyo", "c": "America/New_York"}


def due(values: dict[str, Any], since: datetime, until: datetime, zone: str = "UTC") -> list[datetime]:
    return [o.at for o in occurrences_due(read_schedule(values, zone, "campaign.toml"), since, until)]


def test_cron_is_read_in_its_zone_across_a_clock_change() -> None:
    week = timedelta(days=7)
    found = due({"cron": "0 9 * * MON", "timezone": "Europe/Berlin"}, START + 3 * week, START + 5 * week)
    assert found == [datetime(2026, 3, 23, 8, tzinfo=UTC), datetime(2026, 3, 30, 7, tzinfo=UTC)]


def test_once_by_local_time_and_by_date() -> None:
    assert due({"at": "2026-03-05T09:00", "timezone": "Asia/Tokyo"}, START, START + timedelta(days=9)) == [
        datetime(2026, 3, 5, tzinfo=UTC)
    ]
    first = datetime(2026, 3, 4, 19, tzinfo=UTC)  # 09:00 on the 5th where clocks are 14 hours ahead
    assert due({"at": "2026-03-05", "local_time": "09:00"}, START, START + timedelta(days=9)) == [first]
    assert due({"cron": "0 0 5 * *", "local_time": "09:00"}, START, START + timedelta(days=9)) == [first]
    assert due({"property": "birthday", "yearly": True, "time": "10:00"}, START, START + timedelta(days=2)) == [
        datetime(2026, 3, 2, 10, tzinfo=UTC), datetime(2026, 3, 3, 10, tzinfo=UTC)
    ]  # fmt: skip


@given(
    st.sampled_from(
        [{"cron": "*/7 * * * *"}, {"cron": "30 2 * * *", "timezone": "America/New_York"},
         {"cron": "15 6 * * *", "local_time": "08:00"}, {"property": "p", "time": "02:30", "timezone": "Europe/Berlin"}]
    ),
    st.lists(st.integers(0, 60 * 24 * 12), min_size=3, max_size=6),
)  # fmt: skip
def test_adjoining_stretches_give_what_the_whole_gives(values: dict[str, Any], cuts: list[int]) -> None:
    times = [START + timedelta(minutes=cut) for cut in sorted(cuts)]
    parts = [at for a, b in pairwise(times) for at in due(values, a, b)]
    assert parts == due(values, times[0], times[-1])


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"cron": "61 * * * *"}, "cron '61 * * * *'"),
        ({"cron": "* * * * *", "at": "2026-01-01"}, "exclude each other"),
        ({"after": "2 hours"}, "says not when"),
        ({"cron": "* * * * *", "yearly": True}, "yearly needs property"),
        ({"event": "A", "unless": "B"}, "unless needs after"),
        ({"at": "soon"}, "'soon' is not a time"),
        ({"at": "2026-01-01", "timezone": "Mars/X"}, "timezone 'Mars/X'"),
        ({"when": 1}, "unknown key 'when'"),
    ],
)
def test_a_wrong_schedule_is_named(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read_schedule(values, "UTC", "campaign.toml")
    assert told in str(raised.value)


@pytest.fixture
def people(workspace: engage.Workspace) -> engage.Workspace:
    rows = [
        {"user_id": u, "email": f"{u}@example.com", "timezone": zone, "birthday": f"198{n}-03-0{n + 1}"}
        for n, (u, zone) in enumerate(ZONES.items())
    ]
    workspace.land_profiles(rows, now=START - timedelta(days=30))
    return workspace


def make(workspace: engage.Workspace, name: str, schedule: dict[str, Any], **values: Any) -> None:
    base = {"channel": "email", "everyone": True, "content": {"subject": "Hi", "text": "Hello"}, "schedule": schedule}
    create_campaign(workspace.settings, name, base | values, {})
    workspace.campaign(name).launch(START)


def sent(workspace: engage.Workspace) -> list[tuple[str, str, datetime]]:
    query = (
        "select campaign_id, user_id, event_time from notifications where event_name = 'Notification Sent' order by all"
    )
    return workspace.sql(query).rows()


def test_a_tick_sends_what_is_due_once(people: engage.Workspace) -> None:
    make(people, "daily", {"cron": "0 18 * * *"})
    assert people.tick_campaigns(START + timedelta(hours=5)) == []
    for _ in range(2):
        people.tick_campaigns(START + timedelta(hours=7))
    assert [user for _, user, _ in sent(people)] == ["a", "b", "c"]
    people.tick_campaigns(START + timedelta(days=1, hours=7))
    assert len(sent(people)) == 6
    people.campaign("daily").pause()
    assert people.tick_campaigns(START + timedelta(days=2, hours=7)) == []
    people.campaign("daily").launch(START + timedelta(days=2, hours=8))
    [done] = people.tick_campaigns(START + timedelta(days=2, hours=8))
    assert done.run_id == "daily-20260303T1800"
    people.campaign("daily").stop()
    assert people.tick_campaigns(START + timedelta(days=3, hours=7)) == []
    with pytest.raises(PlanError, match="is stopped"):
        people.campaign("daily").launch()


def test_a_trigger_waits_and_another_event_makes_it_needless(people: engage.Workspace) -> None:
    make(
        people,
        "cart",
        {"event": "Cart Filled", "after": "2 hours", "unless": "Charged"},
        content={"subject": "{{ event.properties.item }}", "text": "x"},
    )
    at = START + timedelta(hours=1)
    events = [("a", "Cart Filled", at), ("b", "Cart Filled", at), ("b", "Charged", at + timedelta(hours=1))]
    for user, name, when in events:
        row = {"user_id": user, "event_name": name, "event_time": when, "properties": {"item": f"hat of {user}"}}
        row["received_at"] = when
        people.land_events([row])
    assert people.tick_campaigns(at + timedelta(hours=1, minutes=59)) == []
    for minutes in (121, 122, 400):
        people.tick_campaigns(at + timedelta(minutes=minutes))
    assert [(c, u) for c, u, _ in sent(people)] == [("cart", "a")]
    late = {"user_id": "c", "event_name": "Cart Filled", "event_time": at, "received_at": at + timedelta(minutes=500)}
    people.land_events([late | {"properties": {"item": "x"}}])
    for minutes in (501, 505):
        people.tick_campaigns(at + timedelta(minutes=minutes))
    assert [u for _, u, _ in sent(people)] == ["a", "c"], "an event that arrived late is not missed"
    assert people.campaign("cart").definition.delivery_type == "inactivity"


def test_birthdays_local_times_and_priority(people: engage.Workspace) -> None:
    make(people, "birthday", {"property": "birthday", "yearly": True, "time": "10:00"})
    people.tick_campaigns(START + timedelta(hours=23))
    people.tick_campaigns(START + timedelta(hours=47))
    assert [(u, at.day) for _, u, at in sent(people)] == [("b", 2), ("c", 3)]
    make(people, "local", {"at": "2026-03-05", "local_time": "09:00"})
    now = datetime(2026, 3, 4, 20, tzinfo=UTC)
    assert [one.error for one in people.tick_campaigns(now) if one.campaign_id == "local"] == [""]
    times = dict(people.sql("select user_id, send_at from audiences where run_id = 'local-once'").rows())
    assert times == {
        "a": datetime(2026, 3, 5, 9, tzinfo=UTC),
        "b": datetime(2026, 3, 5, 0, tzinfo=UTC),
        "c": datetime(2026, 3, 5, 14, tzinfo=UTC),
    }
    people.tick_campaigns(datetime(2026, 3, 5, 10, tzinfo=UTC))
    assert [u for c, u, _ in sent(people) if c == "local"] == ["a", "b"]
    people.tick_campaigns(datetime(2026, 3, 5, 15, tzinfo=UTC))
    assert [u for c, u, _ in sent(people) if c == "local"] == ["a", "b", "c"]
    people.tick_campaigns(datetime(2026, 3, 5, 16, tzinfo=UTC))
    assert people.campaign("local").definition.status == "completed"


def test_priority_decides_who_comes_first_under_a_cap(people: engage.Workspace) -> None:
    for name, priority in (("zz", 5), ("aa", 1)):
        make(people, name, {"at": START + timedelta(hours=1)}, priority=priority, caps={"day": 1})
    done = people.tick_campaigns(START + timedelta(hours=1))
    assert [(one.campaign_id, one.summary.sent if one.summary else None) for one in done] == [("zz", 3), ("aa", 0)]


def test_the_winner_is_sent_to_the_rest(people: engage.Workspace) -> None:
    more = [{"user_id": f"u{i}", "email": f"u{i}@example.com"} for i in range(200)]
    people.land_profiles(more, now=START - timedelta(days=1))
    make(
        people,
        "best",
        {"at": START + timedelta(hours=1)},
        variants=[{"name": "A"}, {"name": "B"}],
        winner={"sample_percent": 40, "after": "4 hours", "metric": "clicked"},
    )
    at = START + timedelta(hours=1)
    people.tick_campaigns(at)
    sample = people.sql("select user_id, message_id, variant from notifications where run_id = 'best-once'")
    assert 50 < sample.height < 110
    for _, message, variant in sample.rows():
        if variant == "B":
            row = {"user_id": "x", "event_name": "Notification Clicked", "event_time": at + timedelta(hours=1)}
            people.land_events([row | {"properties": {"message_id": message, "run_id": "best-once"}}])
    people.tick_campaigns(at + timedelta(hours=3))
    people.tick_campaigns(at + timedelta(hours=4))
    rest = people.sql(
        "select variant, count(*) as n from notifications where run_id = 'best-once-rest' group by 1"
    ).rows()
    assert rest == [("B", 203 - sample.height)]
    assert len({user for _, user, _ in sent(people)}) == 203


def test_one_campaigns_fault_does_not_stop_the_others(people: engage.Workspace) -> None:
    make(people, "bad", {"at": START}, content={"subject": "Hi", "text": "x"})
    make(people, "good", {"at": START})
    file = people.settings.campaigns / "bad" / "campaign.toml"
    file.write_text(file.read_text().replace('subject = "Hi"', 'subject = "{{ nope }}"'))
    done = {one.campaign_id: one for one in people.tick_campaigns(START + timedelta(hours=1))}
    assert "unknown variable 'nope'" in done["bad"].error
    assert done["good"].summary is not None
    assert done["good"].summary.sent == 3


def test_the_usual_hour_comes_from_each_persons_history(people: engage.Workspace) -> None:
    days = [START - timedelta(days=day) for day in range(1, 6)]
    rows = [{"user_id": "a", "event_name": "App Launched", "event_time": day.replace(hour=20)} for day in days]
    rows += [{"user_id": "b", "event_name": "App Launched", "event_time": day.replace(hour=7)} for day in days]
    rows += [{"user_id": "b", "event_name": "App Launched", "event_time": days[0].replace(hour=20)}]
    people.land_events(rows)
    make(people, "usual", {"at": START + timedelta(hours=1), "usual_hour": True})
    people.tick_campaigns(START + timedelta(hours=1))
    times = dict(people.sql("select user_id, send_at from audiences").rows())
    assert times == {"a": START.replace(hour=20), "b": START.replace(hour=7) + timedelta(days=1), "c": None}
    assert [user for _, user, _ in sent(people)] == ["c"]
    people.tick_campaigns(START + timedelta(hours=20))
    assert [user for _, user, _ in sent(people)] == ["a", "b", "c"]
