from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import engage
import engage.channels.in_app
from engage.channels.in_app.mailbox import Mailbox
from engage.channels.in_app.message import mailbox_message
from engage.channels.in_app.provider import OnSite
from engage.channels.message import Message
from engage.channels.registry import Configured, provider
from engage.errors import ConfigurationError, UnsupportedContentError
from engage.settings import Settings
from engage.vocabulary import PULLED_CHANNELS, Channel, OutcomeStatus, PermanentReason

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCHEMA = json.loads((Path(engage.channels.in_app.__file__).parent / "message.schema.json").read_text())
Draft202012Validator.check_schema(SCHEMA)
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)


def message(message_id: str = "m1", user_id: str = "ada", channel: str = "in_app", **content: Any) -> Message:
    return Message(message_id, user_id, channel, "", {"body": "<p>Hi</p>", **content}, campaign_id="c1")


def made(channel: str = "in_app", **content: Any) -> dict[str, Any]:
    found = mailbox_message(message(channel=channel, **content), now=NOW)
    VALIDATOR.validate(found)
    return found


def test_everything_a_campaign_may_say() -> None:
    assert made(
        title="Spring <sale>",
        image="https://example.com/i.png",
        deep_link="shop://offers/1",
        actions=[{"label": "Buy", "url": "/buy", "id": "buy"}, {"label": "Later"}],
        style={"layout": "banner", "accent": "#369"},
        trigger={
            "event": "Product Viewed",
            "where": {"category": ["shoes", "bags"]},
            "page": "/shop/*",
            "delay": "5 seconds",
        },
        frequency={"total": 3, "per_session": 1, "every": "1 day"},
        priority="5",
        expires_after="7 days",
    ) == {
        "version": 1,
        "message_id": "m1",
        "channel": "in_app",
        "campaign_id": "c1",
        "sent_at": "2026-03-01T12:00:00.000Z",
        "expires_at": "2026-03-08T12:00:00.000Z",
        "title": "Spring <sale>",
        "body": "<p>Hi</p>",
        "image": "https://example.com/i.png",
        "deep_link": "shop://offers/1",
        "actions": [{"id": "buy", "label": "Buy", "url": "/buy"}, {"id": "button_2", "label": "Later", "url": None}],
        "style": {"layout": "banner", "position": "top", "close_button": True, "backdrop": False, "accent": "#369"},
        "trigger": {
            "event": "Product Viewed",
            "where": {"category": ["shoes", "bags"]},
            "page": ["/shop/*"],
            "delay": 5.0,
        },
        "frequency": {"total": 3, "per_session": 1, "every": 86400.0},
        "priority": 5,
        "pinned": False,
    }


def test_what_is_not_said_follows_from_the_channel() -> None:
    assert made("web_exit_intent")["trigger"] == {"exit_intent": True}
    assert made("web_popup")["frequency"] == {"total": 1}
    assert made("in_app", frequency={"per_day": 2})["frequency"] == {"total": None, "per_day": 2}
    inbox = made("app_inbox", pinned=True, trigger={"scroll": "50 %"})
    assert (inbox["trigger"], inbox["frequency"], inbox["pinned"]) == ({}, {"total": None}, True)
    assert made(expires_after="never")["expires_at"] is None
    assert made(trigger={"scroll": "50 %"})["trigger"] == {"scroll": 50}


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href='java\tscript:alert(1)'>x</a>",
    "<iframe src=//evil.example></iframe>",
    "<style>*{display:none}</style>",
    "<p style='position:fixed'>x</p>",
    "<form action=//evil.example><input></form>",
    "<math><mtext></p><style><img src=x onerror=alert(1)></style></mtext></math>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<base href=//evil.example>",
    "<template><script>alert(1)</script></template>",
]


