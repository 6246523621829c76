"""One campaign over several channels: each person once, on the first channel that reaches them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from threading import Thread
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import engage
from engage.campaigns.definition import read_campaign
from engage.campaigns.planning import bucket, plan
from engage.content.localised import make_renderer
from engage.delivery.sender import deliver
from engage.errors import ConfigurationError, PlanError
from engage.lake.runs import discard_run, list_runs, mark_begun
from engage.workspace.sending import open_ledger, run_provider

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SMS = {"channel": "sms", "content": {"body": "Text for {{ profile.name }}"}}
EMAIL = {"channel": "email", "content": {"subject": "Hi", "text": "Mail for {{ profile.name }}"}}
VALUES = {
    "channel": "push",
    "everyone": True,
    "content": {"title": "Hi", "body": "Push for {{ profile.name }}"},
    "fallback": [SMS],
}


def device(user: str, channel: str = "push", **more: Any) -> dict[str, Any]:
    return {
        "change_id": f"d-{user}-{channel}",
        "user_id": user,
        "changed_at": NOON - timedelta(days=2),
        "received_at": NOON - timedelta(days=2),
        "channel": channel,
        "platform": "android",
        "token": f"token-{user}",
        "environment": None,
        "active": True,
        "source": "test",
    } | more


def land_devices(workspace: engage.Workspace, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa

    from engage.lake.schema import DATASETS

    workspace.lake.land("devices", pa.Table.from_pylist(rows, schema=DATASETS["devices"].schema))


@pytest.fixture
def people(workspace: engage.Workspace) -> engage.Workspace:
    """``a`` has both, ``b`` a phone only, ``c`` left push, ``d`` left both, ``e`` has neither, ``f`` mail only."""
    phones = {"a": "+14155550100", "b": "+14155550101", "c": "+14155550102", "d": "+14155550103"}
    rows = [{"user_id": user, "name": user.upper(), "phone": phones.get(user)} for user in "abcdef"]
    rows[5]["email"] = "f@example.com"
    workspace.land_profiles(rows, now=NOON - timedelta(days=3))
    land_devices(workspace, [device(user) for user in "acd"])
    left = {"event_name": "Channel Unsubscribed", "event_time": NOON - timedelta(days=1)}
    for user, channel in (("c", "push"), ("d", "push"), ("d", "sms")):
        workspace.land_events([left | {"user_id": user, "properties": {"channel": channel}}])
    return workspace


def decided(workspace: engage.Workspace) -> dict[str, tuple[str, str, str | None]]:
    rows = workspace.sql("select user_id, channel, planned, reason from audiences").rows()
    assert len({row[0] for row in rows}) == len(rows), "nobody is in two plans"
    return {row[0]: row[1:] for row in rows}


def test_each_person_is_planned_once_on_the_first_channel_that_reaches_them(people: engage.Workspace) -> None:
    opened = people.create_campaign("news", VALUES)
    found = opened.dry_run(NOON)
    assert decided(people) == {
        "a": ("push", "send", None),
        "b": ("sms", "send", None),
        "c": ("sms", "send", None),
        "d": ("push", "excluded", "unsubscribed"),
        "e": ("push", "excluded", "no_address"),
        "f": ("push", "excluded", "no_address"),
    }
    counts = found.plan.counts
    assert (counts.audience, counts.send, counts.excluded) == (6, 3, {"no_address": 2, "unsubscribed": 1})
    assert [(run.channel, run.counts.send) for run in found.plan.runs] == [("push", 1), ("sms", 2)]
    assert found.estimate.messages == 3
    bodies = {one["user_id"]: (one["channel"], one["body"]) for one in found.samples}
    assert bodies == {"a": ("push", "Push for A"), "b": ("sms", "Text for B"), "c": ("sms", "Text for C")}


def test_what_is_sent_is_reported_on_the_channel_really_used(people: engage.Workspace) -> None:
    opened = people.create_campaign("news", {**VALUES, "fallback": [SMS, EMAIL]})
    summary = opened.send(NOON)
    assert summary.counts() == {"sent": 4, "excluded:no_address": 1, "excluded:unsubscribed": 1}
    assert summary.state == "completed"
    sent = people.sql("select user_id, channel, campaign_id from notifications where event_name = 'Notification Sent'")
    assert sorted(sent.rows()) == [
        ("a", "push", "news"),
        ("b", "sms", "news"),
        ("c", "sms", "news"),
        ("f", "email", "news"),
    ]
    outcomes = people.sql("select user_id, channel, outcome from outcomes").rows()
    assert Counter(row[2].partition(":")[0] for row in outcomes) == {"sent": 4, "excluded": 2}
    row = people.campaign_report().row(0, named=True)
    assert (row["channel"], row["audience"], row["sent"], row["left_out"]) == ("email, push, sms", 6, 4, 2)
    assert row["status"] == "completed"
    again = opened.send(NOON)
    assert again.counts() == summary.counts(), "sending again sends nobody anything twice"
    assert people.sql("select count(*) as n from notifications where event_name = 'Notification Sent'")["n"].item() == 4


def test_limits_and_consent_are_those_of_the_channel_used(people: engage.Workspace) -> None:
    sent = {"user_id": "b", "event_name": "Notification Sent", "event_time": NOON - timedelta(hours=1)}
    people.land_events([sent | {"properties": {"channel": "sms", "campaign_id": "old"}}])
    caps = {"channels": {"sms": {"day": 1}, "push": {"day": 0}}}
    people.create_campaign("capped", {**VALUES, "caps": caps})
    plan(people.engine, read_campaign(people.settings, "capped"), now=NOON)
    found = decided(people)
    assert found["b"] == ("sms", "excluded", "cap:sms:day"), "the cap of the channel used"
    assert found["a"] == ("push", "excluded", "cap:push:day"), "who has had enough is not written to elsewhere"
    assert found["c"] == ("sms", "send", None)
    settings = people.root / "pyproject.toml"
    settings.write_text(settings.read_text().replace("[tool.engage]", '[tool.engage]\nopt_in = ["sms"]', 1))
    strict = engage.Workspace.open(people.root)
    joined = {"event_name": "Channel Subscribed", "event_time": NOON - timedelta(days=1)}
    strict.land_events([joined | {"user_id": "c", "properties": {"channel": "sms"}}])
    strict.create_campaign("asked", VALUES)
    planned = plan(strict.engine, read_campaign(strict.settings, "asked"), now=NOON)
    assert [(run.channel, run.counts.send) for run in planned.runs] == [("push", 1), ("sms", 1)]


def test_quiet_hours_and_the_control_group_hold_over_all_channels(people: engage.Workspace) -> None:
    quiet = {"from": "11:00", "to": "13:00"}
    people.create_campaign("late", {**VALUES, "quiet_hours": quiet, "control_percent": 50})
    planned = plan(people.engine, read_campaign(people.settings, "late"), now=NOON)
    rows = people.sql("select user_id, planned, send_at from audiences where planned <> 'excluded'").rows()
    for user, what, send_at in rows:
        assert what == ("held_out" if bucket("control:late", user) < 0.5 else "send")
        assert send_at == (datetime(2026, 3, 1, 13, tzinfo=UTC) if what == "send" else None)
    assert planned.counts.held_out + planned.counts.send == 3


def test_a_plan_is_approved_whole_and_made_anew_whole(people: engage.Workspace) -> None:
    opened = people.create_campaign("news", VALUES)
    first = opened.plan(NOON)
    people.land_profiles([{"user_id": "e", "phone": "+14155550104"}], now=NOON - timedelta(hours=1))
    second = opened.plan(NOON)
    assert (first.counts.send, second.counts.send) == (3, 4)
    assert first.plan_id != second.plan_id, "also where only the other channel's people differ"
    assert first.run.recipients_sha256 != first.plan_id
    with pytest.raises(PlanError, match="is not the one there is"):
        opened.send(NOON, approve=first.plan_id)
    assert opened.send(NOON, approve=second.plan_id).sent == 4


def test_a_plan_cut_off_before_its_end_is_made_anew(people: engage.Workspace) -> None:
    opened = people.create_campaign("news", VALUES)
    planned = opened.plan(NOON)
    discard_run(people.settings, planned.run.run_id)  # as if killed between the two files
    assert [run.run_id for run in list_runs(people.settings)] == ["news-once-sms"]
    assert opened.plan(NOON).counts == planned.counts
    mark_begun(people.settings, "news-once-sms")  # killed after the first text left
    frozen = opened.plan(NOON + timedelta(days=1))
    assert not frozen.is_new
    assert frozen.plan_id == planned.plan_id


def test_a_fallback_that_is_none_is_refused(people: engage.Workspace) -> None:
    for fallback, told in (
        ([{"channel": "push", "content": {"body": "x"}}], "no other channel"),
        ([{"channel": "carrier_pigeon"}], "no other channel"),
        ([SMS, SMS], "no other channel"),
        (["sms"], "is not a table"),
        ([{**SMS, "segment": "x"}], "unknown key"),
    ):
        with pytest.raises(ConfigurationError, match=told):
            people.create_campaign("bad", {**VALUES, "fallback": fallback})


def test_the_sum_of_outcomes_is_the_audience(workspace: engage.Workspace) -> None:
    kinds = list(product((True, False), (True, False), ("", "push", "sms"), range(3)))  # token, phone, left, who
    rows = [
        {"user_id": f"u{n}", "name": f"N{n}", "phone": f"+1415555{n:04}" if phone else None}
        for n, (_, phone, _, _) in enumerate(kinds)
    ]
    workspace.land_profiles(rows, now=NOON - timedelta(days=3))
    land_devices(workspace, [device(f"u{n}") for n, (token, *_) in enumerate(kinds) if token])
    told = {"event_name": "Channel Unsubscribed", "event_time": NOON - timedelta(days=1)}
    workspace.land_events(
        [
            told | {"user_id": f"u{n}", "properties": {"channel": left}}
            for n, (_, _, left, _) in enumerate(kinds)
            if left
        ]
    )
    summary = workspace.create_campaign("news", VALUES).send(NOON)
    by_push = sum(token and left != "push" for token, _, left, _ in kinds)
    by_text = sum(not (token and left != "push") and phone and left != "sms" for token, phone, left, _ in kinds)
    assert summary.sent == by_push + by_text
    assert summary.audience == len(kinds)
    assert sum(summary.excluded.values()) == len(kinds) - by_push - by_text
    used = workspace.sql("select channel, count(*) as n from outcomes where outcome = 'sent' group by 1 order by 1")
    assert used.rows() == [("push", by_push), ("sms", by_text)]


class Fcm(BaseHTTPRequestHandler):
    """Gives a token, takes messages, and knows that one device is gone."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        status, answer = 200, {"access_token": "t", "expires_in": 3600}
        if self.path.endswith("messages:send"):
            token = json.loads(body)["message"]["token"]
            answer = {"name": f"projects/p/messages/{token}"}
            if token == "token-a":
                kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
                details = [{"@type": kind, "errorCode": "UNREGISTERED"}]
                status, answer = 404, {"error": {"code": 404, "status": "NOT_FOUND", "details": details}}
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def firebase(people: engage.Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[engage.Workspace]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Fcm)
    thread = Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {"client_email": "a@p.iam", "private_key": pem, "project_id": "p", "token_uri": f"{url}/token"}
    monkeypatch.setenv("FCM_SERVICE_ACCOUNT", json.dumps(account))
    file = people.root / "pyproject.toml"
    file.write_text(file.read_text() + f'\n[tool.engage.channels.push]\nprovider = "fcm"\nbase_url = "{url}"\n')
    yield engage.Workspace.open(people.root)
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_dead_token_is_followed_up_on_the_next_channel(firebase: engage.Workspace) -> None:
    land_devices(firebase, [device("e")])
    opened = firebase.create_campaign("news", VALUES)
    summary = opened.send()
    assert summary.counts() == {
        "sent": 3,  # e by push, b and c by text
        "excluded:no_address": 1,
        "excluded:unsubscribed": 1,
        "failed:unregistered": 1,
    }
    told = firebase.sql(
        "select user_id, channel, event_name, reason from notifications where user_id = 'a' "
        "and event_name like 'Notification%' order by event_name"
    )
    assert told.rows() == [
        ("a", "push", "Notification Failed", "unregistered"),
        ("a", "sms", "Notification Sent", None),
    ]
    row = firebase.campaign_report().row(0, named=True)
    assert (row["audience"], row["users_sent"], row["failed"]) == (6, 4, 1), "nobody is counted twice"
    before = firebase.sql("select count(*) as n from notifications")["n"].item()
    opened.send()
    assert firebase.deliver_due() == []
    assert firebase.sql("select count(*) as n from notifications")["n"].item() == before


def test_a_kill_before_the_follow_up_leaves_it_to_whoever_goes_on(firebase: engage.Workspace) -> None:
    planned = firebase.create_campaign("news", VALUES).plan()
    provider = run_provider(firebase, "push", None)
    with closing(open_ledger(firebase)) as ledger:  # the sender alone: as if killed when it was done
        deliver(planned.run, lake=firebase.lake, ledger=ledger, provider=provider, make_renderer=make_renderer)
    texts = "select count(*) as n from notifications where user_id = 'a' and channel = 'sms'"
    assert firebase.sql(texts)["n"].item() == 0
    assert [(summary.run_id, error) for summary, error in firebase.deliver_due()] == [("news-once", "")]
    assert firebase.sql(texts)["n"].item() == 1
