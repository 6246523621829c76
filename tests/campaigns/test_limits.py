from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import engage
from engage.campaigns.definition import read_campaign
from engage.campaigns.editing import create_campaign
from engage.campaigns.planning import Plan, bucket, plan
from engage.errors import ConfigurationError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ZONES = {"a": "UTC", "b": "Asia/Tokyo", "c": "America/New_York", "d": "Nowhere/Atlantis", "e": "Asia/Kolkata"}


@pytest.fixture
def people(workspace: engage.Workspace) -> engage.Workspace:
    rows = [{"user_id": u, "email": f"{u}@example.com", "timezone": zone} for u, zone in ZONES.items()]
    workspace.land_profiles(rows, now=NOON - timedelta(days=30))
    return workspace


def with_options(workspace: engage.Workspace, **options: Any) -> engage.Workspace:
    return engage.Workspace(replace(workspace.settings, options={**workspace.settings.options, **options}))


def planned(workspace: engage.Workspace, now: datetime = NOON, **values: Any) -> Plan:
    name = f"c{len(list(workspace.settings.campaigns.iterdir()))}"
    base = {"channel": "email", "everyone": True, "content": {"subject": "Hi", "text": "Hello"}}
    create_campaign(workspace.settings, name, base | values, {})
    return plan(workspace.engine, read_campaign(workspace.settings, name), now=now)


def rows(workspace: engage.Workspace, found: Plan, what: str = "reason") -> dict[str, Any]:
    query = f"select user_id, {what} from audiences where run_id = $run"
    return dict(workspace.sql(query, run=found.run.run_id).rows())


def sent(workspace: engage.Workspace, user: str, at: datetime, event: str = "Notification Sent", **more: Any) -> None:
    properties = {"channel": "email", "campaign_id": "old", **more}
    workspace.land_events([{"user_id": user, "event_name": event, "event_time": at, "properties": properties}])


def test_frequency_caps_count_what_was_sent(people: engage.Workspace) -> None:
    for hours in (1, 30):
        sent(people, "a", NOON - timedelta(hours=hours))
        sent(people, "b", NOON - timedelta(hours=hours), channel="push", labels=["Onboarding"])
    sent(people, "c", NOON - timedelta(days=8))
    sent(people, "d", NOON - timedelta(hours=2), event="Notification Failed")
    overall = with_options(people, caps={"day": 1})
    assert planned(overall).run.counts.excluded == {"cap:day": 2}
    assert planned(overall, transactional=True).run.counts.excluded == {}
    weekly = with_options(people, caps={"week": 2, "channels": {"email": {"week": 2}}})
    assert planned(weekly).run.counts.excluded == {"cap:week": 2}
    channel = with_options(people, caps={"channels": {"email": {"day": 1}, "sms": {"day": 0}}})
    found = planned(channel)
    assert found.run.counts.excluded == {"cap:email:day": 1}
    assert rows(people, found)["a"] == "cap:email:day"
    label = with_options(people, caps={"labels": {"onboarding": {"week": 1}}})
    assert planned(label).run.counts.send == 5
    assert planned(label, labels=["Onboarding"]).run.counts.excluded == {"cap:onboarding:week": 1}
    assert planned(people, caps={"week": 0}).run.counts.excluded == {"cap:week": 5}


def test_quiet_hours_follow_each_persons_clock(people: engage.Workspace) -> None:
    # 12:00 UTC is 21:00 in Tokyo, 07:00 in New York, 17:30 in Kolkata; an unknown zone counts as the workspace's.
    night = {"from": "21:00", "to": "08:00"}
    found = planned(people, quiet_hours=night)
    times = rows(people, found, "send_at")
    assert found.run.counts.send == 5
    assert times == {
        "a": None,
        "b": datetime(2026, 3, 1, 23, tzinfo=UTC),
        "c": datetime(2026, 3, 1, 13, tzinfo=UTC),
        "d": None,
        "e": None,
    }
    assert planned(people, quiet_hours=night | {"then": "skip"}).run.counts.excluded == {"quiet_hours": 2}
    everywhere = with_options(people, quiet_hours={"from": "11:00", "to": "13:00", "then": "skip"})
    assert rows(people, planned(everywhere))["a"] == "quiet_hours"
    assert planned(everywhere, quiet_hours=False).run.counts.send == 5
    assert planned(people, quiet_hours=night, end="2026-03-01T20:00Z").run.counts.excluded == {"after_end": 1}


def test_topics_and_opt_in(people: engage.Workspace) -> None:
    def said(user: str, days: int, event: str, **more: str) -> None:
        sent(people, user, NOON - timedelta(days=days), event, **more)

    said("a", 5, "Channel Unsubscribed", topic="offers")
    said("b", 5, "Channel Unsubscribed")
    said("b", 4, "Channel Subscribed", topic="offers")
    said("c", 4, "Channel Subscribed")
    said("d", 5, "Channel Subscribed", topic="offers")
    said("d", 4, "Channel Unsubscribed")
    offers = planned(people, topic="offers")
    assert {u: r for u, r in rows(people, offers).items() if r} == {"a": "unsubscribed_topic", "d": "unsubscribed"}
    assert planned(people).run.counts.excluded == {"unsubscribed": 2}
    strict = with_options(people, opt_in=["email"])
    found = rows(people, planned(strict, topic="offers"))
    assert {u for u, reason in found.items() if reason is None} == {"b", "c"}
    assert found["e"] == "not_opted_in"
    assert planned(strict, transactional=True).run.counts.send == 5


