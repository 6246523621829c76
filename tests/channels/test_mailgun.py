from __future__ import annotations

import base64
import email
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from engage.channels.email.mailgun import Mailgun
from engage.channels.message import Message
from engage.channels.registry import provider
from engage.errors import ChannelError
from engage.vocabulary import OutcomeStatus, PermanentReason

S = OutcomeStatus
SECRETS = {"MAILGUN_API_KEY": "key-1", "MAILGUN_SIGNING_KEY": "TEST_WEBHOOK_SIGNING_KEY"}
TOKEN = "1234567890abcdef1234567890abcdef"
# HMAC-SHA256 over timestamp and token with the key above; `openssl dgst -sha256 -hmac` gives the same.
SIGNATURE = "3b754b7c269e4c08fb3f5f36b2b5f98e45245965522dc16ca4c9faa0b11b557d"


@pytest.fixture
def mailgun() -> Mailgun:
    made = provider(
        "email",
        {"provider": "mailgun", "domain": "mg.example.com", "from": "Ada <ada@example.com>"},
        outbox=Path("/nowhere"),
        secret=lambda name, **_: SECRETS[name],
    )
    assert isinstance(made, Mailgun)
    made._now = lambda: datetime.fromtimestamp(1234567899, UTC)
    return made


def mail() -> Message:
    return Message("m1", "u1", "email", "grace@example.com", {"subject": "Hej Åsa", "text": "Hello"}, campaign_id="c")


def callback(event: dict[str, Any], signature: str = SIGNATURE, stamp: str = "1234567890") -> httpx.Request:
    signed = {"timestamp": stamp, "token": TOKEN, "signature": signature}
    whole = {
        "timestamp": 1234567880.5,
        "recipient": "grace@example.com",
        "user-variables": {"message_id": "m1"},
        "message": {"headers": {"message-id": "x@mg.example.com"}},
        **event,
    }
    return httpx.Request("POST", "https://x.example/callbacks/mailgun", json={"signature": signed, "event-data": whole})


def test_request_has_the_mail_whole(mailgun: Mailgun) -> None:
    request = mailgun.request([mail()])
    assert str(request.url) == "https://api.mailgun.net/v3/mg.example.com/messages.mime"
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"api:key-1").decode()
    assert int(request.headers["content-length"]) == len(request.content)
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    form = email.message_from_bytes(head + request.content)
    parts = {part.get_param("name", header="content-disposition"): part for part in form.get_payload()}  # type: ignore[union-attr]
    assert parts["to"].get_payload() == "grace@example.com"  # type: ignore[union-attr]
    assert parts["v:message_id"].get_payload() == "m1"  # type: ignore[union-attr]
    whole = parts["message"].as_string()  # type: ignore[union-attr]
    assert "Message-ID: <m1@example.com>" in whole


@pytest.mark.parametrize(
    ("status", "body", "meaning", "reason"),
    [
        (200, {"id": "<x@mg.example.com>", "message": "Queued. Thank you."}, S.SENT, None),
        (200, {"message": "Mailgun Magnificent API"}, S.CONFIG_ERROR, None),
        (400, {"message": "'to' parameter is not a valid address. please check documentation"},
         S.PERMANENT, PermanentReason.INVALID_ADDRESS),
        (400, {"message": "Need at least one of 'text' or 'html' parameters specified"},
         S.PERMANENT, PermanentReason.CONTENT_REJECTED),
        (401, {}, S.CONFIG_ERROR, None),
        (404, {"message": "Domain not found"}, S.CONFIG_ERROR, None),
        (413, {}, S.PERMANENT, PermanentReason.PAYLOAD_TOO_LARGE),
        (429, {}, S.RATE_LIMITED, None),
        (500, {}, S.TEMPORARY, None),
        (302, {}, S.UNKNOWN, None),
    ],
)  # fmt: skip
def test_answers(
    mailgun: Mailgun, status: int, body: dict[str, str], meaning: OutcomeStatus, reason: PermanentReason | None
) -> None:
    [outcome] = mailgun.outcomes([mail()], httpx.Response(status, json=body))
    assert (outcome.status, outcome.reason) == (meaning, reason)
    assert outcome.provider_id == ("x@mg.example.com" if meaning == S.SENT else None)


@pytest.mark.parametrize(
    ("event", "name", "reason", "suppress"),
    [
        ({"event": "delivered"}, "Notification Delivered", None, False),
        ({"event": "opened"}, "Notification Viewed", None, False),
        ({"event": "clicked", "url": "https://x.example"}, "Notification Clicked", None, False),
        ({"event": "failed", "severity": "permanent", "reason": "bounce"}, "Notification Failed", "hard_bounce", True),
        ({"event": "failed", "severity": "temporary"}, None, None, False),
        ({"event": "complained"}, "Channel Unsubscribed", "complaint", True),
        ({"event": "unsubscribed"}, "Channel Unsubscribed", "unsubscribed", True),
        ({"event": "accepted"}, None, None, False),
    ],
)
def test_callbacks(
    mailgun: Mailgun, event: dict[str, Any], name: str | None, reason: str | None, suppress: bool
) -> None:
    found = mailgun.receipts(callback(event))
    told = [(one.event_name, one.reason, one.suppress, one.message_id, one.event_id) for one in found]
    assert told == ([(name, reason, suppress, "m1", TOKEN)] if name else [])


def test_forged_and_old_callbacks_are_refused(mailgun: Mailgun) -> None:
    with pytest.raises(ChannelError, match="wrong"):
        mailgun.receipts(callback({"event": "delivered"}, stamp="1234567891"))
    with pytest.raises(ChannelError, match="not what"):
        mailgun.receipts(httpx.Request("POST", "https://x.example", content=json.dumps([1]).encode()))
    mailgun._now = lambda: datetime.fromtimestamp(1234567890 + 90_000, UTC)
    with pytest.raises(ChannelError, match="too old"):
        mailgun.receipts(callback({"event": "delivered"}))
