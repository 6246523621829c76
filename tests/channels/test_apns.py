from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pyarrow as pa
import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypercorn.asyncio import serve
from hypercorn.config import Config
from hypothesis import given
from hypothesis import strategies as st

import engage
from engage.channels.message import Message, Outcome
from engage.channels.push.apns import Apns
from engage.channels.registry import Configured
from engage.delivery.transport import Caller
from engage.errors import ConfigurationError, InvalidAddressError, UnsupportedContentError
from engage.lake.schema import DATASETS
from engage.vocabulary import OutcomeStatus, PermanentReason
from tests.ports import free_port

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
TOKEN = "0a" * 32
OPTIONS = {
    "team_id": "TEAM123456",
    "key_id": "KEY1234567",
    "topic": "com.example.app",
    "environment": "production",
    "ttl": 3600,
    "base_url": "",
}


def apns(clock: list[datetime] | None = None, **options: Any) -> Apns:
    times = clock or [NOW]
    return Apns(Configured("push", {**OPTIONS, **options}, {"private_key": PEM}, Path()), lambda: times[0])


def message(message_id: str = "m1", address: str = TOKEN, **content: Any) -> Message:
    return Message(message_id, "ada", "push", address, {"title": "Hi", "body": "Grüße", **content}, campaign_id="c1")


def refused(status: int, reason: str = "", **more: Any) -> httpx.Response:
    return httpx.Response(status, json={"reason": reason, **more})


def test_the_request() -> None:
    provider = apns()
    content = {
        "image": "https://example.com/i.png",
        "deep_link": "app://offers/1",
        "data": {"screen": "offers", "n": 3},
        "collapse_key": "offers",
        "sound": "ping.caf",
        "badge": "2",
        "ttl": 60,
    }
    request = provider.request([message(**content)])
    assert (request.method, str(request.url)) == ("POST", f"https://api.push.apple.com/3/device/{TOKEN}")
    assert json.loads(request.content) == {
        "aps": {"alert": {"title": "Hi", "body": "Grüße"}, "badge": 2, "sound": "ping.caf", "mutable-content": 1},
        "screen": "offers",
        "n": 3,
        "image": "https://example.com/i.png",
        "deep_link": "app://offers/1",
        "message_id": "m1",
        "campaign_id": "c1",
    }
    headers = dict(request.headers)
    assert (headers["apns-topic"], headers["apns-push-type"], headers["apns-priority"]) == (
        "com.example.app",
        "alert",
        "10",
    )
    assert (headers["apns-collapse-id"], headers["apns-expiration"]) == ("offers", str(int(NOW.timestamp()) + 60))
    assert headers["apns-id"] == provider.request([message()]).headers["apns-id"]  # the same message, the same id
    assert headers["apns-id"] != provider.request([message("m2")]).headers["apns-id"]
    token = headers["authorization"].removeprefix("bearer ")
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": "KEY1234567", "typ": "JWT"}
    claims = jwt.decode(token, KEY.public_key(), ["ES256"], options={"verify_iat": False})
    assert claims == {"iss": "TEAM123456", "iat": int(NOW.timestamp())}
    assert str(apns(environment="sandbox").request([message()]).url).startswith("https://api.sandbox.push.apple.com/")
    assert provider.request([message(ttl=0)]).headers["apns-expiration"] == "0"


def test_a_token_serves_for_45_minutes() -> None:
    clock = [NOW]
    provider = apns(clock)

    def bearer() -> str:
        return provider.request([message()]).headers["authorization"]

    first = bearer()
    clock[0] = NOW + timedelta(minutes=44)
    assert bearer() == first
    clock[0] = NOW + timedelta(minutes=45)
    assert bearer() != first


