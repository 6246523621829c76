from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import jwt
import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

import engage
from engage.channels.message import Message, Outcome
from engage.channels.push.fcm import Fcm
from engage.channels.registry import Configured
from engage.delivery.transport import Caller
from engage.errors import ChannelError, ConfigurationError, InvalidAddressError, UnsupportedContentError
from engage.lake.schema import DATASETS
from engage.vocabulary import OutcomeStatus, PermanentReason

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
TOKEN = "dQw4w9WgXcQ:APA91bH-x_y"
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"


def fcm(base_url: str = "https://fcm.googleapis.com", now: datetime | None = NOW, **more: Any) -> Fcm:
    account = {
        "client_email": "sender@demo.iam.example.com",
        "private_key": PEM,
        "project_id": "demo",
        "token_uri": f"{base_url}/token",
        **more,
    }
    options = {"project": "", "base_url": base_url, "ttl": 3600, "token_url": ""}
    configured = Configured("push", options, {"service_account": json.dumps(account)}, Path())
    return Fcm(configured, lambda: now) if now else Fcm(configured)


def message(message_id: str = "m1", address: str = TOKEN, **content: Any) -> Message:
    return Message(message_id, "ada", "push", address, {"title": "Hi", "body": "Grüße", **content}, campaign_id="c1")


def error(status: int, code: str, name: str = "", message: str = "", **detail: Any) -> httpx.Response:
    details = [{"@type": FCM_ERROR, "errorCode": code}] if code else []
    if detail:
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [detail]})
    told = {"code": status, "message": message, "status": name, "details": details}
    return httpx.Response(status, json={"error": told})


def test_the_request() -> None:
    content = {
        "image": "https://example.com/i.png",
        "deep_link": "app://offers/1",
        "data": {"screen": "offers", "n": 3, "deep": {"a": [1]}},
        "ttl": "60",
        "collapse_key": "offers",
        "sound": "ping",
        "badge": "2",
    }
    request = fcm().request([message(**content)])
    assert (request.method, str(request.url)) == (
        "POST",
        "https://fcm.googleapis.com/v1/projects/demo/messages:send",
    )
    assert json.loads(request.content) == {
        "message": {
            "token": TOKEN,
            "notification": {"title": "Hi", "body": "Grüße", "image": "https://example.com/i.png"},
            "data": {
                "screen": "offers",
                "n": "3",
                "deep": '{"a":[1]}',
                "deep_link": "app://offers/1",
                "message_id": "m1",
                "campaign_id": "c1",
            },
            "android": {"ttl": "60s", "collapse_key": "offers", "notification": {"sound": "ping"}},
            "apns": {
                "headers": {"apns-collapse-id": "offers", "apns-expiration": str(int(NOW.timestamp()) + 60)},
                "payload": {"aps": {"sound": "ping", "badge": 2}},
            },
        }
    }


def test_the_token_is_asked_for_with_a_signed_statement_kept_and_renewed_in_time() -> None:
    provider = fcm()
    request = provider.authorisation(NOW)
    assert request is not None
    form = parse_qs(request.content.decode())
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    options = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(
        form["assertion"][0], KEY.public_key(), ["RS256"], audience="https://fcm.googleapis.com/token", options=options
    )
    assert claims == {
        "iss": "sender@demo.iam.example.com",
        "scope": "https://www.googleapis.com/auth/firebase.messaging",
        "aud": "https://fcm.googleapis.com/token",
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 3600,
    }
    provider.authorised(httpx.Response(200, json={"access_token": "t1", "expires_in": 3599}), NOW)
    assert provider.authorisation(NOW + timedelta(minutes=54)) is None
    assert provider.authorisation(NOW + timedelta(minutes=55)) is not None
    sent = provider.request([message()])
    provider.bear(sent)
    assert sent.headers["authorization"] == "Bearer t1"


def test_a_refused_key_stops_the_run_and_a_resting_google_does_not() -> None:
    with pytest.raises(ConfigurationError, match="invalid_grant"):
        fcm().authorised(httpx.Response(400, json={"error": "invalid_grant", "error_description": "x"}), NOW)
    for status in (429, 500, 503):
        with pytest.raises(ChannelError):
            fcm().authorised(httpx.Response(status, text="<html>"), NOW)
    with pytest.raises(ConfigurationError) as caught:
        fcm(private_key="-----BEGIN PRIVATE KEY-----\nsecret\n").authorisation(NOW)
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="service account"):
        Fcm(
            Configured(
                "push", {"project": "", "base_url": "", "ttl": 1, "token_url": ""}, {"service_account": "{"}, Path()
            )
        )


P, T = OutcomeStatus.PERMANENT, OutcomeStatus.TEMPORARY
WRONG_KEY, LIMITED = OutcomeStatus.CONFIG_ERROR, OutcomeStatus.RATE_LIMITED


