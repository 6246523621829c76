from __future__ import annotations

import asyncio
import email
import email.policy
import json
import string
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiosmtpd.controller import Controller
from hypothesis import assume, given
from hypothesis.strategies import sampled_from, text
from standardwebhooks import Webhook as Verifier

from engage.channels.email.mime import build_email, plain_text
from engage.channels.email.smtp import outcome_of_reply
from engage.channels.message import Message
from engage.channels.provider import parse_retry_after
from engage.channels.registry import PROVIDERS, provider
from engage.channels.webhook import forbidden_address, sign
from engage.errors import ChannelError, ConfigurationError, ContentError
from engage.vocabulary import Channel, OutcomeStatus, PermanentReason
from tests.ports import free_port

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def mail(address: str = "ada@example.com", message_id: str = "m1", **content: Any) -> Message:
    return Message(message_id, "ada", "email", address, {"subject": "Hi", "text": "Hello", **content})


# The outbox


def test_the_outbox_writes_a_real_mail_once_however_often_it_is_sent(tmp_path: Path) -> None:
    outbox: Any = provider("email", {"from": "Ada at Example <hi@example.com>"}, outbox=tmp_path)
    message = mail(html="<p>Hello <b>Ada</b></p>", unsubscribe_url="https://example.com/u/1")
    for _ in range(2):
        [outcome] = asyncio.run(outbox.deliver([message]))
        assert outcome.status == OutcomeStatus.SENT
    [file] = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert file.name == "m1.eml"
    parsed = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    assert (parsed["To"], parsed["Subject"], parsed["Message-ID"]) == ("ada@example.com", "Hi", "<m1@example.com>")
    assert parsed["List-Unsubscribe"] == "<https://example.com/u/1>"
    assert parsed["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert [part.get_content_type() for part in parsed.iter_parts()] == ["text/plain", "text/html"]


@given(
    text(max_size=120) | text(string.printable, max_size=90),
    text(max_size=200),
    sampled_from([(), ({"name": "a.txt", "content": b"A"},)]),
)
def test_a_mail_is_written_as_the_standard_library_writes_it(subject: str, body: str, attachments: Any) -> None:
    try:
        built = build_email(
            mail(subject=subject, html=f"<p>{body}</p>", attachments=attachments), sender="hi@example.com"
        )
    except ContentError:
        assume(False)
    assert built.as_bytes() == built.as_bytes(policy=email.policy.compat32)
    parsed = email.message_from_bytes(built.as_bytes(), policy=email.policy.default)
    kinds = [part.get_content_type() for part in parsed.walk() if not part.is_multipart()]
    assert kinds == ["text/plain", "text/html", *["text/plain" for _ in attachments]]
    assert not any(part.defects for part in parsed.walk())


@pytest.mark.parametrize("channel", [channel for channel in Channel if channel != Channel.EMAIL])
def test_the_outbox_serves_every_channel(tmp_path: Path, channel: Channel) -> None:
    outbox: Any = provider(channel, {}, outbox=tmp_path)
    message = Message("m1", "ada", channel, "somewhere", {"body": "Grüße"}, campaign_id="c", labels=("L",))
    [outcome] = asyncio.run(outbox.deliver([message]))
    assert outcome.status == OutcomeStatus.SENT
    written = json.loads((tmp_path / channel / "m1.json").read_text())
    assert (written["user_id"], written["content"], written["labels"]) == ("ada", {"body": "Grüße"}, ["L"])


def test_a_message_id_cannot_leave_the_outbox(tmp_path: Path) -> None:
    outbox: Any = provider("sms", {}, outbox=tmp_path / "box")
    asyncio.run(outbox.deliver([Message("../../evil", "a", "sms", "+1", {"body": "x"})]))
    assert {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*.json")} == {"box"}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (mail(address="no address"), PermanentReason.INVALID_ADDRESS),
        (mail(address="a@example.com\nBcc: b@example.com"), PermanentReason.INVALID_ADDRESS),
        (mail(subject="Hi\r\nBcc: b@example.com"), PermanentReason.CONTENT_REJECTED),
        (mail(reply_to="x@example.com\nX: y"), PermanentReason.CONTENT_REJECTED),
        (mail(unsubscribe_url="https://example.com/\nX: y"), PermanentReason.CONTENT_REJECTED),
    ],
)
def test_a_header_cannot_be_injected(tmp_path: Path, message: Message, reason: PermanentReason) -> None:
    outbox: Any = provider("email", {}, outbox=tmp_path)
    [outcome] = asyncio.run(outbox.deliver([message]))
    assert (outcome.status, outcome.reason) == (OutcomeStatus.PERMANENT, reason)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    with pytest.raises(ContentError):
        build_email(message, sender="hi@example.com")


