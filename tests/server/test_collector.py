from __future__ import annotations

import gzip
import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from rudderstack.analytics.client import Client as RudderClient
from segment.analytics.client import Client as SegmentClient

import engage
from engage.server.fields import Rejected
from engage.server.segment_api import translate


def track(number: int = 0, **more: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Charged", "userId": "u1", "messageId": f"m{number}"} | more


def test_an_event_is_in_the_lake_within_seconds_and_once(client: httpx.Client, landed: Any) -> None:
    for _ in range(3):
        answer = client.post("/v1/track", json=track(properties={"amount": 12.5}))
        assert (answer.status_code, answer.json()) == (200, {"success": True})
    (row,) = landed("select event_id, user_id, event_name, properties, source from user_events")
    assert json.loads(row.pop("properties")) == {"amount": 12.5}
    assert row == {"event_id": "m0", "user_id": "u1", "event_name": "Charged", "source": "segment"}


def test_a_wrong_clock_is_corrected_by_what_the_client_says_it_sent(client: httpx.Client, landed: Any) -> None:
    wrong = datetime.now(UTC) - timedelta(days=400)  # the client's clock; the event lay 60 s before sending
    message = track(timestamp=(wrong - timedelta(seconds=60)).isoformat(), sentAt=wrong.isoformat())
    assert client.post("/v1/track", json=message).status_code == 200
    (row,) = landed("select epoch(received_at - event_time) as ago from user_events")
    assert abs(row["ago"] - 60) < 1


def test_one_bad_message_loses_no_other_and_is_kept_with_its_reason(
    client: httpx.Client, workspace: engage.Workspace, landed: Any, eventually: Any
) -> None:
    bad = [{"type": "track", "userId": "u1"}, {"type": "fly", "userId": "u1"}, 7, {"type": "track", "event": "X"}]
    answer = client.post("/v1/batch", json={"batch": [track(1), *bad, track(2)]})
    assert (answer.status_code, answer.json()) == (200, {"success": True, "rejected": 4})
    assert {row["event_id"] for row in landed("select event_id from user_events", 2)} == {"m1", "m2"}
    folder = workspace.settings.data / "dead_letters"
    eventually(lambda: bool(list(folder.glob("*.ndjson"))))
    letters = [json.loads(line) for path in folder.iterdir() for line in path.read_text().splitlines()]
    assert [letter["rejected"] for letter in letters] == [
        "event is empty",
        "type is not one of identify, track, page, screen, group, alias",
        "a message is not an object",
        "userId and anonymousId are both empty",
    ]


@pytest.mark.parametrize("event", ["Notification Sent", "Notification Viewed", "Notification Clicked"])
def test_nobody_can_say_with_a_public_key_what_became_of_a_message(client: httpx.Client, event: str) -> None:
    assert client.post("/v1/track", json=track(event=event)).status_code == 400


def test_a_proven_user_says_what_they_viewed_but_not_what_was_sent() -> None:
    now = datetime.now(UTC)
    viewed = track(event="Notification Viewed")
    rows = translate(viewed, "track", received_at=now, proven=True)
    assert rows["events"]["event_name"] == "Notification Viewed"
    for forged in (track(event="Notification Sent"), viewed | {"userId": None, "anonymousId": "a1"}):
        with pytest.raises(Rejected):
            translate(forged, "track", received_at=now, proven=True)


def test_the_stranger_and_the_user_are_one_person(client: httpx.Client, landed: Any) -> None:
    assert client.post("/v1/track", json=track(1, userId=None, anonymousId="a1")).status_code == 200
    who = {"userId": "u1", "anonymousId": "a1", "traits": {"city": "Pune"}}
    assert client.post("/v1/identify", json=who).status_code == 200
    landed("select 1 from identities where anonymous_id = 'a1'")
    assert landed("select distinct user_id from user_events") == [{"user_id": "u1"}]
    assert landed("select user_id from profiles where properties->>'$.city' = 'Pune'") == [{"user_id": "u1"}]


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (401, {"json": track(), "auth": ("wrong", "")}),
        (400, {"content": b"{"}),
        (400, {"content": b"[" * 100_000}),
        (400, {"content": b"\xff\xfe"}),
        (400, {"json": ["no object"]}),
        (400, {"json": track(properties=[])}),
        (400, {"json": track(timestamp="yesterday")}),
        (400, {"json": track(userId="x" * 600)}),
        (400, {"json": track(properties={"x": "y" * 40_000})}),
        (400, {"content": json.dumps(track(properties=1)).replace("1}", "{" + '"a":{' * 40 + "}" * 41 + "}")}),
        (400, {"content": b'{"event":"X","userId":"u","properties":{"x":NaN}}'}),
        (400, {"content": b"\x1f\x8b no gzip", "headers": {"content-encoding": "gzip"}}),
        (413, {"content": b" " * (2 << 20)}),
        (413, {"content": gzip.compress(b" " * (64 << 20)), "headers": {"content-encoding": "gzip"}}),
    ],
)
def test_hostile_requests_are_refused_in_one_line(client: httpx.Client, status: int, request_: dict[str, Any]) -> None:
    answer = client.post("/v1/track", **request_)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["success", "error"]
    assert "\n" not in answer.json()["error"]