@pytest.mark.parametrize(
    ("answer", "status", "reason", "suppress"),
    [
        (httpx.Response(200, json={"name": "projects/demo/messages/0:1"}), OutcomeStatus.SENT, None, False),
        (httpx.Response(200, json={}), OutcomeStatus.UNKNOWN, None, False),
        (httpx.Response(200, text="<html>"), OutcomeStatus.UNKNOWN, None, False),
        (error(404, "UNREGISTERED", "NOT_FOUND"), P, PermanentReason.UNREGISTERED, True),
        (error(404, "", "NOT_FOUND", "project?"), WRONG_KEY, None, False),
        (
            error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", field="message.token"),
            P,
            PermanentReason.INVALID_ADDRESS,
            True,
        ),
        (
            error(400, "INVALID_ARGUMENT", message="The registration token is not a valid FCM registration token"),
            P,
            PermanentReason.INVALID_ADDRESS,
            True,
        ),
        (
            error(400, "INVALID_ARGUMENT", field="message.android.ttl"),
            P,
            PermanentReason.CONTENT_REJECTED,
            False,
        ),
        (error(400, "", "INVALID_ARGUMENT", "Message too big"), P, PermanentReason.PAYLOAD_TOO_LARGE, False),
        (error(403, "SENDER_ID_MISMATCH", "PERMISSION_DENIED"), P, PermanentReason.REFUSED, False),
        (error(403, "", "PERMISSION_DENIED"), WRONG_KEY, None, False),
        (error(401, "THIRD_PARTY_AUTH_ERROR", "UNAUTHENTICATED"), WRONG_KEY, None, False),
        (error(401, "APNS_AUTH_ERROR", "UNAUTHENTICATED"), WRONG_KEY, None, False),
        (error(429, "QUOTA_EXCEEDED", "RESOURCE_EXHAUSTED"), LIMITED, None, False),
        (error(429, "", "RESOURCE_EXHAUSTED"), LIMITED, None, False),
        (error(503, "UNAVAILABLE", "UNAVAILABLE"), T, None, False),
        (error(500, "INTERNAL", "INTERNAL"), T, None, False),
        (error(400, "UNSPECIFIED_ERROR"), T, None, False),
        (httpx.Response(502, text="<html>bad gateway</html>"), T, None, False),
        (httpx.Response(302), OutcomeStatus.UNKNOWN, None, False),
        (error(418, "TEAPOT"), OutcomeStatus.UNKNOWN, None, False),
    ],
)
def test_what_an_answer_means(
    answer: httpx.Response, status: OutcomeStatus, reason: PermanentReason | None, suppress: bool
) -> None:
    [outcome] = fcm().outcomes([message()], answer)
    assert (outcome.status, outcome.reason, outcome.suppress) == (status, reason, suppress)
    assert (outcome.provider_id is not None) == (status == OutcomeStatus.SENT)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [({"retry-after": "17"}, 17), ({"retry-after": "Sun, 01 Mar 2026 12:00:30 GMT"}, 30), ({}, 60)],
)
def test_a_spent_quota_waits_as_told_or_a_minute(headers: dict[str, str], wait: float) -> None:
    answer = error(429, "QUOTA_EXCEEDED")
    answer.headers.update(headers)
    [outcome] = fcm().outcomes([message()], answer)
    assert outcome.retry_after == wait


def test_a_token_that_stopped_working_is_fetched_again_but_a_new_one_that_is_refused_is_a_wrong_key() -> None:
    clock = [NOW]
    provider = fcm()
    provider._now = lambda: clock[0]
    provider.authorised(httpx.Response(200, json={"access_token": "t1"}), NOW)
    assert provider.outcomes([message()], error(401, "", "UNAUTHENTICATED"))[0].status == WRONG_KEY
    assert provider.authorisation(NOW) is None
    clock[0] = NOW + timedelta(minutes=10)
    assert provider.outcomes([message()], error(401, "", "UNAUTHENTICATED"))[0].status == T
    assert provider.authorisation(clock[0]) is not None


@pytest.mark.parametrize("address", ["", " ", "a b", "x" * 5000, "tök"])
def test_what_is_no_token_is_refused_without_a_request(address: str) -> None:
    with pytest.raises(InvalidAddressError):
        fcm().request([message(address=address)])


@pytest.mark.parametrize(
    "content",
    [
        {"ttl": "soon"},
        {"ttl": -1},
        {"ttl": 2_419_201},
        {"data": "x"},
        {"data": {"from": "x"}},
        {"data": {"google.x": "x"}},
        {"data": {"gcm": "x"}},
        {"badge": "many"},
        {"body": "x" * 5000},
    ],
)
def test_what_fcm_cannot_express(content: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedContentError):
        fcm().request([message(**content)])


@given(
    status=st.integers(200, 599),
    body=st.one_of(
        st.binary(max_size=50),
        st.recursive(
            st.none() | st.text(max_size=20) | st.integers() | st.just("UNREGISTERED"),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["error", "details", "status", "errorCode", "@type", "name", "fieldViolations"]),
                    inner,
                )
            ),
        ).map(lambda value: json.dumps(value).encode()),
    ),
)
def test_no_answer_raises_or_passes_for_success(status: int, body: bytes) -> None:
    [outcome] = fcm().outcomes([message()], httpx.Response(status, content=body))
    assert outcome.message_id == "m1"
    if outcome.status == OutcomeStatus.SENT:
        assert status == 200
        assert json.loads(body)["name"]


