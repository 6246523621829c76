"""A stranger who turns out to be somebody: every analysis sees one person, from HTTP to the lake and back out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

import engage

DAY = datetime(2026, 1, 5, 12, tzinfo=UTC)


def at(day: int, hour: int = 0) -> str:
    return (DAY + timedelta(days=day, hours=hour)).isoformat()


def test_every_analysis_sees_one_person(client: httpx.Client, workspace: engage.Workspace, landed: Any) -> None:
    stranger, other = {"anonymousId": "a1"}, {"anonymousId": "a2"}
    device = {"token": "t1", "type": "ios"}
    steps: list[tuple[str, dict[str, Any]]] = [
        # On a phone, unknown: looks around, gives an address and a push token.
        ("track", {**stranger, "event": "App Launched", "timestamp": at(0)}),
        ("track", {**stranger, "event": "Product Viewed", "timestamp": at(0, 1)}),
        ("identify", {**stranger, "traits": {"email": "ada@example.com", "city": "Pune"}, "timestamp": at(0, 2)}),
        ("identify", {**stranger, "context": {"device": device}, "timestamp": at(0, 2)}),
        # In a browser, unknown too: comes back the next day.
        ("track", {**other, "event": "App Launched", "timestamp": at(1)}),
        # Logs in on both, once by identify and once by alias, and buys.
        ("identify", {**stranger, "userId": "ada", "traits": {"city": "Rome"}, "timestamp": at(2)}),
        ("alias", {"previousId": "a2", "userId": "ada", "timestamp": at(2)}),
        ("track", {"userId": "ada", "event": "Charged", "properties": {"amount": 5}, "timestamp": at(2, 1)}),
        # Somebody else, never known.
        ("track", {"anonymousId": "a3", "event": "App Launched", "timestamp": at(0)}),
        ("identify", {"anonymousId": "a3", "traits": {"city": "Oslo"}, "timestamp": at(0)}),
    ]
    for kind, message in steps:
        assert client.post(f"/v1/{kind}", json=message).status_code == 200
    landed("select 1 from identities", 2)
    landed("select 1 from user_events", 5)
    landed("select 1 from profiles", 2)

    profiles = "select user_id, email, properties->>'$.city' as city from profiles order by user_id"
    assert workspace.sql(profiles).rows() == [("a3", None, "Oslo"), ("ada", "ada@example.com", "Rome")]
    assert workspace.sql("select user_id, token, platform from devices").rows() == [("ada", "t1", "ios")]
    assert workspace.sql("select channel from reachable where user_id = 'ada' and address is not null").height == 2

    # A segment that wants what the stranger did and what the customer did.
    body = """-- Title: Looked and bought
