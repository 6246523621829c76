"""engage.js in a real browser, on a page of another origin with a strict policy, with the real server."""

from __future__ import annotations

import gzip
import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from engage.sdk import FILES, read_file
from tests.onsite.conftest import Shop

BUY = [{"label": "To the till", "url": "/till", "id": "till"}, {"label": "Not now", "id": "later"}]


def test_what_pages_load_is_small() -> None:
    assert sum(len(gzip.compress(read_file(name).encode())) for name in FILES) < 15_000


def test_a_pop_up_shows_after_its_event_leads_on_and_the_report_knows(shop: Shop) -> None:
    shop.visit("/hats")
    rule = {"event": "Hat Viewed", "where": {"colour": ["red", "blue"]}, "page": "/hats*"}
    shop.send("hats", "web_popup", title="A hat", actions=BUY, trigger=rule)
    shop.page.evaluate("engage.track('Hat Viewed', {colour: 'green'})")
    shop.page.evaluate("engage.track('Hat Viewed', {colour: 'red'})")  # before or after the message has come
    box = shop.shown("A hat")
    box.evaluate("(one) => Promise.all(one.getAnimations().map((each) => each.finished))")
    shop.screen("popup")
    box.get_by_role("button", name="To the till").click()
    shop.page.wait_for_url("**/till")
    assert shop.landed(2) == [("Viewed", "hats"), ("Clicked", "hats")]
    report = shop.workspace.report_view(text="hats").row(0, named=True)
    assert (report["sent"], report["viewed"], report["clicked"]) == (1, 1, 1)
    told = shop.workspace.sql("select event_name, properties from user_events where user_id = $user", user=shop.user)
    assert {"Hat Viewed"} == set(told["event_name"])


def test_a_message_sent_while_the_page_is_open_is_there_within_seconds(shop: Shop) -> None:
    shop.visit()
    shop.page.wait_for_function("document.querySelector('engage-inbox').shadowRoot.querySelector('.bell')")
    shop.send("now", "in_app", title="Just now")
    shop.shown("Just now")
    assert shop.landed(1) == [("Viewed", "now")]


def test_exit_intent_is_shown_when_the_mouse_leaves_by_the_top(shop: Shop) -> None:
    shop.send("stay", "web_exit_intent", title="Before you go", body="<p>Ten per cent</p>")
    shop.visit()
    shop.page.wait_for_function("engage.inbox.list().length === 0")
    with shop.page.expect_response(lambda answer: "/v1/messages?" in answer.url and "after" not in answer.url):
        shop.visit()
    dialog = shop.page.get_by_role("dialog")
    shop.page.mouse.move(400, 300)
    shop.page.mouse.move(999, 300)
    assert dialog.count() == 0
    until(lambda: leave_by_the_top(shop) or dialog.count() == 1)
    shop.screen("exit_intent")
    shop.page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    assert shop.landed(2) == [("Viewed", "stay"), ("Dismissed", "stay")]
    leave_by_the_top(shop)
    shop.page.wait_for_timeout(500)
    assert dialog.count() == 0, "once is enough"


def leave_by_the_top(shop: Shop) -> None:
    shop.page.mouse.move(400, 300)
    shop.page.mouse.move(400, -5)


def until(so: Callable[[], Any], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)


