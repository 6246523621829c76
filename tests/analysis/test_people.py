from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

import engage
from engage.errors import QueryError, UnknownSegmentError
from engage.lake.schema import DATASETS

DAY = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def known(workspace: engage.Workspace) -> engage.Workspace:
    """ann bought and was mailed; ben only has a profile; cy only came, first without a name."""
    workspace.land_profiles(
        [
            {"user_id": "ann", "changed_at": DAY, "email": "Ann.Lee@example.com", "name": "Ann Lee", "country": "DE"},
            {"user_id": "ann", "changed_at": DAY.replace(day=4), "country": "FR"},
            {"user_id": "ben", "changed_at": DAY, "phone": "+4915100", "name": "Ben", "country": "DE"},
        ]
    )
    sent = {"message_id": "m1", "campaign_id": "c1", "campaign_name": "Spring", "channel": "email", "labels": ["Win"]}
    workspace.land_events(
        [
            {"user_id": "ann", "event_name": "Charged", "event_time": DAY.replace(day=2), "properties": {"amount": 9}},
            {"user_id": "ann", "event_name": "Notification Sent", "event_time": DAY.replace(day=3), "properties": sent},
            {"user_id": "ann", "event_name": "Channel Subscribed", "event_time": DAY.replace(day=3, hour=13),
             "properties": {"channel": "sms"}},
            {"anonymous_id": "anon-7", "event_name": "App Launched", "event_time": DAY},
        ]
    )  # fmt: skip
    identity = {"change_id": "i1", "anonymous_id": "anon-7", "user_id": "cy", "changed_at": DAY, "received_at": DAY}
    device = {"change_id": "d1", "user_id": "cy", "changed_at": DAY.replace(hour=13), "received_at": DAY,
              "channel": "push", "platform": "ios", "token": "tok", "environment": None, "active": True,
              "source": None}  # fmt: skip
    for name, row in (("identities", identity), ("devices", device)):
        workspace.lake.land(name, pa.Table.from_pylist([row], DATASETS[name].schema))
    return workspace


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ({}, ["ann", "ben", "cy"]),
        ({"text": "an"}, ["ann"]),
        ({"text": " LEE@example "}, ["ann"]),
        ({"text": "+49151"}, ["ben"]),
        ({"text": "anon-7"}, ["cy"]),
        ({"text": "tok"}, ["cy"]),
        ({"text": "m1"}, ["ann"]),
        ({"text": "%"}, []),
        ({"text": "' or 1=1 --"}, []),
        ({"where": {"country": {"in": ["DE", "FR"]}}}, ["ann", "ben"]),
        ({"where": {"country": "DE"}}, ["ben"]),
        ({"where": {"country": "DE"}, "as_of": "2026-03-03"}, ["ann", "ben"]),
        ({"event": "Charged"}, ["ann"]),
        ({"event": {"event": "Charged", "where": {"amount": {">": 10}}}}, []),
        ({"segment": "big_spenders"}, []),
        ({"segment": "everyone", "text": "b"}, ["ben"]),
        ({"label": "Win"}, ["ann"]),
        ({"label": ["Win", "x"], "channel": "push"}, []),
        ({"most": 2}, ["ann", "ben"]),
    ],
)
def test_people_are_found(known: engage.Workspace, question: dict[str, object], found: list[str]) -> None:
    assert known.find_people(**question)["user_id"].to_list() == found  # type: ignore[arg-type]


def test_what_is_shown_of_them(known: engage.Workspace) -> None:
    ann, _, cy = known.find_people().rows(named=True)
    assert (ann["email"], ann["country"], ann["events"]) == ("Ann.Lee@example.com", "FR", 1)
    assert (ann["last_seen"], cy["events"], cy["name"]) == (DAY.replace(day=2), 1, None)
    with pytest.raises((QueryError, UnknownSegmentError)):
        known.find_people(segment="nope")


def test_one_person(known: engage.Workspace) -> None:
    ann = known.person("ann")
    assert ann.profile == {"email": "Ann.Lee@example.com", "name": "Ann Lee", "country": "FR"}
    assert (ann.events, ann.messages, ann.first_seen, ann.last_seen) == (1, 1, *2 * [DAY.replace(day=2)])
    assert ann.consents.select("channel", "subscribed").rows() == [("sms", True)]
    assert ann.reachable.select("channel", "address").rows() == [("email", "Ann.Lee@example.com")]
    cy = known.person("cy")
    assert cy.anonymous_ids == ("anon-7",)
    assert cy.devices.select("channel", "platform", "token").rows() == [("push", "ios", "tok")]
    assert known.person("ben").last_seen is None
    with pytest.raises(QueryError, match="there is no such person"):
        known.person("dora")


def test_the_timeline_tells_all_the_latest_first(known: engage.Workspace) -> None:
    rows = known.timeline("ann").select("kind", "name", "channel", "campaign", "labels").rows()
    assert rows == [
        ("profile", "Profile Changed", None, None, None),
        ("message", "Channel Subscribed", "sms", None, None),
        ("message", "Notification Sent", "email", "Spring", ["Win"]),
        ("event", "Charged", None, None, None),
        ("profile", "Profile Changed", None, None, None),
    ]
    assert known.timeline("ann", kinds=["event", "message"], most=2)["name"].to_list() == [
        "Channel Subscribed",
        "Notification Sent",
    ]
    assert known.timeline("ann", before="2026-03-02T13:00")["name"].to_list() == ["Charged", "Profile Changed"]
    assert known.timeline("ann", as_of="2026-03-02")["kind"].to_list() == ["profile"]
    assert known.timeline("cy")["name"].to_list() == ["Device Added", "App Launched"]
    assert known.timeline("nobody").height == 0