@pytest.mark.parametrize("body", HOSTILE)
def test_html_that_would_run_or_reach_out_of_its_box_is_taken_away(body: str) -> None:
    shown = made(body=f"<b>Hello</b> {body}")["body"].lower()
    assert "<b>hello</b>" in shown
    tags = shown.replace("&lt;", "").replace("&gt;", "")
    for word in (
        "<script",
        "<svg",
        "<iframe",
        "<style",
        "<form",
        "<base",
        " onerror=alert(1)>",
        "javascript:",
        " style=",
    ):
        assert word not in tags


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "\x01javascript:alert(1)",
        "data:text/html,<script>",
        "vbscript:x",
        "evil.example",
        "https://x/" + "a" * 4000,
    ],
)
def test_a_link_that_runs_script_is_refused_wherever_it_stands(link: str) -> None:
    for content in ({"deep_link": link}, {"actions": [{"label": "x", "url": link}]}):
        with pytest.raises(UnsupportedContentError) as caught:
            made(**content)
        assert "alert" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        {"style": {"layout": "popup"}},
        {"style": {"position": "left"}},
        {"style": {"background": "red;position:fixed"}},
        {"style": {"css": "x"}},
        {"style": "modal"},
        {"trigger": {"evnet": "x"}},
        {"trigger": {"page": 3}},
        {"trigger": {"scroll": 101}},
        {"trigger": {"delay": "soon"}},
        {"trigger": {"where": {"a": {"b": 1}}}},
        {"frequency": {"total": 0}},
        {"frequency": {"every": "often"}},
        {"priority": "high"},
        {"expires_after": "7"},
        {"actions": "Buy"},
        {"actions": [{"url": "/x"}]},
        {"actions": [{"label": "x"}] * 6},
        {"image": "javascript:x"},
        {"body": "x" * 70_000},
        {"body": "<" * 60_000},
        {"title": "x" * 1001},
    ],
)
def test_what_is_no_rule_is_refused(content: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedContentError):
        made(**content)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
NAMES = ["title", "body", "image", "deep_link", "actions", "style", "trigger", "frequency", "priority", "expires_after"]
RULES = st.fixed_dictionaries(
    {},
    optional={
        "event": ANY,
        "where": st.dictionaries(st.text(), ANY, max_size=2),
        "page": ANY,
        "delay": ANY,
        "scroll": ANY,
        "exit_intent": ANY,
    },
)


@given(
    channel=st.sampled_from(sorted(PULLED_CHANNELS)),
    content=st.dictionaries(st.sampled_from([*NAMES, "pinned"]), ANY, max_size=5),
    trigger=RULES,
)
def test_whatever_a_campaign_says_is_refused_or_valid(channel: str, content: dict[str, Any], trigger: Any) -> None:
    one = Message("m1", "ada", channel, "", {"trigger": trigger, **content}, campaign_id="c1")
    try:
        found = mailbox_message(one, now=NOW)
    except UnsupportedContentError:
        return
    VALIDATOR.validate(json.loads(json.dumps(found)))


# The mailbox


def put(mailbox: Mailbox, *messages: Message, now: datetime = NOW) -> int:
    return mailbox.put([(one.user_id, one.run_id, mailbox_message(one, now=now)) for one in messages])


def shown(mailbox: Mailbox, user_id: str = "ada", now: datetime = NOW, **options: Any) -> list[str]:
    found = mailbox.waiting(user_id, now=now, channels=options.pop("channels", list(PULLED_CHANNELS)), **options)
    return [one["message"]["message_id"] for one in found]


@pytest.fixture
def mailbox(tmp_path: Path) -> Any:
    opened = Mailbox(tmp_path / "mailbox.sqlite")
    yield opened
    opened.close()


def test_a_person_sees_their_own_in_order_and_the_same_message_once(mailbox: Mailbox) -> None:
    first = [message("low"), message("high", priority=9), message("pin", channel="app_inbox", pinned=True)]
    assert put(mailbox, *first, message("other", "bob")) == 4
    assert put(mailbox, message("low", body="changed"), message("late")) == 1
    assert shown(mailbox) == ["pin", "high", "late", "low"]
    assert shown(mailbox, channels=["app_inbox"]) == ["pin"]
    assert shown(mailbox, channels=[]) == []
    assert shown(mailbox, limit=2) == ["pin", "high"]
    assert shown(mailbox, after=mailbox.newest("ada") - 1) == ["late"]
    assert mailbox.waiting("ada", now=NOW, channels=["in_app"])[2]["message"]["body"] == "<p>Hi</p>"


