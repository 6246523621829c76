from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

import engage
from engage.errors import ConfigurationError
from engage.signing import Signer, UntrustedError, UserTokens
from tests.server.onsite_client import AppClient, Bearer

CHANNELS = ("in_app", "app_inbox", "web_popup", "web_exit_intent")
POPUP = {"title": "Cart", "body": "<p>Still there</p>", "actions": [{"label": "Pay", "url": "/pay", "id": "pay"}]}


@pytest.fixture
def workspace(workspace: engage.Workspace) -> engage.Workspace:
    file = workspace.root / "pyproject.toml"
    tables = "".join(f'\n[tool.engage.channels.{name}]\nprovider = "mailbox"\n' for name in CHANNELS)
    file.write_text(file.read_text() + tables)
    opened = engage.Workspace.open(workspace.root)
    earlier = datetime.now(UTC) - timedelta(days=1)
    opened.land_profiles([{"user_id": user} for user in ("ada", "bob")], now=earlier)
    return opened


@pytest.fixture
def app(client: httpx.Client, workspace: engage.Workspace) -> Iterator[Callable[[str], AppClient]]:
    opened: list[AppClient] = []

    def of(user: str) -> AppClient:
        opened.append(AppClient(str(client.base_url), workspace.user_token(user)))
        return opened[-1]

    yield of
    for one in opened:
        one.close()


def send(workspace: engage.Workspace, name: str, channel: str, **content: Any) -> None:
    values = {"title": name.title(), "channel": channel, "everyone": True, "labels": ["Onboarding"]}
    workspace.create_campaign(name, values | {"content": POPUP | content})
    assert workspace.campaign(name).send().sent == 2


def test_a_campaign_is_fetched_seen_and_clicked_and_the_report_shows_it(
    app: Callable[[str], AppClient], workspace: engage.Workspace, eventually: Any
) -> None:
    send(workspace, "cart", "in_app", trigger={"event": "Product Viewed"})
    ada, bob = app("ada"), app("bob")
    [mine], [others] = ada.fetch(), bob.fetch()
    assert mine != others
    shown = ada.messages[mine]
    assert (shown["title"], shown["trigger"], shown["views"]) == ("Cart", {"event": "Product Viewed"}, 0)
    for _ in range(2):  # a report whose answer was lost is sent again
        assert ada.report(mine, "viewed", report_id="r1").json() == {"success": True}
    assert ada.report(mine, "clicked", action="pay", url="/pay").json() == {"success": True}
    assert app("ada").fetch() == [], "what was clicked is not shown again"
    eventually(lambda: workspace.report_view(text="cart")["clicked"].item() == 1)
    row = workspace.report_view(text="cart").row(0, named=True)
    assert (row["sent"], row["viewed"], row["clicked"]) == (2, 1, 1)
    label = workspace.sql("select * from notifications where event_name = 'Notification Clicked'").row(0, named=True)
    assert (label["user_id"], label["labels"], label["campaign_name"]) == ("ada", ["Onboarding"], "Cart")
    assert (label["channel"], label["delivery_type"], label["run_id"]) == ("in_app", "one-time", "cart-once")
    assert json.loads(label["properties"]) == {"action": "pay", "url": "/pay"}
    assert bob.messages[others]["views"] == 0


def test_who_waits_is_told_at_once(app: Callable[[str], AppClient], workspace: engage.Workspace) -> None:
    ada = app("ada")
    send(workspace, "first", "in_app")
    assert len(ada.fetch()) == 1
    came: list[str] = []
    waiting = threading.Thread(target=lambda: came.extend(ada.fetch(wait=25)))
    waiting.start()
    send(workspace, "second", "app_inbox")
    waiting.join(60)
    assert [ada.messages[one]["campaign_id"] for one in came] == ["second"]
    assert ada.fetch(wait=1) == []