def test_exit_intent_on_touch_is_the_first_press_of_back(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(viewport={"width": 390, "height": 780}, has_touch=True, is_mobile=True)
    shop.send("stay", "web_exit_intent", title="Before you go", style={"layout": "half_screen"})
    shop.visit("/first")
    shop.page.goto(shop.site.url + "/second")
    heading = shop.page.get_by_role("heading", name="Shop")
    until(lambda: heading.tap() or shop.page.evaluate("(history.state || {}).engage === 'back'"))
    shop.page.evaluate("history.back()")
    shop.shown("Before you go")
    shop.screen("exit_intent_phone")
    shop.page.get_by_role("button", name="Close").tap()
    shop.page.evaluate("history.back()")
    shop.page.wait_for_url("**/first")


def test_delay_scroll_priority_and_one_at_a_time(shop: Shop) -> None:
    shop.send("low", "web_popup", title="Low", trigger={"delay": 0.2}, priority=1)
    shop.send("high", "web_popup", title="High", trigger={"delay": 0.2}, priority=9)
    shop.send("deep", "web_popup", title="Deep", trigger={"scroll": 60})
    shop.send("else", "web_popup", title="Elsewhere", trigger={"page": "/elsewhere"})
    shop.visit()
    shop.shown("High")
    assert shop.page.get_by_role("dialog").count() == 1
    shop.page.get_by_role("button", name="Close").click()
    shop.shown("Low")
    shop.page.get_by_role("button", name="Close").click()
    shop.page.get_by_role("dialog").wait_for(state="detached")
    shop.page.evaluate("scrollTo(0, 2000)")
    shop.shown("Deep")
    shop.page.get_by_role("button", name="Close").click()
    shop.page.evaluate("history.pushState({}, '', '/elsewhere')")
    shop.shown("Elsewhere")


def test_by_keyboard_alone(shop: Shop) -> None:
    shop.send("keys", "web_popup", title="Keys", actions=BUY, body='<p>See <a href="/more">more</a></p>')
    shop.visit()
    box = shop.shown("Keys")
    inside = "document.querySelector('[data-engage]').shadowRoot.activeElement?.textContent"
    stops = []
    for _ in range(5):
        shop.page.keyboard.press("Tab")
        stops.append(shop.page.evaluate(inside))
    assert stops == ["more", "To the till", "Not now", "×", "more"], "the focus stays inside"
    shop.page.keyboard.press("Shift+Tab")
    assert shop.page.evaluate(inside) == "×"
    shop.page.keyboard.press("Shift+Tab")
    shop.page.keyboard.press("Enter")
    box.wait_for(state="detached")
    assert shop.landed(2) == [("Viewed", "keys"), ("Dismissed", "keys")], "a button that leads nowhere closes"


def test_the_inbox_opens_offline_and_tells_later_what_was_read(shop: Shop) -> None:
    shop.send("first", "app_inbox", title="First", body="<p>One</p>")
    shop.send("second", "app_inbox", title="Second", body="<p>Two</p>", pinned=True, actions=BUY[:1])
    shop.visit()
    shop.page.get_by_role("button", name="Inbox, 2 unread").wait_for()
    # As an installed page: its files are on the device, and nothing else can be reached.
    html = {"content-type": "text/html"}
    sdk = re.compile(r"/sdk/engage\.js$")
    shop.page.route(shop.site.url + "/", lambda route: route.fulfill(body=shop.site.page, headers=html))
    shop.page.route(sdk, lambda route: route.fulfill(body=read_file("engage.js"), content_type="text/javascript"))
    shop.context.set_offline(True)
    shop.page.reload()
    bell = shop.page.get_by_role("button", name="Inbox, 2 unread")
    bell.focus()
    shop.page.keyboard.press("Enter")
    rows = shop.page.locator("engage-inbox .row b")
    assert rows.all_inner_texts() == ["Second", "First"]
    shop.page.keyboard.press("Tab")  # mark all as read
    shop.page.keyboard.press("Tab")
    shop.page.keyboard.press("Enter")
    shop.page.get_by_text("Two").wait_for()
    shop.screen("inbox")
    shop.page.get_by_role("button", name="Delete").click()
    shop.page.get_by_role("button", name="Inbox, 1 unread").wait_for()
    shop.page.keyboard.press("Escape")
    assert rows.count() == 0
    shop.context.set_offline(False)
    assert [did for did, _ in shop.landed(2)] == ["Viewed", "Dismissed"]
    shop.page.reload()
    shop.page.get_by_role("button", name="Inbox, 1 unread").click()
    assert rows.all_inner_texts() == ["First"]


def test_events_of_a_time_without_network_are_sent_later_and_once(shop: Shop) -> None:
    shop.visit()
    shop.context.set_offline(True)
    for number in range(3):
        shop.page.evaluate("(n) => engage.track('Offline', {n})", number)
    shop.context.set_offline(False)
    query = "select count(*) from user_events where user_id = $user and event_name = 'Offline'"
    until(lambda: shop.workspace.sql(query, user=shop.user).item() == 3)


def test_a_visitor_is_shown_messages_and_is_the_same_person_later(shop: Shop) -> None:
    shop.visit(known=False)
    shop.page.evaluate("engage.page('Home')")
    seen = "select anonymous_id from events where event_name = 'Page Viewed' and anonymous_id like 'anon-%'"
    until(lambda: shop.workspace.sql(seen).height > 0)
    user, shop.user = shop.user, shop.workspace.sql(seen + " order by event_time desc limit 1").item()
    shop.send("hello", "web_popup", title="Hello you", frequency={"total": 9})
    shop.shown("Hello you")
    shop.page.get_by_role("button", name="Close").click()
    assert shop.landed(2) == [("Viewed", "hello"), ("Dismissed", "hello")]
    shop.user = user
    shop.visit()
    shop.shown("Hello you")
    until(lambda: shop.workspace.sql("select 1 from user_events where user_id = $u", u=user).height > 0)


def test_what_html_is_hostile_does_nothing(shop: Shop) -> None:
    shop.visit(known=False)
    body = (
        "<img src=x onerror='window.hurt=1'><a href='javascript:window.hurt=1'>x</a><svg onload='window.hurt=1'>"
        "<script>window.hurt=1</script><iframe src='/'></iframe><form><input></form><p style='position:fixed'>ok</p>"
        "<a href='java&#10;script:window.hurt=1'>y</a><math><mtext><style><img src=x onerror=window.hurt=1></style>"
    )
    link = "javascript:window.hurt=1"
    message = {
        "message_id": "m", "channel": "web_popup", "title": "<b>x</b>", "body": body, "image": link,
        "deep_link": link, "actions": [{"id": "a", "label": "<i>", "url": link}],
        "style": {"layout": "modal", "position": "center", "close_button": True, "backdrop": True, "background": "x;y"},
        "trigger": {}, "frequency": {"total": 1}, "priority": 0, "pinned": False, "expires_at": None,
    }  # fmt: skip
    shop.page.evaluate("(one) => engage.preview(one)", message)
    shop.shown("<b>x</b>")
    html = shop.page.evaluate("document.querySelector('[data-engage]').shadowRoot.querySelector('.m').innerHTML")
    assert not re.search(r"<(script|iframe|svg|form|input|style|math)|onerror|onload|javascript:| style=", html), html
    shop.page.get_by_role("button", name="<i>").click()
    shop.page.wait_for_timeout(200)
    assert shop.page.evaluate("window.hurt") is None
    shop.violations.clear()  # the browser tells of what it kept from running


def test_a_web_push_is_shown_clicked_and_reported(shop: Shop) -> None:
    shop.context.grant_permissions(["notifications"], origin=shop.site.url)
    shop.visit()
    # There is no push service here: the browser's part of subscribing is made up, all else is real.
    keys = {
        "p256dh": "BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM",
        "auth": "tBHItJI5svbpez7KI4CCXg",
    }
    shop.page.evaluate(
        "(keys) => { PushManager.prototype.subscribe = async function (options) { window.asked = options;"
        " return {toJSON: () => ({endpoint: 'https://push.example.com/1', expirationTime: null, keys})}; }; }",
        keys,
    )
    assert shop.page.evaluate("engage.push.subscribe()") is True
    assert shop.page.evaluate("asked.applicationServerKey.length") == 65
    address = "select token from devices where user_id = $user and channel = 'web_push'"
    until(lambda: shop.workspace.sql(address, user=shop.user).height == 1)
    token = shop.workspace.sql(address, user=shop.user).item()
    assert json.loads(token) == {"endpoint": "https://push.example.com/1", "keys": keys}
    campaign = f"push-{shop.user}"
    values = {"channel": "web_push", "sql": f"select '{shop.user}' as user_id", "content": {"title": "Hi", "body": "x"}}
    shop.workspace.create_campaign(campaign, values)
    run = shop.workspace.campaign(campaign).plan().run
    query = "select message_id from audiences where run_id = $run"
    message_id = shop.workspace.sql(query, run=run.run_id).item()
    payload = {"title": "Hi", "body": "There", "deep_link": "/offer", "message_id": message_id, "run_id": run.run_id}
    session, found = shop.context.new_cdp_session(shop.page), []
    session.on("ServiceWorker.workerRegistrationUpdated", lambda event: found.extend(event["registrations"]))
    session.send("ServiceWorker.enable")
    until(lambda: shop.page.wait_for_timeout(50) or found)
    shown = "navigator.serviceWorker.ready.then((r) => r.getNotifications()).then((all) => all.map((n) => n.title))"

    def delivered() -> bool:  # a push is lost where the worker is not at work yet; one that comes again is shown once
        push = {"origin": shop.site.url, "registrationId": found[-1]["registrationId"], "data": json.dumps(payload)}
        session.send("ServiceWorker.deliverPushMessage", push)
        shop.page.wait_for_timeout(500)
        return bool(shop.page.evaluate(shown) == ["Hi"])

    assert shop.page.evaluate(shown) == []
    until(delivered, 90)
    assert shop.landed(1)[0][0] == "Viewed"
    shop.context.service_workers[0].evaluate(
        "registration.getNotifications().then(([one]) => dispatchEvent(new NotificationEvent("
        "'notificationclick', {notification: one})))"
    )
    assert [did for did, _ in shop.landed(2)] == ["Viewed", "Clicked"]


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_nothing_moves_for_those_who_asked_for_it(open_shop: Callable[..., Shop], motion: Any) -> None:
    shop = open_shop(reduced_motion=motion)
    shop.send("still", "in_app", title="Still")
    shop.visit()
    box = shop.shown("Still")
    assert box.evaluate("(one) => getComputedStyle(one).animationName") == ("none" if motion == "reduce" else "in")