def test_frequency_expiry_and_closing_end_a_message(mailbox: Mailbox) -> None:
    put(
        mailbox,
        message("twice", frequency={"total": 2}),
        message("open", frequency={"per_day": 1}),
        message("day", expires_after="1 day"),
    )
    assert mailbox.note("ada", "twice", "viewed", now=NOW)
    assert set(shown(mailbox)) == {"twice", "open", "day"}
    mailbox.note("ada", "twice", "viewed", now=NOW)
    assert set(shown(mailbox)) == {"open", "day"}
    assert set(shown(mailbox, now=NOW + timedelta(days=1))) == {"open"}
    mailbox.note("ada", "open", "ended", now=NOW)
    assert shown(mailbox) == ["day"]


def test_a_report_that_comes_twice_counts_once(mailbox: Mailbox) -> None:
    put(mailbox, message("m1", frequency={"total": 2}), message("m2", frequency={"total": 2}))
    for _ in range(3):
        assert mailbox.note("ada", "m1", "viewed", now=NOW, report="r1")
        assert mailbox.note("ada", "m2", "viewed", now=NOW)
    assert shown(mailbox) == ["m1"]
    mailbox.note("ada", "m1", "viewed", now=NOW, report="r2")
    assert shown(mailbox) == []


def test_arrivals_name_who_was_sent_something_since(mailbox: Mailbox) -> None:
    assert mailbox.arrivals(0) == (0, set())
    put(mailbox, message("m1", "ada"), message("m2", "bob"))
    seen, who = mailbox.arrivals(0)
    assert who == {"ada", "bob"}
    put(mailbox, message("m3", "bob"))
    assert mailbox.arrivals(seen) == (seen + 1, {"bob"})
    assert mailbox.find("ada", "m2") is None
    found = mailbox.find("bob", "m3")
    assert found is not None
    assert found[1]["message_id"] == "m3"


def test_nobody_touches_anothers_message(mailbox: Mailbox) -> None:
    put(mailbox, message("m1", "ada"))
    assert not mailbox.note("bob", "m1", "ended", now=NOW)
    assert not mailbox.note("ada", "m2", "ended", now=NOW)
    assert shown(mailbox) == ["m1"]


def test_the_inbox_counts_what_was_not_read(mailbox: Mailbox) -> None:
    put(mailbox, *(message(f"m{n}", channel="app_inbox") for n in range(3)), message("popup"))
    mailbox.note("ada", "m0", "read", now=NOW)
    assert mailbox.unread("ada", now=NOW) == 2
    assert len(shown(mailbox, channels=["app_inbox"])) == 3
    mailbox.note("ada", "m1", "ended", now=NOW)
    assert mailbox.unread("ada", now=NOW) == 1


def test_messages_are_withdrawn_moved_erased_and_swept(mailbox: Mailbox) -> None:
    put(mailbox, message("m1", "device-7"), message("m2", "bob"), message("m3", "eve", expires_after="1 day"))
    assert mailbox.move("device-7", "ada") == 1
    assert shown(mailbox) == ["m1"]
    assert mailbox.erase("bob") == 1
    assert mailbox.sweep(NOW + timedelta(days=1)) == 0
    assert mailbox.sweep(NOW + timedelta(days=2)) == 1
    assert mailbox.withdraw("c1", now=NOW) == 1
    assert shown(mailbox) == []


