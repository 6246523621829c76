"""Mailgun, Postmark, SES and Vonage: from a send to their verified callbacks, and to the next plan."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette

import engage
from engage.channels.aws.notification import signed_text
from engage.channels.sms.vonage import vonage_signature
from engage.server.callbacks import Callbacks
from tests.channels.stand_ins import StandIns, stand_ins

TOPIC = "arn:aws:sns:eu-central-1:123456789012:mail-events"
AMAZON = "https://sns.eu-central-1.amazonaws.com"
CERTIFICATE = f"{AMAZON}/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
SECRETS = {
    "ENGAGE_SECRET_KEY": "a-key-of-the-tests-that-is-long-enough",
    "MAILGUN_API_KEY": "key",
    "MAILGUN_SIGNING_KEY": "signing",
    "POSTMARK_SERVER_TOKEN": "token",
    "POSTMARK_CALLBACK_LOGIN": "user:pass",
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "VONAGE_API_KEY": "key",
    "VONAGE_API_SECRET": "secret",
    "VONAGE_SIGNATURE_SECRET": "SIGSECRET",
}
SIGNER = rsa.generate_private_key(65537, 2048)


def certificate() -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(SIGNER.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=30))
    return made.sign(SIGNER, SHA256()).public_bytes(Encoding.PEM)


@pytest.fixture(scope="module")
def providers() -> Iterator[StandIns]:
    with stand_ins() as made:
        yield made


@pytest.fixture
def shop(workspace: engage.Workspace, providers: StandIns, monkeypatch: pytest.MonkeyPatch) -> engage.Workspace:
    providers.received.forget()
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    url = providers.url
    file = workspace.root / "pyproject.toml"
    mail = 'from = "Ada <ada@example.com>"'
    file.write_text(
        file.read_text()
        + f"""
[tool.engage.server]
public_url = "https://engage.example.com"
[tool.engage.channels.email]
provider = "outbox"
[tool.engage.channels.email.mailgun]
{mail}
domain = "mg.example.com"
base_url = "{url}/mailgun"
[tool.engage.channels.email.postmark]
{mail}
base_url = "{url}/postmark"
[tool.engage.channels.email.ses]
{mail}
region = "eu-central-1"
topic = "{TOPIC}"
base_url = "{url}/ses"
[tool.engage.channels.sms]
provider = "vonage"
from = "Shop"
base_url = "{url}/vonage"
"""
    )
    opened = engage.Workspace.open(workspace.root)
    rows = [{"user_id": f"u{n}", "email": f"u{n}@example.com", "phone": f"+491511234567{n}"} for n in range(4)]
    opened.land_profiles(rows, now=datetime.now(UTC) - timedelta(days=1))
    return opened


def stamp(late: float = 0.0) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=late)


class Told:
    """One provider's callback, signed as it does; `late` seconds old, or with a signature that is not its own."""

    def __init__(self, ids: list[str]) -> None:
        self.ids = ids

    def mailgun(self, kind: str, n: int, *, late: float = 0.0, forged: bool = False) -> httpx.Request:
        at = stamp(late)
        about = {
            "delivered": {"event": "delivered"},
            "clicked": {"event": "clicked", "url": "https://shop.example/"},
            "bounced": {"event": "failed", "severity": "permanent", "reason": "bounce"},
            "complained": {"event": "complained"},
        }[kind]
        event = about | {"timestamp": at.timestamp(), "recipient": f"u{n}@example.com"}
        event |= {"user-variables": {"message_id": self.ids[n]}}
        seconds, token = str(int(at.timestamp())), hashlib.sha256(f"{kind}{n}".encode()).hexdigest()[:50]
        key = b"another" if forged else SECRETS["MAILGUN_SIGNING_KEY"].encode()
        signature = hmac.new(key, (seconds + token).encode(), hashlib.sha256).hexdigest()
        body = {"signature": {"timestamp": seconds, "token": token, "signature": signature}, "event-data": event}
        return httpx.Request("POST", "https://engage.example.com/callbacks/mailgun", json=body)

    def postmark(self, kind: str, n: int, *, late: float = 0.0, forged: bool = False) -> httpx.Request:
        at = "2026-01-01T00:00:00Z" if late else stamp().isoformat()
        about = {
            "delivered": {"RecordType": "Delivery", "DeliveredAt": at},
            "clicked": {"RecordType": "Click", "ReceivedAt": at, "OriginalLink": "https://shop.example/"},
            "bounced": {"RecordType": "Bounce", "Type": "HardBounce", "BouncedAt": at, "ID": 40 + n},
            "complained": {"RecordType": "SpamComplaint", "Type": "SpamComplaint", "BouncedAt": at, "ID": 50 + n},
        }[kind]
        address = "Email" if kind in ("bounced", "complained") else "Recipient"
        body = about | {address: f"u{n}@example.com", "MessageID": f"pm-{n}", "Metadata": {"message_id": self.ids[n]}}
        login = "user:wrong" if forged else SECRETS["POSTMARK_CALLBACK_LOGIN"]
        headers = {"authorization": "Basic " + base64.b64encode(login.encode()).decode()}
        return httpx.Request("POST", "https://engage.example.com/callbacks/postmark", json=body, headers=headers)

    def ses(self, kind: str, n: int, *, late: float = 0.0, forged: bool = False) -> httpx.Request:
        who = [{"emailAddress": f"u{n}@example.com"}]
        name, detail = {
            "delivered": ("Delivery", {}),
            "clicked": ("Click", {"link": "https://shop.example/"}),
            "bounced": ("Bounce", {"bounceType": "Permanent", "bouncedRecipients": who}),
            "complained": ("Complaint", {"complainedRecipients": who}),
        }[kind]
        at = stamp(late).isoformat()
        mail = {"messageId": f"ses-{n}", "timestamp": at, "destination": [f"u{n}@example.com"]}
        mail |= {"tags": {"message_id": [self.ids[n]]}}
        event = {"eventType": name, "mail": mail, name.lower(): {"timestamp": at, **detail}}
        return notification(json.dumps(event), f"{kind}-{n}", at=at, forged=forged)


