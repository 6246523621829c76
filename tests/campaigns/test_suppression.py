from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import engage
from engage.campaigns.definition import read_campaign
from engage.campaigns.editing import create_campaign
from engage.campaigns.planning import plan
from engage.errors import ImportFileError, PlanError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def people(workspace: engage.Workspace) -> engage.Workspace:
    rows = [{"user_id": name, "email": f"{name.title()}@Example.com"} for name in "abcdef"]
    workspace.land_profiles(rows, now=NOON)
    values = {"channel": "email", "everyone": True, "content": {"subject": "Hi", "text": "Hello"}}
    create_campaign(workspace.settings, "news", values, {})
    return workspace


def reasons(workspace: engage.Workspace) -> dict[str, int]:
    found = plan(workspace.engine, read_campaign(workspace.settings, "news"), now=NOON, anew=True)
    return dict(found.run.counts.excluded)


def said(user: str, event: str, at: datetime, **properties: str) -> dict[str, object]:
    return {"user_id": user, "event_name": event, "event_time": at, "properties": {"channel": "email", **properties}}


def test_an_address_is_suppressed_until_it_is_lifted(people: engage.Workspace) -> None:
    before = NOON - timedelta(days=1)
    assert people.suppress("email", [" A@example.COM", "nobody@example.com", "a@example.com"], now=before) == 2
    listed = people.suppressions("email").sort("address").select("address", "user_id", "reason", "since").rows()
    assert listed == [("a@example.com", "a", "manual", before), ("nobody@example.com", None, "manual", before)]
    assert reasons(people) == {"suppressed": 1}
    people.unsuppress("email", "a@example.com", now=before + timedelta(hours=1))
    assert reasons(people) == {}
    assert people.suppressions(as_of=before + timedelta(minutes=1)).height == 2
    assert people.suppressions("sms").is_empty()


def test_bounces_and_complaints_suppress_and_a_new_address_is_free(people: engage.Workspace) -> None:
    day = NOON - timedelta(days=2)
    people.land_events(
        [
            said("a", "Notification Failed", day, address="a@example.com", reason="hard_bounce"),
            said("b", "Notification Failed", day, address="b@example.com", reason="expired"),
            said("c", "Channel Unsubscribed", day, address="c@example.com", reason="unregistered"),
            said("d", "Channel Unsubscribed", day, address="d@example.com", reason="complaint"),
        ]
    )
    assert reasons(people) == {"suppressed": 2, "unsubscribed": 1}
    people.land_profiles([{"user_id": u, "email": f"{u}2@example.com"} for u in "acd"], now=NOON - timedelta(hours=1))
    assert reasons(people) == {"unsubscribed": 1}, "a complaint is the person's, a dead address is not"


def test_the_latest_word_wins_by_channel_and_topic(people: engage.Workspace) -> None:
    rows = [("Channel Unsubscribed", 1, {}), ("Channel Subscribed", 2, {}), ("Channel Unsubscribed", 3, {"topic": "t"})]
    people.land_events([said("a", name, NOON - timedelta(days=9 - day), **more) for name, day, more in rows])
    found = people.sql("select topic, subscribed from consents where user_id = 'a' order by topic").rows()
    assert found == [("", True), ("t", False)]
    early = people.sql("select subscribed from consents", as_of=NOON - timedelta(days=7, hours=1)).rows()
    assert early == [(False,)]


def test_a_list_is_imported(people: engage.Workspace, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("name,address\nx,a@example.com\ny, B@example.com\n")
    assert people.import_suppressions("email", file, now=NOON - timedelta(days=1)) == 2
    assert set(people.suppressions()["source"]) == {"list.csv"}
    assert reasons(people) == {"suppressed": 2}
    file.write_text("c@example.com\n\nd@example.com\n")
    assert people.import_suppressions("email", file, now=NOON - timedelta(days=1)) == 2
    file.write_text("")
    with pytest.raises(ImportFileError, match="holds no address"):
        people.import_suppressions("email", file)
    with pytest.raises(PlanError, match="channel 'fax' is not known"):
        people.suppress("fax", "x")