P, T = OutcomeStatus.PERMANENT, OutcomeStatus.TEMPORARY
KEY_ERROR, LIMITED = OutcomeStatus.CONFIG_ERROR, OutcomeStatus.RATE_LIMITED
CONTENT = [
    "PayloadEmpty", "BadCollapseId", "BadExpirationDate", "BadMessageId", "BadPriority", "DuplicateHeaders",
    "InvalidPushType",
]  # fmt: skip
SETTINGS = [
    (400, "BadTopic"), (400, "MissingTopic"), (400, "TopicDisallowed"), (403, "BadCertificate"),
    (403, "BadCertificateEnvironment"), (403, "BadEnvironmentKeyIdInToken"), (403, "BadEnvironmentKeyInToken"),
    (403, "Forbidden"), (403, "InvalidProviderToken"), (403, "MissingProviderToken"), (403, "UnrelatedKeyIdInToken"),
    (403, "ExpiredProviderToken"), (404, "BadPath"), (405, "MethodNotAllowed"), (403, "SomethingNew"), (404, ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "told", "meaning", "reason"),
    [
        (410, "Unregistered", P, PermanentReason.UNREGISTERED),
        (410, "ExpiredToken", P, PermanentReason.UNREGISTERED),
        (410, "", P, PermanentReason.UNREGISTERED),
        (400, "BadDeviceToken", P, PermanentReason.INVALID_ADDRESS),
        (400, "MissingDeviceToken", P, PermanentReason.INVALID_ADDRESS),
        (400, "DeviceTokenNotForTopic", P, PermanentReason.REFUSED),
        (413, "PayloadTooLarge", P, PermanentReason.PAYLOAD_TOO_LARGE),
        (400, "SomethingNew", P, PermanentReason.CONTENT_REJECTED),
        *((400, told, P, PermanentReason.CONTENT_REJECTED) for told in CONTENT),
        *((status, told, KEY_ERROR, None) for status, told in SETTINGS),
        (429, "TooManyProviderTokenUpdates", LIMITED, None),
        (429, "TooManyRequests", T, None),
        (429, "", LIMITED, None),
        (400, "IdleTimeout", T, None),
        (500, "InternalServerError", T, None),
        (503, "ServiceUnavailable", T, None),
        (503, "Shutdown", T, None),
        (502, "", T, None),
        (302, "", OutcomeStatus.UNKNOWN, None),
        (201, "", OutcomeStatus.UNKNOWN, None),
        (418, "", OutcomeStatus.UNKNOWN, None),
    ],
)
def test_what_an_answer_means(status: int, told: str, meaning: OutcomeStatus, reason: PermanentReason | None) -> None:
    provider = apns()
    provider.request([message()])
    [outcome] = provider.outcomes([message()], refused(status, told))
    assert (outcome.status, outcome.reason) == (meaning, reason)
    assert outcome.suppress == (reason == PermanentReason.UNREGISTERED)


def test_a_dead_token_says_since_when() -> None:
    since = datetime(2026, 2, 1, tzinfo=UTC)
    for stamp in (int(since.timestamp() * 1000), int(since.timestamp())):
        [outcome] = apns().outcomes([message()], refused(410, "Unregistered", timestamp=stamp))
        assert (outcome.suppress, outcome.dead_since) == (True, since)
    for stamp in (None, "x", 0, True, 1e30, -5):
        [outcome] = apns().outcomes([message()], refused(410, "Unregistered", timestamp=stamp))
        assert (outcome.suppress, outcome.dead_since) == (True, None)


def test_bad_tokens_are_given_up_only_where_another_was_accepted() -> None:
    provider = apns()
    assert not provider.outcomes([message()], refused(400, "BadDeviceToken"))[0].suppress
    [sent] = provider.outcomes([message()], httpx.Response(200, headers={"apns-id": "X"}))
    assert (sent.status, sent.provider_id) == (OutcomeStatus.SENT, "X")
    assert provider.outcomes([message()], refused(400, "BadDeviceToken"))[0].suppress


