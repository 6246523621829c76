from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import isclose

import pyarrow as pa

import engage
from engage.analysis.charts.campaign import days_chart, funnel_chart, variants_chart
from engage.lake.schema import DATASETS

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def _told(user: str, name: str, at: datetime, message: str = "", **more: object) -> dict[str, object]:
    row = {"user_id": user, "event_name": name, "event_time": at.isoformat(), "event_id": f"{user}-{name}-{at:%d%H%M}"}
    properties = {"campaign_id": "spring", "channel": "email", "message_id": message or f"m-{user}", **more}
    return {**row, "properties": properties}


def test_one_campaign_looked_into(workspace: engage.Workspace) -> None:
    """40 sent variant a (10 convert), 40 sent b (20 convert), 20 held out (2 convert)."""
    rows: list[dict[str, object]] = []
    for number in range(100):
        user = f"u{number}"
        if number >= 80:
            rows.append(_told(user, "Notification Held Out", NOON))
        else:
            rows.append(_told(user, "Notification Sent", NOON, variant="a" if number < 40 else "b"))
        if number < 30:
            rows.append(_told(user, "Notification Viewed", NOON + timedelta(days=1)))
        if number < 6:
            rows.append(_told(user, "Notification Clicked", NOON + timedelta(days=1), url="https://x.example/a"))
        if number in (0, 1):
            rows.append(_told(user, "Notification Clicked", NOON + timedelta(days=2), url="https://x.example/b"))
        if number in (70, 71):
            rows.append(_told(user, "Notification Failed", NOON + timedelta(hours=1), reason="hard_bounce"))
        if number < 10 or 40 <= number < 60 or number >= 98:
            charged = {"user_id": user, "event_name": "Charged", "event_time": (NOON + timedelta(days=3)).isoformat()}
            rows.append({**charged, "event_id": f"c{number}", "properties": {"amount": 5}})
    late = {"user_id": "u30", "event_name": "Charged", "event_time": (NOON + timedelta(days=14)).isoformat()}
    rows.append({**late, "event_id": "late", "properties": {"amount": 99}})
    workspace.land_events(rows, now=NOON + timedelta(days=20))

    found = workspace.campaign_detail("spring")
    days = found.days.select("sent", "viewed", "clicked", "failed").rows()
    assert days == [(80, 0, 0, 2), (0, 30, 6, 0), (0, 0, 2, 0)]
    told = found.variants.select("variant", "people", "viewed", "clicked", "converted", "revenue").rows()
    assert told == [("a", 40, 30, 6, 10, 50.0), ("b", 40, 0, 0, 20, 100.0), ("held out", 20, 0, 0, 2, 10.0)]
    a, b, control = found.variants.to_dicts()
    assert isclose(b["difference"], 0.4)
    error = (0.5 * 0.5 / 40 + 0.1 * 0.9 / 20) ** 0.5
    assert isclose(b["difference_low"], 0.4 - 1.959964 * error, rel_tol=1e-5)
    assert b["p_value"] < 0.001 < a["p_value"]
    assert control["difference"] is None
    # Wilson's interval of 10 of 40 (Newcombe 1998's formula).
    assert isclose(a["conversion_low"], 0.141871, abs_tol=1e-5)
    assert isclose(a["conversion_high"], 0.401940, abs_tol=1e-5)
    assert dict(found.links.select("url", "clicks").rows()) == {"https://x.example/a": 6, "https://x.example/b": 2}
    assert found.failures.rows() == [("Notification Failed", "hard_bounce", "email", 2, 2)]
    assert found.devices.rows() == [("not told", 80, 80, 30, 6)]
    stages = dict(found.funnel.select("stage", "count").rows())
    assert (stages["sent"], stages["viewed"], stages["converted"]) == (80, 30, 30)
    assert len(days_chart(found.days).to_dict()["datasets"]) == 1
    assert "layer" in funnel_chart(found.funnel).to_dict()
    assert "layer" in variants_chart(found.variants).to_dict()


