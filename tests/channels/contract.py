"""Every provider of the registry that speaks HTTP, set up for tests, and one message that it can send."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from engage.channels.message import Message
from engage.channels.provider import HttpProvider
from engage.channels.registry import PROVIDERS, provider
from engage.errors import ConfigurationError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOPIC = "arn:aws:sns:eu-central-1:123456789012:mail-events"
SENDGRID_KEY = ec.generate_private_key(ec.SECP256R1())
_P256 = ec.generate_private_key(ec.SECP256R1())
_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _pem(key: Any) -> str:
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


SECRETS = {
    "SMTP_PASSWORD": "smtp-secret",
    "SENDGRID_API_KEY": "SG.secret",
    "SENDGRID_WEBHOOK_KEY": base64.b64encode(
        SENDGRID_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).decode(),
    "POSTMARK_SERVER_TOKEN": "postmark-secret",
    "POSTMARK_CALLBACK_LOGIN": "user:pass",
    "MAILGUN_API_KEY": "key-secret",
    "MAILGUN_SIGNING_KEY": "signing-secret",
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "aws-secret",
    "TWILIO_AUTH_TOKEN": "12345",
    "VONAGE_API_KEY": "vonage-key",
    "VONAGE_API_SECRET": "vonage-secret",
    "VONAGE_SIGNATURE_SECRET": "SIGSECRET",
    "WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "VAPID_PRIVATE_KEY": _pem(_P256),
    "APNS_PRIVATE_KEY": _pem(_P256),
    "FACEBOOK_ACCESS_TOKEN": "facebook-token",
    "FACEBOOK_APP_SECRET": "facebook-secret",
    "FCM_SERVICE_ACCOUNT": json.dumps({"client_email": "a@p.iam", "private_key": _pem(_RSA), "project_id": "p"}),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "mailgun": {"domain": "mg.example.com"},
    "ses": {"region": "eu-central-1", "topic": TOPIC},
    "twilio": {"account": "AC1", "from": "+15005550006"},
    "vonage": {"from": "Shop"},
    "sns": {"region": "eu-central-1", "from": "Shop"},
    "webhook": {"url": "https://hooks.example.com/in"},
    "web_push": {"subject": "mailto:ada@example.com"},
    "facebook": {"account": "123", "audience_id": "77"},
    "apns": {"team_id": "TEAM", "key_id": "KEY", "topic": "com.example.app"},
}
_POINT = _P256.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
SUBSCRIPTION = {
    "endpoint": "https://push.example.net/send/abc",
    "keys": {"p256dh": _b64(_POINT), "auth": _b64(b"0" * 16)},
}
ADDRESSES = {
    "email": "ada@example.com",
    "sms": "+4915112345678",
    "push": "ab" * 32,
    "web_push": json.dumps(SUBSCRIPTION),
    "webhook": "ada",
    "facebook_audience": "ada@example.com",
}


def secret(variable: str, *, needed_for: str) -> str:
    """What the environment of the tests has."""
    if variable not in SECRETS:
        raise ConfigurationError(f"{variable} is not set", where=needed_for)
    return SECRETS[variable]


def build(name: str, **options: Any) -> HttpProvider:
    """A provider by its name."""
    setup = next(one for one in PROVIDERS if one.name == name)
    given = {"provider": name, "from": "Ada <ada@example.com>"} if "from" in setup.options else {"provider": name}
    made = provider(setup.channels[0], given | OPTIONS.get(name, {}) | options, outbox=Path("/nowhere"), secret=secret)
    assert isinstance(made, HttpProvider)
    made._now = lambda: NOW  # type: ignore[attr-defined]
    return made


def message(channel: str) -> Message:
    """A message that any of the channel's providers can send."""
    content = {"subject": "Hi", "title": "Hi", "text": "Hello", "body": "Hello"}
    if channel == "webhook":
        content = {}
    return Message("m1", "ada", channel, ADDRESSES[channel], content, "news", "news-once", ("Onboarding",))


def names() -> list[str]:
    """Every provider of the registry that speaks HTTP."""
    return [setup.name for setup in PROVIDERS if setup.name not in ("outbox", "smtp", "mailbox")]