def test_a_token_that_ran_out_is_minted_again_but_one_just_minted_is_a_wrong_key() -> None:
    clock = [NOW]
    provider = apns(clock)
    first = provider.request([message()]).headers["authorization"]
    assert provider.outcomes([message()], refused(403, "ExpiredProviderToken"))[0].status == KEY_ERROR
    clock[0] = NOW + timedelta(minutes=30)
    assert provider.outcomes([message()], refused(403, "ExpiredProviderToken"))[0].status == T
    assert provider.request([message()]).headers["authorization"] != first


@pytest.mark.parametrize("value", ["120", "Sun, 01 Mar 2026 12:02:00 GMT"])
def test_retry_after_in_both_forms(value: str) -> None:
    answer = httpx.Response(503, json={"reason": "ServiceUnavailable"}, headers={"retry-after": value})
    assert apns().outcomes([message()], answer)[0].retry_after == 120


@pytest.mark.parametrize("address", ["", "xyz", "a/../b", "dQw4w9WgXcQ:APA91bH", "0a0"])
def test_what_is_no_device_token_is_refused_without_a_request(address: str) -> None:
    with pytest.raises(InvalidAddressError):
        apns().request([message(address=address)])


@pytest.mark.parametrize(
    "content",
    [
        {"collapse_key": "ü" * 33},
        {"ttl": "soon"},
        {"data": {"aps": {}}},
        {"data": [1]},
        {"badge": -1},
        {"body": "x" * 4096},
    ],
)
def test_what_apns_cannot_express(content: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedContentError):
        apns().request([message(**content)])


def test_a_wrong_setting_is_told() -> None:
    with pytest.raises(ConfigurationError, match="environment"):
        apns(environment="prod")
    with pytest.raises(ConfigurationError) as caught:
        Apns(Configured("push", OPTIONS, {"private_key": "hidden"}, Path()))
    assert "hidden" not in str(caught.value)


@given(
    status=st.integers(201, 599),
    body=st.binary(max_size=40) | st.builds(lambda x: json.dumps({"reason": x}).encode(), st.text()),
)
def test_no_refusal_raises_or_passes_for_success(status: int, body: bytes) -> None:
    [outcome] = apns().outcomes([message()], httpx.Response(status, content=body))
    assert outcome.status != OutcomeStatus.SENT


# A real HTTP/2 server over TLS