class Google(ThreadingHTTPServer):
    """The token endpoint and FCM: answers by what the push token begins with."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.tokens = 0
        self.sent: list[dict[str, Any]] = []
        self.bearers: list[str] = []


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Google

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/token":
            assertion = parse_qs(body.decode())["assertion"][0]
            audience = f"http://127.0.0.1:{self.server.server_port}/token"
            jwt.decode(assertion, KEY.public_key(), ["RS256"], audience=audience)
            self.server.tokens += 1
            self.tell(200, {"access_token": f"token{self.server.tokens}", "expires_in": 3600, "token_type": "Bearer"})
            return
        self.server.bearers.append(self.headers["authorization"])
        told = json.loads(body)["message"]
        if told["token"].startswith("gone"):
            self.tell(*_error(404, "UNREGISTERED", "NOT_FOUND"))
        elif told["token"].startswith("busy"):
            self.tell(*_error(503, "UNAVAILABLE", "UNAVAILABLE"), retry_after="2")
        else:
            self.server.sent.append(told)
            self.tell(200, {"name": f"projects/demo/messages/0:{len(self.server.sent)}"})

    def tell(self, status: int, body: dict[str, Any], retry_after: str = "") -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: object) -> None:
        pass


def _error(status: int, code: str, name: str) -> tuple[int, dict[str, Any]]:
    return status, json.loads(error(status, code, name).content)


@pytest.fixture
def google() -> Iterator[Google]:
    with Google() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_many_at_once_share_one_token_over_a_real_connection(google: Google) -> None:
    provider = fcm(f"http://127.0.0.1:{google.server_port}", now=None)

    async def send() -> list[Outcome]:
        messages = [message(f"m{n}", address=f"tok{n}") for n in range(20)]
        messages += [message("gone", address="gone1"), message("busy", address="busy1")]
        async with Caller(provider, concurrency=8, timeout=5) as call:
            answers = await asyncio.gather(*(call([one], provider.request([one])) for one in messages))
        return [outcome for answer in answers for outcome in answer]

    outcomes = asyncio.run(send())
    assert google.tokens == 1
    assert set(google.bearers) == {"Bearer token1"}
    assert {told["data"]["message_id"] for told in google.sent} == {f"m{n}" for n in range(20)}
    by_id = {outcome.message_id: outcome for outcome in outcomes}
    assert all(by_id[f"m{n}"].status == OutcomeStatus.SENT for n in range(20))
    assert (by_id["gone"].reason, by_id["gone"].suppress) == (PermanentReason.UNREGISTERED, True)
    assert (by_id["busy"].status, by_id["busy"].retry_after) == (T, 2)


def register(workspace: engage.Workspace, at: datetime, **tokens: str) -> None:
    rows = [
        {
            "change_id": f"{token}:{at.isoformat()}",
            "user_id": user_id,
            "changed_at": at,
            "received_at": at,
            "channel": "push",
            "platform": "android",
            "token": token,
            "environment": "production",
            "active": True,
            "source": "app",
        }
        for user_id, token in tokens.items()
    ]
    workspace.lake.land("devices", pa.Table.from_pylist(rows, DATASETS["devices"].schema))


def test_a_dead_token_ends_its_device_until_it_registers_again(
    workspace: engage.Workspace, google: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = {"client_email": "a@demo.example", "private_key": PEM, "project_id": "demo"}
    monkeypatch.setenv("FCM_SERVICE_ACCOUNT", json.dumps(account))
    file = workspace.root / "pyproject.toml"
    url = f"http://127.0.0.1:{google.server_port}"
    options = f'provider = "fcm"\nbase_url = "{url}"\ntoken_url = "{url}/token"\n'
    file.write_text(file.read_text() + f"\n[tool.engage.channels.push]\n{options}")
    workspace = engage.Workspace.open(workspace.root)
    workspace.land_profiles([{"user_id": user} for user in ("ada", "bob")], now=NOW)
    register(workspace, NOW, ada="tokA", bob="goneB")
    content = {"title": "Hi {{ user_id }}", "body": "News"}
    workspace.create_campaign("news", {"title": "News", "channel": "push", "everyone": True, "content": content})
    summary = workspace.campaign("news").send()
    assert (summary.sent, dict(summary.failed)) == (1, {"unregistered": 1})
    assert [told["notification"]["title"] for told in google.sent] == ["Hi ada"]
    assert workspace.sql("select user_id from devices").rows() == [("ada",)]
    assert workspace.sql("select user_id from events where event_name = 'App Uninstalled'").rows() == [("bob",)]
    assert workspace.suppressions("push").select("address", "reason").rows() == [("goneB", "unregistered")]
    assert workspace.sql("select user_id from consents").is_empty()  # nobody said no
    again = datetime.now(UTC) + timedelta(seconds=1)
    register(workspace, again, bob="goneB")
    later = again + timedelta(seconds=1)
    assert workspace.suppressions("push", as_of=later).is_empty()
    assert workspace.sql("select user_id from reachable where channel = 'push'", as_of=later).height == 2
