from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import http_ece
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from engage.channels.message import Message
from engage.channels.registry import Configured, provider
from engage.channels.web_push.encryption import MAX_PLAINTEXT, encrypt
from engage.channels.web_push.vapid import Vapid, b64url, from_b64url, private_key
from engage.channels.web_push.webpush import WebPush
from engage.errors import ConfigurationError, InvalidAddressError, UnsupportedContentError
from engage.vocabulary import OutcomeStatus, PermanentReason

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
# RFC 8291, appendix A
PLAINTEXT = b"When I grow up, I want to be a watermelon"
SALT, AUTH = from_b64url("DGv6ra1nlYgDCS1FRnbzlw"), from_b64url("BTBZMqHH6r4Tts7J_aSIgg")
SENDER = private_key("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")
BROWSER = private_key("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94")
P256DH = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
BODY = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_"
    "yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)


def subscription(endpoint: str = "https://push.example.net/send/abc", p256dh: str = P256DH) -> str:
    return json.dumps({"endpoint": endpoint, "keys": {"p256dh": p256dh, "auth": b64url(AUTH)}})


def message(address: str | None = None, **content: Any) -> Message:
    shown = {"title": "Hi", "body": "Grüße", **content}
    return Message("m1", "ada", "web_push", address or subscription(), shown, campaign_id="spring")


def web_push(now: datetime = NOW, **options: Any) -> WebPush:
    complete = {"subject": "mailto:push@example.com", "ttl": 3600, "allow_private": False, **options}
    key = b64url(SENDER.private_numbers().private_value.to_bytes(32, "big"))
    return WebPush(Configured("web_push", complete, {"private_key": key}, Path()), lambda: now)


def test_rfc_8291_appendix_a() -> None:
    body = encrypt(PLAINTEXT, p256dh=from_b64url(P256DH), auth=AUTH, salt=SALT, sender=SENDER)
    assert body == from_b64url(BODY)
    assert len(body) == 144


def test_rfc_8292_section_2_4_verifies_with_the_key_as_we_read_it() -> None:
    token = (
        "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0NTM1MjM3NjgsInN1YiI6"
        "Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCGSK2rpiUfnK9ojFwDXb1JrErtmysazNjjvW2L9OkSS"
        "HzvoD1oA"
    )
    key = "BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs"
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), from_b64url(key))
    claims = jwt.decode(token, public, ["ES256"], audience="https://push.example.net", options={"verify_exp": False})
    assert claims == {"aud": "https://push.example.net", "exp": 1453523768, "sub": "mailto:push@example.com"}


@given(text=st.binary(max_size=MAX_PLAINTEXT))
def test_another_implementation_decrypts_what_we_encrypt(text: bytes) -> None:
    body = encrypt(text, p256dh=from_b64url(P256DH), auth=AUTH)
    assert len(body) <= 4096
    assert http_ece.decrypt(body, private_key=BROWSER, auth_secret=AUTH, version="aes128gcm") == text


def test_the_request() -> None:
    request = web_push().request([message(urgency="high", topic="news", ttl="60", deep_link="https://example.com/x")])
    assert (request.method, str(request.url)) == ("POST", "https://push.example.net/send/abc")
    headers = dict(request.headers)
    assert (headers["ttl"], headers["urgency"], headers["topic"]) == ("60", "high", "news")
    assert headers["content-encoding"] == "aes128gcm"
    text = http_ece.decrypt(request.content, private_key=BROWSER, auth_secret=AUTH, version="aes128gcm")
    assert json.loads(text) == {
        "title": "Hi",
        "body": "Grüße",
        "deep_link": "https://example.com/x",
        "message_id": "m1",
        "campaign_id": "spring",
        "run_id": "",
    }
    scheme, _, rest = headers["authorization"].partition(" ")
    parts = dict(part.split("=", 1) for part in rest.split(", "))
    point = SENDER.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert (scheme, parts["k"]) == ("vapid", b64url(point))
    options = {"verify_exp": False}
    claims = jwt.decode(
        parts["t"], SENDER.public_key(), ["ES256"], audience="https://push.example.net", options=options
    )
    assert claims["sub"] == "mailto:push@example.com"
    assert NOW.timestamp() < claims["exp"] <= (NOW + timedelta(hours=24)).timestamp()