def test_the_inbox_is_read_deleted_pinned_and_ends(
    app: Callable[[str], AppClient], workspace: engage.Workspace, eventually: Any
) -> None:
    send(workspace, "news", "app_inbox")
    send(workspace, "top", "app_inbox", pinned=True)
    send(workspace, "brief", "app_inbox", expires_after=0.001)
    ada = app("ada")
    top, news = ada.fetch()
    assert [ada.messages[one]["campaign_id"] for one in (top, news)] == ["top", "news"]
    assert (ada.unread, ada.messages[top]["pinned"], ada.messages[news]["read_at"]) == (2, True, None)
    ada.report(top, "read")
    ada.report(news, "viewed")
    again = app("ada")
    assert again.fetch() == [top, news]
    assert again.unread == 0
    ada.report(top, "clicked")
    ada.report(news, "dismissed")
    assert app("ada").fetch() == [top], "an inbox message stays when clicked, and goes when deleted"
    told = "select event_name, campaign_id from notifications where event_name <> 'Notification Sent' order by all"
    eventually(lambda: workspace.sql(told).height == 3)
    assert [(name.split()[1], campaign) for name, campaign in workspace.sql(told).rows()] == [
        ("Clicked", "top"), ("Dismissed", "news"), ("Viewed", "news")
    ]  # fmt: skip


def test_closing_ends_a_message_unless_it_may_be_shown_more_often(
    app: Callable[[str], AppClient], workspace: engage.Workspace
) -> None:
    send(workspace, "until_closed", "web_popup", frequency={"per_session": 1})
    send(workspace, "twice", "web_popup", frequency={"total": 2})
    ada = app("ada")
    for one in ada.fetch(channels="web_popup"):
        ada.report(one, "viewed")
        ada.report(one, "dismissed")
    [left] = app("ada").fetch(channels="web_popup")
    assert ada.messages[left]["campaign_id"] == "twice"
    ada.report(left, "viewed")
    assert app("ada").fetch(channels="web_popup") == []


def test_nobody_reads_or_touches_anothers_message(
    app: Callable[[str], AppClient], client: httpx.Client, workspace: engage.Workspace, eventually: Any
) -> None:
    send(workspace, "cart", "in_app")
    ada, bob = app("ada"), app("bob")
    [mine] = ada.fetch()
    refused = bob.report(mine, "clicked")
    assert (refused.status_code, refused.json()["error"]) == (400, "there is no such message of this user")
    assert bob.report(mine, "clicked", run_id="cart-once").status_code == 400, "naming the run proves nothing"
    assert bob.report(mine, "clicked", run_id="../../cart").status_code == 400
    over = workspace.user_token("ada", "1 day", now=datetime.now(UTC) - timedelta(days=2))
    forged = workspace.user_token("bob").split(".")[0] + "." + workspace.user_token("ada").split(".")[1]
    link = Signer("link").sign(["ada", 4_000_000_000])
    for token in ("=", "x", over, forged, link, "a" * 10_000, workspace.user_token("ada")[:-1]):
        answer = client.get("/v1/messages", auth=Bearer(token))
        assert answer.status_code == 401, token
        assert "messages" not in answer.json()
    assert client.get("/v1/messages").status_code == 401, "a write key is no token"
    workspace.campaign("cart").stop()
    assert app("ada").fetch() == [], "what a stopped campaign sent is taken back"


def test_a_visitor_sees_their_own_and_takes_it_along(client: httpx.Client, workspace: engage.Workspace) -> None:
    given = client.post("/v1/visitors", json={}).json()
    assert client.post("/v1/visitors", json={}).json()["anonymousId"] != given["anonymousId"]
    assert client.post("/v1/visitors", json={}, auth=("wrong", "")).status_code == 401
    workspace.land_events(
        [{"anonymous_id": given["anonymousId"], "event_name": "Page Viewed", "event_time": datetime.now(UTC)}]
    )
    values = {"channel": "web_popup", "content": POPUP, "sql": "select user_id from activity"}
    workspace.create_campaign("hello", values)
    assert workspace.campaign("hello").send().sent == 1
    visitor, ada = Bearer(given["token"]), Bearer(workspace.user_token("ada"))
    [waiting] = client.get("/v1/messages", auth=visitor).json()["messages"]
    taken = client.post("/v1/visitors/known", auth=ada, json={"visitor": workspace.user_token("bob")})
    assert taken.status_code == 403, "a known user's messages stay theirs"
    taken = client.post("/v1/visitors/known", auth=ada, json={"visitor": given["token"]})
    assert taken.json() == {"success": True, "messages": 1}
    assert client.get("/v1/messages", auth=visitor).json()["messages"] == []
    [moved] = client.get("/v1/messages", auth=ada).json()["messages"]
    assert moved["message_id"] == waiting["message_id"]
    seen = {"events": [{"id": "1", "message_id": moved["message_id"], "event": "viewed"}]}
    assert client.post("/v1/messages/events", auth=ada, json=seen).json() == {"success": True}