def test_a_page_of_another_origin_may_send(client: httpx.Client) -> None:
    asked = {"origin": "https://shop.example", "access-control-request-method": "POST"}
    answer = client.options("/v1/batch", headers=asked | {"access-control-request-headers": "authorization"})
    assert answer.headers["access-control-allow-origin"] == "*"


def test_segments_own_client(server: Any, landed: Any) -> None:
    client = SegmentClient(server.key, host=server.url, max_retries=0, upload_interval=0.1)
    client.identify("u1", {"city": "Pune"})
    for _ in range(250):
        client.track("u1", "Charged", {"amount": 1})
    client.page("u1", "Docs", "Start")
    client.shutdown()
    assert landed("select count(*) as n from user_events having count(*) = 251") == [{"n": 251}]
    assert landed("select user_id from profiles where properties->>'$.city' = 'Pune'") == [{"user_id": "u1"}]


def test_segments_own_client_for_node(server: Any, node: Any, landed: Any) -> None:
    node("segment.cjs", server.url, server.key)
    landed("select 1 from user_events", 52)
    counts = landed("select event_name, count(*) as n from user_events group by 1 order by 1", 3)
    assert [(row["event_name"], row["n"]) for row in counts] == [
        ("Charged", 1),
        ("Page Viewed", 1),
        ("Product Viewed", 50),
    ]
    landed("select 1 from identities")
    assert landed("select distinct user_id from user_events") == [{"user_id": "u1"}]
    (charged,) = landed("select event_time::varchar as at from user_events where event_name = 'Charged'")
    assert charged["at"].startswith("2026-03-01 12:00:00")


def test_rudderstacks_own_client_which_packs(server: Any, landed: Any) -> None:
    client = RudderClient(server.key, host=server.url, max_retries=0, gzip=True)
    for _ in range(100):
        client.track("u1", "Charged", {"amount": 1})
    client.shutdown()
    assert landed("select count(*) as n from user_events having count(*) = 100") == [{"n": 100}]


def test_events_land_exactly_once_though_the_server_is_killed_under_load(
    server: Any, workspace: engage.Workspace, landed: Any
) -> None:
    answered: set[str] = set()
    ended = threading.Event()

    def send(worker: int) -> None:
        with httpx.Client(auth=(server.key, ""), timeout=10) as http:
            for number in range(60):
                ids = [f"{worker}-{number}-{i}" for i in range(10)]
                batch = {"batch": [track() | {"messageId": i} for i in ids]}
                while not ended.is_set():  # a client tries again until it is answered
                    try:
                        if http.post(server.url + "/v1/batch", json=batch).status_code == 200:
                            answered.update(ids)
                            break
                    except httpx.TransportError:
                        ended.wait(0.05)

    senders = [threading.Thread(target=send, args=(worker,)) for worker in range(4)]
    # Other people's clients meanwhile, which try again by themselves; what they give up on they tell.
    lost: list[Exception] = []
    options: dict[str, Any] = {"host": server.url, "max_retries": 100, "on_error": lambda error, _: lost.append(error)}
    others = [
        SegmentClient(server.key, upload_interval=0.05, upload_size=5, **options),
        RudderClient(server.key, upload_interval=0.05, upload_size=5, gzip=True, **options),
    ]
    try:
        for sender in senders:
            sender.start()
        for mark in (200, 900, 1600):
            for number in range(100):
                for one in others:
                    one.track("other", "Elsewhere", {"number": number})
            while len(answered) < mark:
                ended.wait(0.01)
            server.kill()
            server.start()
        for sender in senders:
            sender.join(60)
        assert len(answered) == 2400
        for one in others:
            one.shutdown()
        assert lost == []
        landed("select 1 from user_events having count(*) >= 3000")
        events = workspace.sql("select event_id from user_events where user_id = 'u1'")["event_id"].to_list()
        assert sorted(events) == sorted(answered)
        assert landed("select count(*) as n from user_events where user_id = 'other'") == [{"n": 600}]
    finally:
        ended.set()