def test_people_of_another_campaign_are_left_out_sent_or_held(people: engage.Workspace) -> None:
    sent(people, "a", NOON - timedelta(days=90))
    sent(people, "b", NOON - timedelta(days=90), "Notification Held Out")
    sent(people, "c", NOON - timedelta(days=90), campaign_id="other")
    assert planned(people, not_in=["old"]).run.counts.excluded == {"in_campaign": 2}


def test_the_global_control_group_is_stable_and_recorded(people: engage.Workspace) -> None:
    more = [{"user_id": f"u{i}", "email": f"u{i}@example.com"} for i in range(400)]
    people.land_profiles(more, now=NOON - timedelta(days=30))
    kept = with_options(people, global_control_percent=20)
    first, second = planned(kept), planned(kept, control_percent=50)
    expected = {u for u in [*ZONES, *(r["user_id"] for r in more)] if bucket("global-control", u) < 0.2}
    for found in (first, second):
        reasons = rows(people, found)
        assert {u for u, reason in reasons.items() if reason == "global_control"} == expected
    assert first.run.counts.held_out == len(expected)
    assert second.run.counts.held_out > len(expected) + 100
    name = first.run.campaign_id
    kept.campaign(name).send(now=NOON)
    held = kept.sql("select count(*) as n from notifications where event_name = 'Notification Held Out'").item()
    assert held == len(expected)
    assert planned(kept, transactional=True).run.counts.held_out == 0


def test_start_and_end(people: engage.Workspace) -> None:
    later = planned(people, start=NOON + timedelta(hours=3))
    assert set(rows(people, later, "send_at").values()) == {NOON + timedelta(hours=3)}
    assert planned(people, end=NOON).run.counts.excluded == {"after_end": 5}


def test_the_parts_add_up_whatever_the_limits(people: engage.Workspace) -> None:
    for user in "abc":
        sent(people, user, NOON - timedelta(hours=5))
    people.suppress("email", "e@example.com", now=NOON - timedelta(days=1))
    limits: dict[str, Any] = {"caps": {"day": 1}, "quiet_hours": {"from": "21:00", "to": "08:00", "then": "skip"}}
    found = planned(with_options(people, global_control_percent=30), control_percent=30, **limits)
    counts = Counter(
        f"{decided}:{reason or ''}"
        for decided, reason in people.sql(
            "select planned, reason from audiences where run_id = $r", r=found.run.run_id
        ).rows()
    )
    assert counts.total() == found.run.counts.audience == 5
    assert found.run.counts.excluded == {"cap:day": 3, "suppressed": 1}


def test_custom_context_and_languages(people: engage.Workspace) -> None:
    people.land_profiles([{"user_id": "a", "language": "pt-BR"}, {"user_id": "b", "language": "de"}], now=NOON)
    values = {
        "context_sql": "select user_id, count(*) as orders, sum((properties->>'$.amount')::int) as spent "
        "from user_events where event_name = 'Charged' group by 1",
        "content": {"subject": "Hi {{ data.orders | default(0) }}", "text": "x"},
        "localise": {"by": "language", "texts": {"de": {"subject": "Hallo {{ data.spent }}"}, "pt": {"text": "y"}}},
    }
    for amount in (5, 7):
        people.land_events(
            [
                {
                    "user_id": "b",
                    "event_name": "Charged",
                    "event_time": NOON - timedelta(days=amount),
                    "properties": {"amount": amount},
                }
            ]
        )
    create_campaign(people.settings, "multi", {"channel": "email", "everyone": True, **values}, {})
    shown = {
        m["user_id"]: (m["subject"], m["text"]) for m in people.campaign("multi").preview(NOON + timedelta(days=1), 9)
    }
    assert shown["a"] == ("Hi 0", "y")
    assert shown["b"] == ("Hallo 12", "x")
    assert shown["c"] == ("Hi 0", "x")
    with pytest.raises(engage.EngageError, match="more than one row for a user"):
        planned(people, NOON, context_sql="select user_id, event_time from user_events")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"caps": {"month": 1}}, "unknown key 'month'"),
        ({"caps": {"day": -1}}, "-1 is not a number of messages"),
        ({"caps": {"channels": {"email": 3}}}, "is not a cap"),
        ({"quiet_hours": {"from": "22:00"}}, "need from and to"),
        ({"quiet_hours": {"from": "22:00", "to": "25:00"}}, "'25:00' is not a time of day"),
        ({"quiet_hours": {"from": "22:00", "to": "08:00", "then": "x"}}, "then = 'x'"),
        ({"start": "soon"}, "'soon' is not a time"),
    ],
)
def test_wrong_limits_are_named(people: engage.Workspace, values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        planned(people, **values)
    assert told in str(raised.value)


def test_two_plans_give_the_same_bytes_and_edits_change_nothing(people: engage.Workspace) -> None:
    values = {"control_percent": 30, "caps": {"day": 1}}
    first = planned(people, **values)
    before, told = first.path.read_bytes(), json.loads((first.path.parent / "run.json").read_text())
    campaign = read_campaign(people.settings, first.run.campaign_id)
    again = plan(people.engine, campaign, now=NOON, anew=True)
    assert again.path.read_bytes() == before
    people.create_label("Late")
    people.set_labels(campaign.campaign_id, "Late")
    file = campaign.folder / "campaign.toml"
    file.write_text(file.read_text().replace("Hello", "Changed"))
    summary = people.campaign(campaign.campaign_id).send(now=NOON)
    assert json.loads((first.path.parent / "run.json").read_text())["content"] != told["content"], "not begun: anew"
    assert summary.sent > 0
    file.write_text(file.read_text().replace("Changed", "Too late"))
    frozen = (first.path.parent / "run.json").read_bytes()
    people.campaign(campaign.campaign_id).send(now=NOON)
    assert (first.path.parent / "run.json").read_bytes() == frozen
