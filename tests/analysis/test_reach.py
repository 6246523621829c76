from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

import engage
from engage.campaigns.definition import read_campaign
from engage.campaigns.editing import create_campaign
from engage.campaigns.planning import plan
from engage.errors import ConfigurationError, QueryError, UnknownSegmentError
from engage.lake.schema import DATASETS
from engage.vocabulary import Channel

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONTENT: dict[str, dict[str, Any]] = {
    "email": {"subject": "Hi", "text": "Hello"},
    "sms": {"body": "Hello"},
    "push": {"title": "Hi", "body": "Hello"},
    "in_app": {"title": "Hi", "body": "Hello"},
}


def fill(workspace: engage.Workspace, seed: int) -> None:
    """People with addresses, devices, consents and bounces, at random."""
    chance = random.Random(seed)
    users = [f"u{number}" for number in range(30)]
    addresses = [*(f"A{number}@example.com" for number in range(20)), " ", "", None]
    profiles = [
        {"user_id": user, "changed_at": NOON - timedelta(days=30), "email": chance.choice(addresses),
         "phone": chance.choice([None, "", f"+49151{user[1:]:0>6}"])}
        for user in users
    ]  # fmt: skip
    workspace.land_profiles(profiles)
    devices = [
        {"change_id": f"d{number}", "user_id": chance.choice(users), "channel": chance.choice(["push", "web_push"]),
         "token": f"t{number}", "changed_at": NOON - timedelta(days=chance.randint(1, 20)), "received_at": NOON,
         "platform": None, "environment": None, "active": chance.random() < 0.8, "source": None}
        for number in range(40)
    ]  # fmt: skip
    workspace.lake.land("devices", pa.Table.from_pylist(devices, DATASETS["devices"].schema))
    events = []
    for _ in range(80):
        channel = chance.choice(list(CONTENT))
        name = chance.choice(["Channel Subscribed", "Channel Unsubscribed", "Notification Failed"])
        properties: dict[str, Any] = {"channel": channel}
        if name == "Notification Failed" or chance.random() < 0.3:
            address = {"email": f"a{chance.randrange(20)}@example.com", "sms": f"+49151{chance.randrange(30):06}",
                       "push": f"t{chance.randrange(40)}", "in_app": chance.choice(users)}[channel]  # fmt: skip
            properties |= {"address": address, "reason": chance.choice(["hard_bounce", "soft_bounce"])}
        elif chance.random() < 0.2:
            properties["topic"] = "news"
        time = NOON - timedelta(minutes=chance.randint(-500, 20_000))
        events.append(
            {"user_id": chance.choice(users), "event_name": name, "event_time": time, "properties": properties}
        )
    workspace.land_events(events)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("opt_in", [[], ["sms", "in_app"]])
def test_a_plan_sends_to_those_who_can_be_reached(workspace: engage.Workspace, seed: int, opt_in: list[str]) -> None:
    workspace = engage.Workspace(replace(workspace.settings, options={"opt_in": opt_in}))
    fill(workspace, seed)
    table = workspace.reach("everyone", as_of=NOON)
    assert table["users"].unique().to_list() == [30]
    reachable = dict(table.select("channel", "reachable").iter_rows())
    assert set(reachable) == {str(channel) for channel in Channel}
    for channel, content in CONTENT.items():
        create_campaign(workspace.settings, channel, {"channel": channel, "everyone": True, "content": content}, {})
        counts = plan(workspace.engine, read_campaign(workspace.settings, channel), now=NOON).run.counts
        assert reachable[channel] == counts.send, (channel, counts)
    if not opt_in:
        assert 0 < reachable["email"] < 30
        assert reachable["webhook"] == 30


def test_a_select_a_name_or_an_open_segment(workspace: engage.Workspace) -> None:
    fill(workspace, 1)
    by_name = workspace.reach("everyone", as_of=NOON)
    assert workspace.reach(workspace.segment("everyone", as_of=NOON)).equals(by_name)
    assert workspace.reach("select user_id from profiles", as_of=NOON).equals(by_name)
    few = workspace.reach("select user_id from profiles where user_id in ($a, $b) -- two", as_of=NOON, a="u1", b="x")
    assert few["users"][0] == 1
    none = workspace.reach("select user_id from profiles where false")
    assert none["rate"].null_count() == none.height
    with pytest.raises(UnknownSegmentError, match="did you mean everyone"):
        workspace.reach("evryone")
    with pytest.raises(QueryError, match="now is not reproducible"):
        workspace.reach("select user_id from profiles where now() > updated_at")
    with pytest.raises(ConfigurationError, match="opt_in is not a list"):
        engage.Workspace(replace(workspace.settings, options={"opt_in": "sms"})).reach("everyone")