class Apple:
    """Answers over HTTP/2 by what the device token begins with, after checking the provider's token."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(self.ca)
        certificate = authority.issue_cert("localhost")
        certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
        port = free_port()
        self.url = f"https://localhost:{port}"
        self.seen: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.clients: set[Any] = set()
        self.config = Config()
        self.config.bind = [f"127.0.0.1:{port}"]
        self.config.certfile = self.config.keyfile = str(folder / "server.pem")
        self.config.alpn_protocols = ["h2"]
        self.config.loglevel = "CRITICAL"
        self.loop = asyncio.new_event_loop()
        self.ended = asyncio.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 0.05).close()
                return
            except OSError:
                threading.Event().wait(0.02)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(serve(self.app, self.config, shutdown_trigger=self.ended.wait))  # type: ignore[arg-type]
        self.loop.close()

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.ended.set)
        self.thread.join()

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                event = await receive()
                await send({"type": f"{event['type']}.complete"})
                if event["type"] == "lifespan.shutdown":
                    return
        body = b""
        while True:
            event = await receive()
            body += event.get("body", b"")
            if not event.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.clients.add(scope["client"])
        token = scope["path"].removeprefix("/3/device/")
        self.seen.append((token, headers, json.loads(body)))
        status, answer = 200, b""
        try:
            jwt.decode(headers["authorization"].removeprefix("bearer "), KEY.public_key(), ["ES256"])
        except jwt.PyJWTError:
            status, answer = 403, b'{"reason": "InvalidProviderToken"}'
        if scope["http_version"] != "2":
            status, answer = 505, b""
        elif token.startswith("dead"):
            since = datetime.now(UTC) - timedelta(hours=1)
            status = 410
            answer = json.dumps({"reason": "Unregistered", "timestamp": int(since.timestamp() * 1000)}).encode()
        back = [(b"apns-id", headers["apns-id"].encode())]
        await send({"type": "http.response.start", "status": status, "headers": back})
        await send({"type": "http.response.body", "body": answer})


@pytest.fixture
def apple(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Apple]:
    found = Apple(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(found.ca))
    yield found
    found.close()


def test_many_share_a_connection_over_http_2(apple: Apple) -> None:
    provider = Apns(Configured("push", {**OPTIONS, "base_url": apple.url}, {"private_key": PEM}, Path()))

    async def send() -> list[Outcome]:
        messages = [message(f"m{n}", address=f"{n:064x}") for n in range(40)] + [message("gone", "dead" * 16)]
        async with Caller(provider, concurrency=16, timeout=5) as call:
            first = await call([messages[0]], provider.request([messages[0]]))
            rest = await asyncio.gather(*(call([one], provider.request([one])) for one in messages[1:]))
        return [*first, *(outcome for answer in rest for outcome in answer)]

    *sent, gone = asyncio.run(send())
    assert [outcome.status for outcome in sent] == [OutcomeStatus.SENT] * 40
    assert {outcome.provider_id for outcome in sent} == {headers["apns-id"] for _, headers, _ in apple.seen[:41]} - {
        next(headers["apns-id"] for token, headers, _ in apple.seen if token.startswith("dead"))
    }
    assert (gone.status, gone.suppress) == (P, True)
    assert gone.dead_since is not None
    assert len(apple.clients) == 1


def test_a_server_whose_certificate_is_not_trusted_is_told_nothing(
    apple: Apple, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", ssl.get_default_verify_paths().openssl_cafile)
    monkeypatch.delenv("SSL_CERT_FILE")
    provider = Apns(Configured("push", {**OPTIONS, "base_url": apple.url}, {"private_key": PEM}, Path()))

    async def send() -> list[Outcome]:
        async with Caller(provider, concurrency=1, timeout=5) as call:
            return await call([message()], provider.request([message()]))

    with pytest.raises(engage.errors.ChannelError, match="reached"):
        asyncio.run(send())
    assert apple.seen == []


def test_a_device_that_has_registered_since_apple_saw_it_dead_stays(
    workspace: engage.Workspace, apple: Apple, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APNS_PRIVATE_KEY", PEM)
    file = workspace.root / "pyproject.toml"
    options = {**OPTIONS, "provider": "apns", "base_url": apple.url}
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in options.items())
    file.write_text(file.read_text() + f"\n[tool.engage.channels.push]\n{lines}\n")
    workspace = engage.Workspace.open(workspace.root)
    now = datetime.now(UTC)
    registered = {"ada": ("aa" * 32, 3), "bob": ("dead" * 16, 2), "eve": ("deadbeef" * 8, 0.5)}  # hours ago
    rows = [
        {
            "change_id": user,
            "user_id": user,
            "changed_at": now - timedelta(hours=hours),
            "received_at": now - timedelta(hours=hours),
            "channel": "push",
            "platform": "ios",
            "token": token,
            "environment": "production",
            "active": True,
            "source": "app",
        }
        for user, (token, hours) in registered.items()
    ]
    workspace.lake.land("devices", pa.Table.from_pylist(rows, DATASETS["devices"].schema))
    workspace.land_profiles([{"user_id": user} for user in registered], now=now - timedelta(hours=4))
    content = {"title": "Hi", "body": "News"}
    workspace.create_campaign("news", {"title": "News", "channel": "push", "everyone": True, "content": content})
    summary = workspace.campaign("news").send()
    assert (summary.sent, dict(summary.failed)) == (1, {"unregistered": 2})
    alive = workspace.sql("select user_id from devices order by 1")["user_id"].to_list()
    assert alive == ["ada", "eve"]
    assert workspace.suppressions("push")["user_id"].to_list() == ["bob"]