def notification(text: str, identity: str, *, at: str = "", forged: bool = False, **more: Any) -> httpx.Request:
    envelope = {
        "Type": "Notification",
        "MessageId": identity,
        "TopicArn": TOPIC,
        "Message": text,
        "Timestamp": at or stamp().isoformat(),
        "SignatureVersion": "2",
        "SigningCertURL": CERTIFICATE,
        **more,
    }
    signature = SIGNER.sign(signed_text(envelope), PKCS1v15(), SHA256())
    envelope["Signature"] = base64.b64encode(signature[::-1] if forged else signature).decode()
    return httpx.Request("POST", "https://engage.example.com/callbacks/ses", content=json.dumps(envelope).encode())


def vonage(fields: dict[str, str], *, late: float = 0.0, forged: bool = False) -> httpx.Request:
    signed = {**fields, "timestamp": str(int(stamp(late).timestamp())), "nonce": "n"}
    signed["sig"] = vonage_signature("another" if forged else SECRETS["VONAGE_SIGNATURE_SECRET"], signed)
    url = f"https://engage.example.com/callbacks/vonage?{urlencode(signed)}"
    return httpx.Request("GET", url)


def call(workspace: engage.Workspace, requests: list[httpx.Request], asked: list[str] | None = None) -> list[int]:
    """Post callbacks to the server's route, as providers do, and land them."""
    pem = certificate()

    def amazon(request: httpx.Request) -> httpx.Response:
        if asked is not None:
            asked.append(str(request.url))
        return httpx.Response(200, content=pem if str(request.url) == CERTIFICATE else b"<Confirmed/>")

    callbacks = Callbacks(workspace, every=60.0, transport=httpx.MockTransport(amazon))
    app = Starlette(routes=callbacks.routes())

    async def run() -> list[int]:
        async with callbacks.running(), httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
            return [(await client.send(request)).status_code for request in requests]

    return asyncio.run(run())


def landed(workspace: engage.Workspace) -> list[tuple[Any, ...]]:
    return workspace.sql(
        "select event_name, user_id, reason, campaign_id from notifications where source = 'callback' order by all"
    ).rows()


DELAYS: dict[str, float] = {"mailgun": 3 * 86_400, "ses": 3 * 86_400}