-- grain: user_id
select user_id from user_events group by user_id
having count_if(event_name = 'Product Viewed') > 0 and count_if(event_name = 'Charged') > 0
"""
    (workspace.settings.sql / "segments" / "looked_and_bought.sql").write_text(body)
    again = engage.Workspace.open(workspace.root)
    assert again.segment("looked_and_bought").users()["user_id"].to_list() == ["ada"]

    asked = {"start_event": "App Launched", "return_event": "App Launched", "date_to": (DAY + timedelta(days=2)).date()}
    kept = again.retention(periods=3, as_of=DAY + timedelta(days=10), **asked)
    kept = kept.filter(kept["cohort"] == DAY.date())
    assert dict(zip(kept["period"], kept["users"], strict=True)) == {0: 2, 1: 1, 2: 0}

    funnel = again.funnel(["App Launched", "Product Viewed", "Charged"], "7 days")
    assert funnel["users"].to_list() == [2, 1, 1]

    person = again.person("ada")
    assert (person.events, person.anonymous_ids) == (4, ("a1", "a2"))
    story = again.timeline("ada")
    assert sorted(story["name"].to_list()) == [
        "App Launched",
        "App Launched",
        "Charged",
        "Device Added",
        "Product Viewed",
        "Profile Changed",
        "Profile Changed",
        "Profile Changed",
    ]
    assert again.find_people("ada@example.com")["user_id"].to_list() == ["ada"]
    assert again.find_people("a2")["user_id"].to_list() == ["ada"]

    # As of the day before, nobody knew who the stranger was.
    before = workspace.sql("select distinct user_id from user_events", as_of=DAY + timedelta(days=1, hours=12))
    assert sorted(before["user_id"].to_list()) == ["a1", "a2", "a3"]

    again.erase_user("ada")
    assert workspace.sql("select distinct user_id from events").rows() == [("a3",)]
    assert workspace.sql(profiles).rows() == [("a3", None, "Oslo")]
    assert workspace.sql("select 1 from devices").is_empty()


def test_claiming_to_have_been_a_known_user_takes_nothing_of_theirs(
    client: httpx.Client, workspace: engage.Workspace, landed: Any
) -> None:
    device = {"device": {"token": "t1", "type": "android"}}
    for kind, message in [
        ("identify", {"userId": "ada", "traits": {"email": "ada@example.com"}, "context": device}),
        ("track", {"userId": "ada", "event": "Charged"}),
        ("alias", {"previousId": "ada", "userId": "mallory"}),
        ("identify", {"anonymousId": "ada", "userId": "mallory"}),
    ]:
        assert client.post(f"/v1/{kind}", json=message).status_code == 200
    landed("select 1 from user_events")
    landed("select 1 from identities")
    assert workspace.sql("select user_id from profiles where email is not null").rows() == [("ada",)]
    assert workspace.sql("select user_id from devices").rows() == [("ada",)]
    assert workspace.sql("select user_id from user_events").rows() == [("ada",)]


def test_what_a_visitor_was_sent_and_saw_is_theirs_once_they_are_known(
    client: httpx.Client, workspace: engage.Workspace, landed: Any
) -> None:
    file = workspace.root / "pyproject.toml"
    file.write_text(file.read_text() + '\n[tool.engage.channels.web_popup]\nprovider = "mailbox"\n')
    given = client.post("/v1/visitors", json={}).json()
    visitor = given["anonymousId"]
    assert client.post("/v1/track", json={"anonymousId": visitor, "event": "App Launched"}).status_code == 200
    landed("select 1 from user_events")
    shop = engage.Workspace.open(workspace.root)
    content = {"title": "Hello", "body": "<p>Hi</p>"}
    values = {
        "channel": "web_popup",
        "content": content,
        "sql": "select user_id from activity",
        "labels": ["Onboarding"],
    }
    shop.create_campaign("hello", values)
    assert shop.campaign("hello").send().sent == 1
    bearer = {"authorization": f"Bearer {given['token']}"}
    [message] = client.get("/v1/messages", headers=bearer, auth=None).json()["messages"]
    report = {"id": "r1", "message_id": message["message_id"], "event": "viewed"}
    told = client.post("/v1/messages/events", headers=bearer, auth=None, json={"events": [report]})
    assert told.json() == {"success": True}
    landed("select 1 from notifications", 2)
    whose = "select distinct user_id from notifications"
    assert shop.sql(whose).rows() == [(visitor,)]

    met = datetime.now(UTC)
    assert client.post("/v1/identify", json={"anonymousId": visitor, "userId": "ada"}).status_code == 200
    assert client.post("/v1/track", json={"userId": "ada", "event": "Charged"}).status_code == 200
    # Anybody may claim to have been somebody; what was sent to that somebody stays theirs.
    assert client.post("/v1/alias", json={"previousId": "ada", "userId": "mallory"}).status_code == 200
    landed("select 1 from identities", 2)
    landed("select 1 from user_events", 2)
    assert shop.sql(whose).rows() == [("ada",)]
    assert shop.sql(whose, as_of=met).rows() == [(visitor,)], "it was not yet known"
    row = shop.report_view(text="hello").row(0, named=True)
    assert (row["sent"], row["viewed"], row["converted"]) == (1, 1, 1)
    assert shop.person("ada").messages == 1
    assert shop.label_retention("Onboarding", days=1)["people"].to_list() == [1]