def test_what_a_service_worker_saw_is_believed_by_the_id_alone(
    app: Callable[[str], AppClient], workspace: engage.Workspace, eventually: Any
) -> None:
    content = {"title": "Hi", "body": "{{ profile.missing }}"}
    subscription = {"channel": "web_push", "content": content, "everyone": True}
    ada = app("ada")
    keys = {"p256dh": "BN", "auth": "x"}
    device = {"channel": "web_push", "token": {"endpoint": "https://push.example/1", "keys": keys}}
    assert ada._http.post("/v1/devices", json=device).json() == {"success": True}
    eventually(lambda: workspace.sql("select * from devices").height == 1)
    workspace.create_campaign("push", subscription)
    assert workspace.campaign("push").send().counts() == {"failed:content_rejected": 1, "excluded:no_address": 1}
    retried = workspace.retry_run("push-once")
    for run_id in ("push-once", retried.run_id):
        query = "select message_id from audiences where run_id = $run and user_id = 'ada'"
        message_id = workspace.sql(query, run=run_id).item()
        assert ada.report(message_id, "viewed", run_id=run_id).json() == {"success": True}
        assert app("bob").report(message_id, "viewed", run_id=run_id).status_code == 400
    seen = "select run_id, channel from notifications where event_name = 'Notification Viewed' order by run_id"
    eventually(lambda: workspace.sql(seen).height == 2)
    assert workspace.sql(seen).rows() == [("push-once", "web_push"), ("push-once-retry1", "web_push")]


def test_devices_come_and_go(app: Callable[[str], AppClient], workspace: engage.Workspace, eventually: Any) -> None:
    ada = app("ada")
    assert ada.register("token-1", "android").json() == {"success": True}
    alive = "select user_id, channel, platform, token from devices order by token"
    eventually(lambda: workspace.sql(alive).rows() == [("ada", "push", "android", "token-1")])
    assert ada.register("token-1", "android", active=False).status_code == 200
    eventually(lambda: workspace.sql(alive).is_empty())
    for wrong in ({"platform": "windows"}, {"platform": "ios", "token": ""}, {"platform": "ios", "token": "a\nb"}):
        assert ada.register(**({"token": "t"} | wrong)).status_code == 400


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (400, {"json": {"events": "all"}}),
        (400, {"json": {"events": [{}] * 501}}),
        (400, {"json": {"events": [7]}}),
        (400, {"json": {"events": [{"id": "1", "message_id": "m", "event": "bought"}]}}),
        (400, {"json": {"events": [{"id": "1", "message_id": "m", "event": ["viewed"]}]}}),
        (400, {"json": {"events": [{"id": "1", "message_id": {"a": 1}, "event": "viewed"}]}}),
        (400, {"content": b"{"}),
        (413, {"content": b" " * (2 << 20)}),
    ],
)
def test_hostile_reports_are_refused_in_one_line(
    client: httpx.Client, workspace: engage.Workspace, status: int, request_: dict[str, Any]
) -> None:
    token = Bearer(workspace.user_token("ada"))
    answer = client.post("/v1/messages/events", auth=token, **request_)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["success", "error"]


@pytest.mark.parametrize("asked", ["after=-1", "after=x", "wait=1e9", "channels=email", "after=" + "9" * 30])
def test_hostile_questions_are_refused(client: httpx.Client, workspace: engage.Workspace, asked: str) -> None:
    token = Bearer(workspace.user_token("ada"))
    assert client.get(f"/v1/messages?{asked}", auth=token).status_code == 400


def test_keys_follow_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    now, lasts = datetime.now(UTC), timedelta(days=1)
    monkeypatch.setenv("ENGAGE_SECRET_KEY", "a" * 32)
    old = UserTokens().give("ada", now=now, lasts=lasts)
    monkeypatch.setenv("ENGAGE_SECRET_KEY", "b" * 32)
    monkeypatch.setenv("ENGAGE_FORMER_SECRET_KEYS", "a" * 32)
    assert UserTokens().read(old, now=now) == "ada"
    new = UserTokens().give("ada", now=now, lasts=lasts)
    monkeypatch.delenv("ENGAGE_FORMER_SECRET_KEYS")
    assert UserTokens().read(new, now=now) == "ada"
    with pytest.raises(UntrustedError):
        UserTokens().read(old, now=now)
    monkeypatch.setenv("ENGAGE_SECRET_KEY", "short")
    with pytest.raises(ConfigurationError, match="shorter"):
        UserTokens()