def test_several_threads_and_processes_share_it(tmp_path: Path) -> None:
    path = tmp_path / "mailbox.sqlite"
    code = (
        "import sys; from pathlib import Path; from datetime import datetime, UTC\n"
        "from engage.channels.in_app.mailbox import Mailbox\n"
        "from engage.channels.in_app.message import mailbox_message\n"
        "from engage.channels.message import Message\n"
        "box = Mailbox(Path(sys.argv[1]))\n"
        "for n in range(30):\n"
        "    one = Message(f'{sys.argv[2]}{n}', 'ada', 'in_app', '', {'body': 'x'})\n"
        "    box.put([('ada', '', mailbox_message(one, now=datetime(2026, 3, 1, 12, tzinfo=UTC)))])\n"
    )
    others = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in ("a", "b")]
    mailbox = Mailbox(path)

    def write(name: str) -> None:
        for n in range(30):
            put(mailbox, message(f"{name}{n}"))

    threads = [threading.Thread(target=write, args=(name,)) for name in ("c", "d")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.wait(30) for one in others] == [0, 0]
    assert len(shown(mailbox, limit=1000)) == 120
    mailbox.close()


# The provider


@pytest.mark.parametrize("channel", sorted(PULLED_CHANNELS))
def test_sent_is_there_to_be_fetched_and_sent_again_is_there_once(tmp_path: Path, channel: Channel) -> None:
    built: Any = provider(channel, {"provider": "mailbox"}, outbox=tmp_path / "data" / "outbox")
    batch = [message("m1", channel=channel), message("bad", channel=channel, deep_link="javascript:alert(1)")]
    for _ in range(2):
        good, bad = asyncio.run(built.deliver(batch))
        assert (good.status, good.message_id) == (OutcomeStatus.SENT, "m1")
        assert (bad.status, bad.reason) == (OutcomeStatus.PERMANENT, PermanentReason.CONTENT_REJECTED)
        asyncio.run(built.aclose())
    mailbox = Mailbox(Settings(tmp_path).mailbox)
    [waiting] = mailbox.waiting("ada", now=datetime.now(UTC), channels=[channel])
    VALIDATOR.validate(waiting["message"])
    mailbox.close()


def test_how_long_a_message_waits_is_set() -> None:
    built = OnSite(Configured("in_app", {"keep": "30 days"}, {}, Path("outbox")))
    assert built._keep == timedelta(days=30)
    assert OnSite(Configured("in_app", {"keep": "never"}, {}, Path("outbox")))._keep is None
    with pytest.raises(ConfigurationError, match="keep"):
        OnSite(Configured("in_app", {"keep": "long"}, {}, Path("outbox")))


def test_a_campaign_is_sent_to_the_mailbox(workspace: engage.Workspace) -> None:
    file = workspace.root / "pyproject.toml"
    file.write_text(file.read_text() + '\n[tool.engage.channels.web_popup]\nprovider = "mailbox"\n')
    workspace = engage.Workspace.open(workspace.root)
    workspace.land_profiles([{"user_id": user, "name": f"<b>{user}</b>"} for user in ("ada", "bob")], now=NOW)
    content = {
        "title": "Hi {{ profile.name }}",
        "body": "<p>{{ profile.name }}</p>",
        "trigger": {"page": "/cart*"},
        "frequency": {"per_session": 1},
        "actions": [{"label": "Pay", "url": "/pay"}],
    }
    values = {"title": "Cart", "channel": "web_popup", "everyone": True, "content": content}
    workspace.create_campaign("cart", values)
    assert workspace.campaign("cart").send().sent == 2
    mailbox = Mailbox(workspace.settings.mailbox)
    [waiting] = mailbox.waiting("ada", now=datetime.now(UTC), channels=["web_popup"])
    mailbox.close()
    shown = waiting["message"]
    VALIDATOR.validate(shown)
    assert (shown["title"], shown["body"]) == ("Hi <b>ada</b>", "<p>&lt;b&gt;ada&lt;/b&gt;</p>")
    assert (shown["trigger"], shown["frequency"]) == ({"page": ["/cart*"]}, {"total": None, "per_session": 1})
    sent = workspace.sql("select message_id from notifications where event_name = 'Notification Sent'")
    assert shown["message_id"] in sent["message_id"].to_list()