@pytest.mark.parametrize("name", ["mailgun", "postmark", "ses"])
def test_a_mail_providers_callbacks_come_home(shop: engage.Workspace, name: str) -> None:
    content = {"subject": "Hi", "text": "Hello"}
    values = {"channel": "email", "everyone": True, "provider": name, "content": content}
    assert shop.create_campaign("news", values).send().counts() == {"sent": 4}
    ids = shop.sql("select message_id from audiences order by user_id")["message_id"].to_list()
    made: Callable[..., httpx.Request] = getattr(Told(ids), name)
    bad = [made("delivered", 0, forged=True), made("bounced", 0, forged=True)]
    bad += [made("bounced", 0, late=DELAYS[name])] if name in DELAYS else []
    assert call(shop, bad) == [403] * len(bad), "a forged one, and one of the day before yesterday"
    assert landed(shop) == []
    good = [made("clicked", 0), made("delivered", 0), made("bounced", 2), made("complained", 1), made("delivered", 1)]
    assert call(shop, [*good, *reversed(good)]) == [204] * 10, "a click before its delivery, and all of it again"
    expected = [
        ("Channel Unsubscribed", "u1", "complaint", "news"),
        ("Channel Unsubscribed", "u2", "hard_bounce", "news"),
        ("Notification Clicked", "u0", None, "news"),
        ("Notification Delivered", "u0", None, "news"),
        ("Notification Delivered", "u1", None, "news"),
        ("Notification Failed", "u2", "hard_bounce", "news"),
    ]
    found = landed(shop)
    assert set(found) == set(expected)
    if name != "postmark":  # whose own events have no id but of their time
        assert found == expected
    again = shop.create_campaign("more", {**values, "provider": "outbox"}).plan()
    assert dict(again.counts.excluded) == {"suppressed": 1, "unsubscribed": 1}


def test_a_topic_is_subscribed_to_at_amazon_and_its_certificate_fetched_once(shop: engage.Workspace) -> None:
    url = f"{AMAZON}/?Action=ConfirmSubscription&Token=t"
    offer = {"Type": "SubscriptionConfirmation", "Token": "t", "SubscribeURL": url}
    asked: list[str] = []
    assert call(shop, [notification("You have chosen to subscribe", "s1", **offer)] * 2, asked) == [204, 204]
    assert asked == [CERTIFICATE, url, url]
    inner = offer | {"SubscribeURL": "http://169.254.169.254/"}
    strange = [
        notification("x", "s2", **inner),
        notification("x", "s3", forged=True, **offer),
        notification("x", "s4", TopicArn="arn:aws:sns:eu-central-1:999999999999:mail-events"),
        notification("x", "s5", SigningCertURL="https://sns.eu-central-1.amazonaws.com.evil.example/x.pem"),
    ]
    asked.clear()
    assert call(shop, strange, asked) == [403] * 4
    assert set(asked) == {CERTIFICATE}, "no other address was called"


def test_vonage_tells_of_deliveries_and_of_replies(shop: engage.Workspace, providers: StandIns) -> None:
    values = {"channel": "sms", "everyone": True, "content": {"body": "Hi"}}
    assert shop.create_campaign("news", values).send().counts() == {"sent": 4}
    forms = [one.body for one in providers.received.seen("vonage")]
    assert {form["callback"] for form in forms} == {"https://engage.example.com/callbacks/vonage"}
    by_number = {f"+{form['to']}": form["client-ref"] for form in forms}

    def status(n: int, state: str, code: str = "0", **how: Any) -> httpx.Request:
        number = f"+491511234567{n}"
        fields = {"messageId": f"vo-{n}", "msisdn": number[1:], "status": state, "err-code": code}
        return vonage(fields | {"client-ref": by_number[number]}, **how)

    def reply(n: int, text: str, **how: Any) -> httpx.Request:
        fields = {"msisdn": f"491511234567{n}", "to": "Shop", "messageId": f"in-{n}-{text}", "text": text}
        return vonage(fields | {"keyword": text.split()[0].upper(), "type": "text"}, **how)

    bad = [status(0, "delivered", forged=True), reply(1, "STOP", forged=True), reply(1, "STOP", late=3 * 86_400)]
    assert call(shop, bad) == [403, 403, 403]
    assert landed(shop) == []
    good = [status(0, "delivered"), status(1, "failed", "1"), reply(2, "stop"), reply(3, "thank you")]
    assert call(shop, [*good, *good]) == [204] * 8
    assert set(landed(shop)) == {
        ("Channel Unsubscribed", "u2", "stop", None),
        ("Notification Delivered", "u0", None, "news"),
        ("Notification Failed", "u1", "undelivered", "news"),
    }
    assert dict(shop.create_campaign("more", values).plan().counts.excluded) == {"unsubscribed": 1}
    assert call(shop, [reply(2, "START")]) == [204]
    assert shop.suppressions("sms").height == 0