def test_words_beyond_ascii_and_attachments_survive() -> None:
    plan = {"name": "plan.csv", "content": b"a,b"}
    message = mail(subject="Grüße — 😀", text="Schöne Grüße", html="<p>" + "ü" * 2000 + "</p>", attachments=[plan])
    built = build_email(message, sender="Jörg <joerg@example.com>")
    parsed = email.message_from_bytes(built.as_bytes(), policy=email.policy.default)
    assert (parsed["Subject"], parsed["From"].addresses[0].display_name) == ("Grüße — 😀", "Jörg")
    body: Any = parsed.get_body(("plain",))
    page: Any = parsed.get_body(("html",))
    assert body.get_content().strip() == "Schöne Grüße"
    assert "ü" * 2000 in page.get_content()
    [attachment] = parsed.iter_attachments()
    assert (attachment.get_filename(), attachment.get_content()) == ("plan.csv", "a,b")


def test_transactional_mail_has_no_unsubscribe_header() -> None:
    built = build_email(mail(unsubscribe_url="https://example.com/u", transactional=True), sender="hi@example.com")
    assert built["List-Unsubscribe"] is None


def test_the_text_part_is_what_a_reader_would_see() -> None:
    html = "<head><title>x</title><style>p{}</style></head><h1>Hi</h1>"
    html += "<p>Go <a href='https://e.test/a'>here</a></p><ul><li>a<li>b</ul>"
    assert plain_text(html) == "Hi\n\nGo here (https://e.test/a)\n\n- a\n- b\n"


# SMTP


class Server:
    """A mail server that refuses some recipients, and can hang up after the data."""

    def __init__(self) -> None:
        self.received: list[tuple[str, list[str], bytes]] = []
        self.hang_up = False

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        refusals = {"nobody": "550 5.1.1 no such user", "busy": "451 4.7.1 try later", "policy": "550 5.7.1 not wanted"}
        if refusal := refusals.get(address.partition("@")[0]):
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.received.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        if self.hang_up:
            server.transport.abort()
        return "250 2.0.0 OK queued as Q1"