def test_of_an_unknown_campaign_there_is_nothing(workspace: engage.Workspace) -> None:
    found = workspace.campaign_detail("nothing")
    assert found.days.is_empty()
    assert found.variants.is_empty()
    assert found.funnel["count"].to_list() == [0, 0, 0, 0, 0]


def test_devices_are_what_the_receipt_says_else_the_persons_own(workspace: engage.Workspace) -> None:
    devices = [
        {
            "change_id": f"{user}-{platform}", "user_id": user, "changed_at": NOON, "received_at": NOON,
            "channel": "push", "platform": platform, "token": f"{user}-{platform}", "active": True,
        }
        for user, platform in (("a", "android"), ("b", "android"), ("b", "ios"))
    ]  # fmt: skip
    workspace.lake.land("devices", pa.Table.from_pylist(devices, DATASETS["devices"].schema))
    rows = [_told(user, "Notification Sent", NOON, channel="push") for user in "abcd"]
    rows += [_told("a", "Notification Clicked", NOON + timedelta(hours=1), channel="push")]
    rows += [_told("d", "Notification Viewed", NOON + timedelta(hours=1), channel="push", platform="iOS")]
    workspace.land_events(rows, now=NOON + timedelta(days=1))
    found = workspace.campaign_detail("spring").devices.rows()
    assert sorted(found) == [
        ("android", 1, 1, 0, 1),
        ("android and ios", 1, 1, 0, 0),
        ("ios", 1, 0, 1, 0),
        ("not told", 2, 2, 0, 0),
    ]


def test_cost_is_messages_by_price_and_unknown_without_one(workspace: engage.Workspace) -> None:
    rows = [
        {
            **_told(f"u{n}", "Notification Sent", NOON),
            "properties": {"campaign_id": c, "channel": ch, "message_id": f"{n}"},
        }
        for n, (c, ch) in enumerate([("a", "email")] * 3 + [("a", "sms")] * 2 + [("b", "push")])
    ]
    workspace.land_events(rows, now=NOON + timedelta(days=1))
    (workspace.settings.data / "prices.toml").write_text('currency = "EUR"\n[channels]\nemail = 0.01\nsms = 0.06\n')
    cost = dict(workspace.campaign_report().select("campaign_id", "cost").rows())
    assert isclose(cost["a"], 3 * 0.01 + 2 * 0.06)
    assert cost["b"] is None


def test_a_journeys_messages_are_one_row_with_its_name_and_state(workspace: engage.Workspace) -> None:
    row = _told("u", "Notification Sent", NOON)
    told = {"campaign_id": "walk", "channel": "push", "journey_id": "walk", "delivery_type": "journey"}
    workspace.land_events([{**row, "properties": told}], now=NOON + timedelta(days=1))
    nodes = {"hello": {"kind": "message", "channel": "push", "content": {"body": "Hello"}}}
    workspace.create_journey(
        "walk", {"title": "The walk", "entry": {"event": "App Launched", "to": "hello"}, "nodes": nodes}
    )
    [found] = workspace.campaign_report().filter(campaign_id="walk").to_dicts()
    assert (found["campaign"], found["journey"], found["status"]) == ("The walk", "walk", "draft")
    assert (found["delivery_type"], found["channel"], found["audience"]) == ("journey", "push", 1)


def test_the_week_is_counted_to_the_last_event(workspace: engage.Workspace) -> None:
    assert workspace.week() is None
    days = {"a": (0, 9), "b": (3,), "c": (8, 20)}
    rows = [
        {"user_id": user, "event_name": "App Launched", "event_time": (NOON - timedelta(days=ago)).isoformat()}
        for user, all_ in days.items()
        for ago in all_
    ]
    rows += [
        _told("a", "Notification Sent", NOON - timedelta(days=1)),
        _told("b", "Notification Sent", NOON - timedelta(days=9)),
    ]
    workspace.land_events(rows, now=NOON + timedelta(days=1))
    found = workspace.week()
    assert found is not None
    assert found.until == NOON
    assert (found.now["active"], found.before["active"]) == (2, 2)
    assert (found.now["sent"], found.before["sent"]) == (1, 1)
    assert found.daily["people"].to_list() == [1, 1, 1, 1, 1]
