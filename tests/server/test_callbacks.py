"""From a send through a provider's API to its signed callback: server, sender and provider speak over real sockets."""

from __future__ import annotations

import base64
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

import engage
from engage.channels.message import Receipt
from engage.channels.sms.twilio import twilio_signature
from engage.delivery.callbacks import Told
from tests.examples import tried
from tests.server.conftest import Server

SIGNER = ec.generate_private_key(ec.SECP256R1())
PUBLIC = base64.b64encode(SIGNER.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


class Api(http.server.BaseHTTPRequestHandler):
    """SendGrid's v3/mail/send as far as a sender sees it: 202, and an id of its own."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        taken = self.server.taken  # type: ignore[attr-defined]
        taken.append(body["personalizations"][0])
        self.send_response(202)
        self.send_header("X-Message-Id", f"sg-{len(taken)}")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def api() -> Iterator[http.server.ThreadingHTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.taken = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def shop(
    workspace: engage.Workspace, api: http.server.ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> engage.Workspace:
    for name, value in {
        "SENDGRID_API_KEY": "SG.tests",
        "SENDGRID_WEBHOOK_KEY": PUBLIC,
        "TWILIO_AUTH_TOKEN": "12345",
    }.items():
        monkeypatch.setenv(name, value)
    file = workspace.root / "pyproject.toml"
    file.write_text(
        file.read_text()
        + f"""
[tool.engage.channels.email]
provider = "sendgrid"
from = "Ada <ada@example.com>"
base_url = "http://127.0.0.1:{api.server_port}"

[tool.engage.channels.sms]
provider = "outbox"
fallback = ["twilio"]

[tool.engage.channels.sms.twilio]
account = "AC1"
from = "+15005550006"
"""
    )
    opened = engage.Workspace.open(workspace.root)
    rows = [{"user_id": f"u{n}", "email": f"u{n}@example.com", "phone": f"+1500555010{n}"} for n in range(4)]
    opened.land_profiles(rows, now=datetime.now(UTC) - timedelta(days=1))
    content = {"subject": "Hi", "text": "Hello"}
    values = {"channel": "email", "everyone": True, "labels": ["Onboarding"], "content": content}
    opened.create_campaign("news", values)
    return opened


def post(server: Server, events: list[dict[str, Any]], *, stamp: int | None = None) -> httpx.Response:
    body, at = json.dumps(events).encode(), str(int(time.time()) if stamp is None else stamp)
    signature = base64.b64encode(SIGNER.sign(at.encode() + body, ec.ECDSA(SHA256()))).decode()
    headers = {
        "x-twilio-email-event-webhook-signature": signature,
        "x-twilio-email-event-webhook-timestamp": at,
        "content-type": "application/json",
    }
    return httpx.post(f"{server.url}/callbacks/sendgrid", content=body, headers=headers)


@pytest.fixture
def running(shop: engage.Workspace) -> Iterator[Server]:
    server = Server(shop).start()
    yield server
    server.stop()


def test_what_a_provider_tells_comes_home(
    shop: engage.Workspace,
    running: Server,
    api: http.server.ThreadingHTTPServer,
    eventually: Callable[[Callable[[], bool]], float],
) -> None:
    assert shop.campaign("news").send().counts() == {"sent": 4}
    taken: list[dict[str, Any]] = sorted(api.taken, key=lambda one: str(one["to"]))  # type: ignore[attr-defined]
    ids = [one["custom_args"]["message_id"] for one in taken]
    now = int(time.time())

    def event(n: int, kind: str, **more: Any) -> dict[str, Any]:
        told = {"event": kind, "timestamp": now, "email": f"u{n}@example.com", "message_id": ids[n]}
        return told | {"sg_event_id": f"{kind}-{n}", "sg_message_id": f"sg-{n + 1}.x"} | more

    first = [event(0, "click", url="https://shop.example/"), event(0, "delivered"), event(1, "delivered")]
    second = [event(0, "open"), event(2, "bounce", type="bounce", reason="550 no such user"), event(1, "spamreport")]
    assert post(running, first).status_code == 204, "a click before its delivery is as good"
    assert post(running, second).status_code == 204
    assert post(running, first).status_code == 204, "the provider tells again what it is not sure of"
    told = (
        "select event_name, user_id, campaign_id, labels, reason, channel from notifications where source = 'callback'"
    )
    eventually(lambda: shop.sql(told).height >= 7)
    found = shop.sql(f"select event_name, user_id, reason from ({told}) order by all").rows()
    assert found == [
        ("Channel Unsubscribed", "u1", "complaint"),
        ("Channel Unsubscribed", "u2", "hard_bounce"),
        ("Notification Clicked", "u0", None),
        ("Notification Delivered", "u0", None),
        ("Notification Delivered", "u1", None),
        ("Notification Failed", "u2", "hard_bounce"),
        ("Notification Viewed", "u0", None),
    ]
    assert set(shop.sql(f"select distinct campaign_id, labels[1] from ({told})").rows()) == {("news", "Onboarding")}
    row = shop.campaign_report().filter(campaign_id="news").row(0, named=True)
    assert (row["sent"], row["delivered"], row["viewed"], row["clicked"]) == (4, 2, 1, 1)
    shop.create_campaign("more", {"channel": "email", "everyone": True, "content": {"subject": "x", "text": "y"}})
    counts = shop.campaign("more").plan().run.counts
    assert counts.send == 2
    assert dict(counts.excluded) == {"suppressed": 1, "unsubscribed": 1}


def test_a_forged_old_or_strange_callback_leaves_nothing(shop: engage.Workspace, running: Server) -> None:
    events = [{"event": "bounce", "type": "bounce", "timestamp": 1, "email": "u0@example.com", "sg_event_id": "x"}]
    assert post(running, events, stamp=int(time.time()) - 3 * 86_400).status_code == 403
    forged = httpx.post(f"{running.url}/callbacks/sendgrid", json=events)
    assert forged.status_code == 403
    assert httpx.post(f"{running.url}/callbacks/postmark", json={}).status_code == 404, "it is not configured"
    assert httpx.post(f"{running.url}/callbacks/nobody", json={}).status_code == 404
    assert httpx.post(f"{running.url}/callbacks/sendgrid", content=b"x" * (5 << 20)).status_code == 413
    running.stop()
    assert shop.sql("select count(*) as n from notifications where source = 'callback'")["n"].item() == 0


def test_stop_by_text_suppresses_though_no_message_is_named(
    shop: engage.Workspace, running: Server, eventually: Callable[[Callable[[], bool]], float]
) -> None:
    url = f"{running.url}/callbacks/twilio"
    form = {"From": "+15005550101", "Body": "STOP", "OptOutType": "STOP", "MessageSid": "SM1", "To": "+15005550006"}
    signature = twilio_signature("12345", url, {name: [value] for name, value in form.items()})
    headers = {"x-twilio-signature": signature, "content-type": "application/x-www-form-urlencoded"}
    assert httpx.post(url, content=urlencode(form), headers=headers).status_code == 204
    eventually(lambda: shop.suppressions("sms").height == 1)
    [row] = shop.suppressions("sms").select("address", "user_id", "reason").rows()
    assert row == ("+15005550101", "u1", "stop")


def test_a_receipt_waits_for_the_message_it_is_about(shop: engage.Workspace) -> None:
    now = datetime.now(UTC)
    receipt = Receipt("Notification Delivered", "e1", now, message_id="m1", provider_id="p1", address="u0@example.com")
    early = Told("email", "sendgrid", now, receipt)
    assert Told.from_json(json.loads(json.dumps(early.to_json()))) == early
    assert shop.land_callbacks([early], now=now) == [early]
    properties = {"message_id": "m1", "campaign_id": "news", "channel": "email"}
    sent = {"user_id": "u3", "event_name": "Notification Sent", "event_time": now, "properties": properties}
    shop.land_events([sent])
    assert shop.land_callbacks([early], now=now + timedelta(seconds=9)) == []
    delivered = "select user_id, campaign_id from notifications where event_name = 'Notification Delivered'"
    assert shop.sql(delivered).rows() == [("u3", "news")]
    lost = Told("email", "sendgrid", now, Receipt("Notification Delivered", "e2", now, message_id="gone"))
    assert shop.land_callbacks([lost], now=now + timedelta(minutes=16)) == [], "without an address it is dropped"
    late = Told("email", "sendgrid", now, Receipt("Notification Viewed", "e3", now, "gone", address="u2@example.com"))
    assert shop.land_callbacks([late], now=now + timedelta(minutes=16)) == []
    viewed = "select user_id, campaign_id from notifications where event_name = 'Notification Viewed'"
    assert shop.sql(viewed).rows() == [("u2", None)]


def test_text_that_is_none_is_refused_at_the_door(shop: engage.Workspace, running: Server) -> None:
    event = {"event": "click", "timestamp": int(time.time()), "email": "u0@example.com", "url": "\ud800"}
    assert post(running, [event]).status_code == 403
    assert post(running, [event | {"url": "https://shop.example/"}]).status_code == 204, "the server goes on"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> engage.Workspace:
    return engage.Workspace.create(tmp_path_factory.mktemp("callbacks") / "workspace")


_TEXTS = st.none() | st.sampled_from(["", " ", "m1", "a@example.com", "\x00"]) | st.text(max_size=20)
_RECEIPTS = st.builds(
    Receipt,
    event_name=st.sampled_from(["Notification Delivered", "Notification Failed", "Channel Unsubscribed"]),
    event_id=st.text(max_size=20),
    event_time=st.datetimes(timezones=st.just(UTC)) | st.just(datetime(1, 1, 1, tzinfo=UTC)),
    message_id=_TEXTS,
    provider_id=_TEXTS,
    address=_TEXTS,
    reason=_TEXTS,
    suppress=st.booleans(),
    properties=st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=2),
)


@tried(12)
@given(st.lists(_RECEIPTS, min_size=1, max_size=20))
def test_no_receipt_keeps_others_from_landing(lake: engage.Workspace, receipts: list[Receipt]) -> None:
    came = datetime.now(UTC)
    told = [Told("email", "postmark", came, receipt) for receipt in receipts]
    waiting = lake.land_callbacks(told, now=came)
    named = [one for one in receipts if one.message_id or one.provider_id]
    assert len(waiting) == len(named), "who names a message is waited for, everyone else is done with"
    assert lake.land_callbacks(waiting, now=came + timedelta(hours=1)) == []
    far = "select count(*) as n from notifications where abs(epoch(event_time) - epoch(received_at)) > 46 * 86400"
    assert lake.sql(far)["n"].item() == 0