@pytest.fixture
def smtp() -> Iterator[tuple[Server, dict[str, Any]]]:
    server = Server()
    controller = Controller(server, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield (
        server,
        {"provider": "smtp", "host": "127.0.0.1", "port": controller.port, "tls": "none", "from": "hi@example.com"},
    )
    controller.stop()


def deliver(options: dict[str, Any], batch: list[Message], tmp_path: Path) -> list[Any]:
    async def run() -> list[Any]:
        smtp: Any = provider("email", options, outbox=tmp_path)
        try:
            return list(await smtp.deliver(batch))
        finally:
            await smtp.aclose()

    return asyncio.run(run())


def test_smtp_delivers_and_tells_each_refusal(smtp: tuple[Server, dict[str, Any]], tmp_path: Path) -> None:
    server, options = smtp
    addresses = ["ada", "nobody", "busy", "policy", "bob"]
    batch = [mail(f"{name}@example.com", message_id=name) for name in addresses]
    outcomes = deliver(options, batch, tmp_path)
    assert [(o.message_id, o.status, o.reason, o.suppress) for o in outcomes] == [
        ("ada", OutcomeStatus.SENT, None, False),
        ("nobody", OutcomeStatus.PERMANENT, PermanentReason.INVALID_ADDRESS, True),
        ("busy", OutcomeStatus.TEMPORARY, None, False),
        ("policy", OutcomeStatus.PERMANENT, PermanentReason.CONTENT_REJECTED, False),
        ("bob", OutcomeStatus.SENT, None, False),
    ]
    assert outcomes[0].provider_id == "Q1"
    assert [(sender, rcpt) for sender, rcpt, _ in server.received] == [
        ("hi@example.com", ["ada@example.com"]),
        ("hi@example.com", ["bob@example.com"]),
    ]
    assert all("example.com" not in o.detail for o in outcomes), "no address in what is kept of the answer"


def test_a_connection_lost_after_the_data_is_in_doubt(smtp: tuple[Server, dict[str, Any]], tmp_path: Path) -> None:
    server, options = smtp
    server.hang_up = True
    assert [o.status for o in deliver(options, [mail()], tmp_path)] == [OutcomeStatus.UNKNOWN]
    assert len(server.received) == 1


def test_a_server_that_is_down_is_one_sentence(tmp_path: Path) -> None:
    options = {"provider": "smtp", "host": "127.0.0.1", "port": free_port(), "tls": "none"}
    with pytest.raises(ChannelError, match=r"127\.0\.0\.1:\d+: the mail server cannot be reached .*; check host, port"):
        deliver(options, [mail()], tmp_path)


def test_a_login_the_server_does_not_offer_is_a_configuration_error(
    smtp: tuple[Server, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_PASSWORD", "secret")
    _, options = smtp
    with pytest.raises((ConfigurationError, ChannelError)) as error:
        deliver({**options, "username": "ada"}, [mail()], tmp_path)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("code", "text", "status", "reason", "suppress"),
    [
        (421, "", "temporary", None, False),
        (452, "4.2.2 full", "temporary", None, False),
        (454, "Throttling failure", "temporary", None, False),
        (552, "5.2.2 mailbox full", "temporary", None, False),
        (550, "5.1.1 unknown", "permanent", "invalid_address", True),
        (553, "5.1.3 bad", "permanent", "invalid_address", True),
        (550, "blocked by policy", "permanent", "invalid_address", False),
        (550, "5.7.26 DMARC", "permanent", "content_rejected", False),
        (552, "5.3.4 too big", "permanent", "payload_too_large", False),
        (535, "5.7.8 bad credentials", "config_error", None, False),
        (530, "5.7.0 must authenticate", "config_error", None, False),
        (299, "?", "unknown", None, False),
    ],
)
def test_reply_codes(code: int, text: str, status: str, reason: str | None, suppress: bool) -> None:
    outcome = outcome_of_reply("m", code, text)
    assert (outcome.status, outcome.reason, outcome.suppress) == (status, reason, suppress)


# Webhooks


@pytest.mark.parametrize(
    ("secret", "message_id", "timestamp", "body", "expected"),
    [  # published by Standard Webhooks
        (
            SECRET,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            b'{"test": 2432232314}',
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "whsec_plJ3nmyCDGBKInavdOK15jsl",
            "msg_loFOjxBNrRLzqYUf",
            1731705121,
            b'{"event_type":"ping","data":{"success":true}}',
            "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
        ),
    ],
)
def test_published_signatures(secret: str, message_id: str, timestamp: int, body: bytes, expected: str) -> None:
    assert sign(secret, message_id, timestamp, body) == expected
    assert sign(f"{secret} {SECRET}", message_id, timestamp, body).split()[0] == expected


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]], list[int]]]:
    """A real HTTP server: its address, what it received, and the statuses it answers with, the last one for ever."""
    received: list[tuple[dict[str, str], bytes]] = []
    statuses = [204]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", received, statuses
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_user_reaches_a_real_endpoint_signed(
    endpoint: tuple[str, list[tuple[dict[str, str], bytes]], list[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    url, received, _ = endpoint
    hook: Any = provider("webhook", {"provider": "webhook", "url": url, "allow_private": True}, outbox=tmp_path)
    message = Message("m1", "ada", "webhook", "", {}, campaign_id="c", labels=("L",), profile={"city": "Ulm"})
    with httpx.Client() as client:
        [outcome] = hook.outcomes([message], client.send(hook.request([message])))
    assert outcome.status == OutcomeStatus.SENT
    [(headers, body)] = received
    payload = Verifier(SECRET).verify(body, headers)
    assert payload["data"]["user_id"] == "ada"
    assert payload["data"]["profile"] == {"city": "Ulm"}
    assert headers["webhook-id"] == "m1"
    assert abs(datetime.now(UTC).timestamp() - int(headers["webhook-timestamp"])) < 60


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (200, "sent"), (204, "sent"), (302, "config_error"), (400, "permanent"), (401, "config_error"),
        (410, "config_error"), (413, "permanent"), (429, "rate_limited"),
        (500, "temporary"), (503, "temporary"), (199, "unknown"),
    ],
)  # fmt: skip
def test_webhook_answers(tmp_path: Path, status: int, meaning: str) -> None:
    hook: Any = provider("webhook", {"provider": "webhook", "url": "https://e.test/"}, outbox=tmp_path)
    message = Message("m1", "ada", "webhook", "", {})
    [outcome] = hook.outcomes([message], httpx.Response(status, headers={"retry-after": "7"}))
    assert outcome.status == meaning
    assert outcome.retry_after == 7


@pytest.mark.parametrize(
    ("address", "forbidden"),
    [
        ("127.0.0.1", True), ("10.1.2.3", True), ("169.254.169.254", True), ("192.168.0.1", True), ("0.0.0.0", True),
        ("::1", True), ("::ffff:127.0.0.1", True), ("fd00::1", True), ("fe80::1%eth0", True), ("224.0.0.1", True),
        ("100.64.0.1", True), ("nonsense", True), ("93.184.216.34", False), ("2606:4700::1111", False),
    ],
)  # fmt: skip
def test_only_the_public_internet_is_called(address: str, forbidden: bool) -> None:
    assert forbidden_address(address) is forbidden


def test_retry_after_in_both_forms() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert parse_retry_after({"retry-after": "120"}) == 120
    assert parse_retry_after({"retry-after": "Thu, 01 Jan 2026 00:01:00 GMT"}, now) == 60
    assert parse_retry_after({"retry-after": "Wed, 31 Dec 2025 00:01:00 GMT"}, now) == 0
    for odd in ("", "soon", "-3", "1e9", "١٢"):
        assert parse_retry_after({"retry-after": odd}) is None


# Configuration


@pytest.mark.parametrize(
    ("channel", "options", "told"),
    [
        ("email", {"provider": "smpt"}, "there is no provider 'smpt'; did you mean smtp?"),
        ("email", {"provider": "smtp", "hots": "x"}, "smtp has no option 'hots'; did you mean host?"),
        ("email", {"provider": "smtp", "tls": "maybe"}, "tls = 'maybe' is not known"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, channel: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        provider(channel, options, outbox=tmp_path)
    assert told in str(error.value)


def test_every_provider_can_be_built_from_its_defaults(tmp_path: Path) -> None:
    needed = {"subject": "mailto:push@example.com", "region": "eu-central-1"}
    vapid = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"  # RFC 8291, appendix A
    account = '{"client_email": "a@p.example", "private_key": "read when it is used", "project_id": "p"}'
    secrets = {"VAPID_PRIVATE_KEY": vapid, "FCM_SERVICE_ACCOUNT": account, "APNS_PRIVATE_KEY": vapid}
    for item in PROVIDERS:
        for channel in item.channels:
            options = {name: needed.get(name, "1") if value is ... else value for name, value in item.options.items()}
            built = provider(
                channel,
                {"provider": item.name, **options},
                outbox=tmp_path,
                secret=lambda name, needed_for: secrets.get(name, SECRET),
            )
            assert built.name == item.name
            assert built.channel == channel