def test_a_token_is_kept_for_its_origin_and_renewed_before_it_ends() -> None:
    vapid = Vapid(b64url(SENDER.private_numbers().private_value.to_bytes(32, "big")), "mailto:a@example.com")
    first = vapid.authorization("https://push.example.net/a", NOW)
    assert vapid.authorization("https://push.example.net/b", NOW + timedelta(hours=10)) == first
    assert vapid.authorization("https://other.example.net/b", NOW) != first
    assert vapid.authorization("https://push.example.net/b", NOW + timedelta(hours=11, minutes=1)) != first


@pytest.mark.parametrize(
    ("status", "meaning", "reason", "suppress"),
    [
        (201, OutcomeStatus.SENT, None, False),
        (202, OutcomeStatus.SENT, None, False),
        (404, OutcomeStatus.PERMANENT, PermanentReason.UNREGISTERED, True),
        (410, OutcomeStatus.PERMANENT, PermanentReason.UNREGISTERED, True),
        (400, OutcomeStatus.PERMANENT, PermanentReason.CONTENT_REJECTED, False),
        (401, OutcomeStatus.CONFIG_ERROR, None, False),
        (403, OutcomeStatus.CONFIG_ERROR, None, False),
        (413, OutcomeStatus.PERMANENT, PermanentReason.PAYLOAD_TOO_LARGE, False),
        (429, OutcomeStatus.RATE_LIMITED, None, False),
        (500, OutcomeStatus.TEMPORARY, None, False),
        (503, OutcomeStatus.TEMPORARY, None, False),
        (301, OutcomeStatus.TEMPORARY, None, False),
        (299, OutcomeStatus.UNKNOWN, None, False),
    ],
)
def test_what_a_status_means(
    status: int, meaning: OutcomeStatus, reason: PermanentReason | None, suppress: bool
) -> None:
    answer = httpx.Response(status, headers={"location": "https://push.example.net/m/1"})
    [outcome] = web_push().outcomes([message()], answer)
    assert (outcome.status, outcome.reason, outcome.suppress) == (meaning, reason, suppress)
    assert (outcome.provider_id is not None) == (meaning == OutcomeStatus.SENT)


@pytest.mark.parametrize("value", ["120", "Sun, 01 Mar 2026 12:02:00 GMT"])
def test_retry_after_in_both_forms(value: str) -> None:
    [outcome] = web_push().outcomes([message()], httpx.Response(429, headers={"retry-after": value}))
    assert outcome.retry_after == 120


@pytest.mark.parametrize(
    "address",
    [
        "no JSON",
        "[]",
        '{"endpoint": "https://push.example.net/"}',
        subscription("http://push.example.net/x"),
        subscription("https://127.0.0.1/x"),
        subscription("https://[::1]/x"),
        subscription("https://169.254.169.254/latest"),
        subscription("https://localhost/x"),
        subscription("https://me:pw@push.example.net/x"),
        subscription(p256dh=b64url(b"\x04" + bytes(64))),
        subscription(p256dh="AAAA"),
    ],
)
def test_what_is_no_subscription_is_refused_without_a_request(address: str) -> None:
    with pytest.raises(InvalidAddressError) as caught:
        web_push().request([message(address)])
    assert address not in str(caught.value)


@given(address=st.one_of(st.text(), st.recursive(st.none() | st.text(), lambda x: st.lists(x)).map(json.dumps)))
def test_no_address_raises_anything_else(address: str) -> None:
    with pytest.raises(InvalidAddressError):
        web_push().request([message(address or "-")])


@pytest.mark.parametrize(
    "content", [{"urgency": "urgent"}, {"topic": "a b"}, {"topic": "x" * 33}, {"ttl": "soon"}, {"body": "x" * 5000}]
)
def test_what_web_push_cannot_express(content: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedContentError):
        web_push().request([message(**content)])


@pytest.mark.parametrize("key", ["", "AAAA", "not base64!", "-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_a_wrong_key_is_told_without_telling_it(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        private_key(key)
    assert not key or key not in str(caught.value)


def test_configuration_alone_chooses_it(tmp_path: Path) -> None:
    options = {"provider": "web_push", "subject": "mailto:a@example.com"}
    key = b64url(SENDER.private_numbers().private_value.to_bytes(32, "big"))
    built = provider("web_push", options, outbox=tmp_path, secret=lambda name, needed_for: key)
    assert built.name == "web_push"
    with pytest.raises(ConfigurationError, match="subject"):
        provider("web_push", {"provider": "web_push"}, outbox=tmp_path, secret=lambda name, needed_for: key)
