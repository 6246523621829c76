"""Amazon SES and SNS: signatures by the published vectors and by botocore, requests to moto, signed notifications."""

from __future__ import annotations

import base64
import email
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from engage.channels.aws.notification import signed_text
from engage.channels.aws.sigv4 import Credentials, sign
from engage.channels.email.ses import Ses
from engage.channels.message import Message
from engage.channels.registry import provider
from engage.channels.sms.sns import Sns
from engage.errors import ChannelError, ConfigurationError, ContentError, InvalidAddressError
from engage.vocabulary import OutcomeStatus as S
from engage.vocabulary import PermanentReason as R

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOPIC = "arn:aws:sns:eu-central-1:123456789012:mail-events"
CERTIFICATE = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"

# The published test suite of Signature Version 4 (aws-sig-v4-test-suite), by the names of its cases.
SUITE_KEY = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
SUITE = {
    "get-vanilla": (
        ("GET", "https://example.amazonaws.com/", {}, b""),
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    "get-vanilla-query-order-key-case": (
        ("GET", "https://example.amazonaws.com/?Param2=value2&Param1=value1", {}, b""),
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    "post-vanilla": (
        ("POST", "https://example.amazonaws.com/", {}, b""),
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    ),
    "post-x-www-form-urlencoded": (
        (
            "POST",
            "https://example.amazonaws.com/",
            {"content-type": "application/x-www-form-urlencoded"},
            b"Param1=value1",
        ),
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
}


def secret(variable: str, *, needed_for: str) -> str:
    if variable == "AWS_SESSION_TOKEN":
        raise ConfigurationError("not set", where=needed_for)
    return {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}[variable]


def ses(**options: Any) -> Ses:
    given = {"provider": "ses", "from": "Ada <ada@example.com>", "region": "eu-central-1", "topic": TOPIC, **options}
    made = provider("email", given, outbox=Path("/nowhere"), secret=secret)
    assert isinstance(made, Ses)
    made._now = lambda: NOW
    return made


def sns(**options: Any) -> Sns:
    made = provider("sms", {"provider": "sns", "region": "eu-central-1", **options}, outbox=Path("/x"), secret=secret)
    assert isinstance(made, Sns)
    made._now = lambda: NOW
    return made


def mail(**content: Any) -> Message:
    given = {"subject": "Hej Åsa", "html": "<p>Hello</p>", "unsubscribe_url": "https://x.example/u", **content}
    return Message("m1", "u1", "email", "grace@example.com", given, campaign_id="welcome")


def sms(body: str = "Hello", address: str = "+4915112345678", **content: Any) -> Message:
    return Message("m1", "u1", "sms", address, {"body": body, **content}, campaign_id="welcome")


@pytest.mark.parametrize("name", SUITE)
def test_published_signatures(name: str) -> None:
    (method, url, headers, body), expected = SUITE[name]
    request = httpx.Request(method, url, content=body)
    request.headers = httpx.Headers({"host": "example.amazonaws.com", **headers})
    now = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
    sign(request, SUITE_KEY, region="us-east-1", service="service", now=now)
    assert request.headers["authorization"].rpartition("Signature=")[2] == expected


@given(
    path=st.lists(st.text("ab/ +~%ü.", max_size=6), max_size=3).map("/".join),
    query=st.dictionaries(st.text("abÄ=&+", min_size=1, max_size=5), st.text("xyß/&=+~", max_size=5), max_size=3),
    body=st.binary(max_size=40),
    token=st.sampled_from(["", "a-session-token"]),
)
@settings(max_examples=60)
def test_signatures_are_those_of_botocore(path: str, query: dict[str, str], body: bytes, token: str) -> None:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials as Theirs

    path = "/" + path.replace("//", "/").replace("..", "").replace("/.", "/").lstrip("/")
    request = httpx.Request("POST", httpx.URL("https://host.example" + httpx.URL(path=path).raw_path.decode()))
    if "//" in request.url.path or "/." in request.url.path:
        return  # botocore resolves dots and empty segments; no address of ours has them
    request = httpx.Request("POST", request.url.copy_merge_params(query), content=body)
    now = datetime.now(UTC)
    sign(request, Credentials("AKID", "secret", token), region="eu-west-1", service="ses", now=now)
    theirs = AWSRequest("POST", str(request.url), headers={"host": "host.example"}, data=body)
    signer = SigV4Auth(Theirs("AKID", "secret", token or None), "ses", "eu-west-1")
    theirs.context["timestamp"] = request.headers["x-amz-date"]
    signer._modify_request_before_signing(theirs)
    theirs.headers.replace_header("X-Amz-Date", request.headers["x-amz-date"])
    assert (
        signer.signature(signer.string_to_sign(theirs, signer.canonical_request(theirs)), theirs)
        == (request.headers["authorization"].rpartition("Signature=")[2])
    )


def test_ses_request() -> None:
    made = ses(configuration_set="tracked")
    request = made.request([mail(attachments=[{"name": "a.txt", "content": b"x"}])])
    assert (request.method, str(request.url)) == (
        "POST",
        "https://email.eu-central-1.amazonaws.com/v2/email/outbound-emails",
    )
    assert "Credential=AKIDEXAMPLE/20260301/eu-central-1/ses/aws4_request" in request.headers["authorization"]
    body = json.loads(request.read())
    raw = email.message_from_bytes(base64.b64decode(body["Content"].pop("Raw")["Data"]))
    assert body == {
        "Destination": {"ToAddresses": ["grace@example.com"]},
        "Content": {},
        "EmailTags": [{"Name": "message_id", "Value": "m1"}, {"Name": "campaign_id", "Value": "welcome"}],
        "ConfigurationSetName": "tracked",
    }
    assert raw["List-Unsubscribe"] == "<https://x.example/u>"
    assert raw["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert [part.get_content_type() for part in raw.walk() if not part.is_multipart()] == [
        "text/plain",
        "text/html",
        "text/plain",
    ]
    with pytest.raises(ContentError):
        made.request([Message("m", "u", "email", "no address", {"subject": "s", "text": "t"})])
    with pytest.raises(ConfigurationError, match="region"):
        ses(region="Frankfurt")


@pytest.mark.parametrize(
    ("status", "headers", "body", "meaning", "reason"),
    [
        (200, {}, {"MessageId": "0100-1"}, S.SENT, None),
        (200, {}, {}, S.UNKNOWN, None),
        (429, {}, {"__type": "TooManyRequestsException"}, S.RATE_LIMITED, None),
        (400, {"x-amzn-ErrorType": "ThrottlingException:http://x"}, {}, S.RATE_LIMITED, None),
        (454, {}, {"message": "Throttling failure: Maximum sending rate exceeded."}, S.RATE_LIMITED, None),
        (400, {"x-amzn-ErrorType": "LimitExceededException"}, {}, S.CONFIG_ERROR, None),
        (400, {"x-amzn-ErrorType": "AccountSuspendedException"}, {}, S.CONFIG_ERROR, None),
        (400, {"x-amzn-ErrorType": "SendingPausedException"}, {}, S.CONFIG_ERROR, None),
        (400, {"x-amzn-ErrorType": "MailFromDomainNotVerifiedException"}, {}, S.CONFIG_ERROR, None),
        (404, {"x-amzn-ErrorType": "NotFoundException"}, {}, S.CONFIG_ERROR, None),
        (403, {"x-amzn-ErrorType": "InvalidClientTokenId"}, {}, S.CONFIG_ERROR, None),
        (400, {"x-amzn-ErrorType": "MessageRejected"}, {"message": "Spam"}, S.PERMANENT, R.CONTENT_REJECTED),
        (
            400,
            {},
            {"__type": "a.b#MessageRejected", "message": "Email address is not verified."},
            S.CONFIG_ERROR,
            None,
        ),
        (400, {"x-amzn-ErrorType": "BadRequestException"}, {}, S.PERMANENT, R.CONTENT_REJECTED),
        (413, {}, {}, S.PERMANENT, R.PAYLOAD_TOO_LARGE),
        (503, {}, {}, S.TEMPORARY, None),
        (500, {}, {}, S.UNKNOWN, None),
        (302, {}, {}, S.UNKNOWN, None),
    ],
)
def test_ses_answers(status: int, headers: dict[str, str], body: dict[str, Any], meaning: S, reason: R | None) -> None:
    [outcome] = ses().outcomes([mail()], httpx.Response(status, headers=headers, json=body))
    assert (outcome.status, outcome.reason, outcome.suppress) == (meaning, reason, False)
    assert outcome.provider_id == ("0100-1" if meaning == S.SENT else None)


def test_sns_request() -> None:
    request = sns(kind="Transactional").request([sms("Grüß dich & ok", **{"from": "Engage"})])
    assert str(request.url) == "https://sns.eu-central-1.amazonaws.com/"
    assert {name: value for name, [value] in parse_qs(request.read().decode()).items()} == {
        "Action": "Publish",
        "Version": "2010-03-31",
        "PhoneNumber": "+4915112345678",
        "Message": "Grüß dich & ok",
        "MessageAttributes.entry.1.Name": "AWS.SNS.SMS.SMSType",
        "MessageAttributes.entry.1.Value.DataType": "String",
        "MessageAttributes.entry.1.Value.StringValue": "Transactional",
        "MessageAttributes.entry.2.Name": "AWS.SNS.SMS.SenderID",
        "MessageAttributes.entry.2.Value.DataType": "String",
        "MessageAttributes.entry.2.Value.StringValue": "Engage",
    }
    with pytest.raises(InvalidAddressError):
        sns().request([sms(address="0151 1234")])
    with pytest.raises(ContentError):
        sns().request([sms("x" * 1601)])


def _error(code: str, message: str = "…") -> str:
    return f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"


@pytest.mark.parametrize(
    ("status", "body", "meaning", "reason", "suppress"),
    [
        (200, "<PublishResult><MessageId>567-8</MessageId></PublishResult>", S.SENT, None, False),
        (200, "<html>hello</html>", S.UNKNOWN, None, False),
        (400, _error("Throttling"), S.RATE_LIMITED, None, False),
        (400, _error("InvalidParameter", "Invalid parameter: PhoneNumber"), S.PERMANENT, R.INVALID_ADDRESS, True),
        (400, _error("InvalidParameter", "Invalid parameter: Message"), S.PERMANENT, R.CONTENT_REJECTED, False),
        (400, _error("OptedOut"), S.PERMANENT, R.UNSUBSCRIBED, True),
        (403, _error("AuthorizationError"), S.CONFIG_ERROR, None, False),
        (403, _error("SignatureDoesNotMatch"), S.CONFIG_ERROR, None, False),
        (500, _error("InternalError"), S.TEMPORARY, None, False),
        (500, "", S.UNKNOWN, None, False),
    ],
)
def test_sns_answers(status: int, body: str, meaning: S, reason: R | None, suppress: bool) -> None:
    [outcome] = sns().outcomes([sms()], httpx.Response(status, text=body))
    assert (outcome.status, outcome.reason, outcome.suppress) == (meaning, reason, suppress)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_moto_takes_what_is_sent(moto: str) -> None:
    from moto.ses.models import ses_backends
    from moto.sns.models import sns_backends

    made = ses(base_url=moto)
    with httpx.Client() as client:
        [refused] = made.outcomes([mail()], client.send(made.request([mail()])))
        assert refused.status in (S.CONFIG_ERROR, S.PERMANENT)  # nobody has verified the sender yet
        assert not refused.suppress
        form = {"Action": "VerifyEmailIdentity", "EmailAddress": "ada@example.com", "Version": "2010-12-01"}
        request = httpx.Request("POST", moto + "/", data=form)
        sign(request, Credentials("AKIDEXAMPLE", "secret"), region="eu-central-1", service="ses", now=NOW)
        assert client.send(request).status_code == 200
        [outcome] = made.outcomes([mail()], client.send(made.request([mail()])))
        assert outcome.status is S.SENT
        [taken] = ses_backends["123456789012"]["eu-central-1"].sent_messages
        assert taken.id == outcome.provider_id
        assert "List-Unsubscribe-Post: List-Unsubscribe=One-Click" in taken.raw_data

        texts = sns(base_url=moto)
        [outcome] = texts.outcomes([sms()], client.send(texts.request([sms()])))
        assert outcome.status is S.SENT
        sent = sns_backends["123456789012"]["eu-central-1"].sms_messages
        assert sent[outcome.provider_id][:2] == ("+4915112345678", "Hello")


class Amazon:
    """Signs notifications with a certificate of its own, as Amazon does with its."""

    def __init__(self, key: Any = None, *, days: int = 30) -> None:
        self.key = key or rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
        self.pem = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(1)
            .not_valid_before(NOW - timedelta(days=60))
            .not_valid_after(NOW + timedelta(days=days))
            .sign(self.key, SHA256())
            .public_bytes(Encoding.PEM)
        )

    def callback(self, message: object, *, version: str = "2", **more: Any) -> httpx.Request:
        envelope = {
            "Type": "Notification",
            "MessageId": "22b80b92",
            "TopicArn": TOPIC,
            "Message": message if isinstance(message, str) else json.dumps(message),
            "Timestamp": "2026-03-01T11:59:00.000Z",
            "SignatureVersion": version,
            "SigningCertURL": CERTIFICATE,
            **more,
        }
        method = SHA256() if version == "2" else SHA1()
        signature = self.key.sign(signed_text(envelope), PKCS1v15(), method)
        body = json.dumps(envelope | {"Signature": base64.b64encode(signature).decode()}).encode()
        return httpx.Request("POST", "https://e.example/callbacks/ses", content=body)


@pytest.fixture(scope="module")
def amazon() -> Amazon:
    return Amazon()


def trusting(amazon: Amazon, callback: httpx.Request) -> Ses:
    """SES with the certificate fetched that a callback names."""
    made = ses()
    request = made.certificate(callback)
    assert request is not None
    assert str(request.url) == CERTIFICATE
    made.certified(request, httpx.Response(200, content=amazon.pem))
    return made


def event(kind: str, **detail: Any) -> dict[str, Any]:
    mail = {
        "messageId": "0100-1",
        "timestamp": "2026-03-01T11:00:00Z",
        "destination": ["Grace <grace@example.com>"],
        "tags": {"message_id": ["m1"]},
    }
    part = {"Rendering Failure": "failure"}.get(kind, kind.lower())
    return {"eventType": kind, "mail": mail, part: {"timestamp": "2026-03-01T11:58:00Z", **detail}}


@pytest.mark.parametrize(
    ("told", "name", "reason", "suppress"),
    [
        (event("Delivery"), "Notification Delivered", None, False),
        (event("Open"), "Notification Viewed", None, False),
        (event("Click", link="https://x.example"), "Notification Clicked", None, False),
        (event("Bounce", bounceType="Permanent"), "Notification Failed", "hard_bounce", True),
        (event("Bounce", bounceType="Undetermined"), "Notification Failed", "undelivered", False),
        (event("Bounce", bounceType="Transient"), None, None, False),
        (event("Complaint"), "Channel Unsubscribed", "complaint", True),
        (event("Reject"), "Notification Failed", "rejected", False),
        (event("Send"), None, None, False),
        (event("DeliveryDelay"), None, None, False),
        ("Successfully validated SNS topic", None, None, False),
    ],
)
def test_ses_events(amazon: Amazon, told: Any, name: str | None, reason: str | None, suppress: bool) -> None:
    callback = amazon.callback(told)
    found = trusting(amazon, callback).receipts(callback)
    if name is None:
        assert found == []
        return
    [one] = found
    assert (one.event_name, one.reason, one.suppress) == (name, reason, suppress)
    assert (one.event_id, one.message_id, one.provider_id) == ("22b80b92", "m1", "0100-1")
    assert one.address == "grace@example.com"


@pytest.mark.parametrize("version", ["1", "2"])
def test_ses_refuses_what_amazon_did_not_sign(amazon: Amazon, version: str) -> None:
    callback = amazon.callback(event("Delivery"), version=version)
    made = trusting(amazon, callback)
    assert made.certificate(callback) is None  # fetched once
    assert len(made.receipts(callback)) == 1
    body = json.loads(callback.read())
    for wrong in (
        {"Message": json.dumps(event("Complaint"))},
        {"MessageId": "another"},
        {"Signature": ""},
        {"Signature": base64.b64encode(b"0" * 256).decode()},
        {"SignatureVersion": "3"},
        {"TopicArn": TOPIC + "-of-another"},
    ):
        forged = httpx.Request("POST", "https://e.example", content=json.dumps(body | wrong).encode())
        with pytest.raises(ChannelError):
            made.receipts(forged)
    with pytest.raises(ChannelError, match="signature"):
        made.receipts(Amazon().callback(event("Delivery")))
    made._now = lambda: NOW + timedelta(days=2)
    with pytest.raises(ChannelError, match="too old"):
        made.receipts(callback)
    with pytest.raises(ConfigurationError, match="topic"):
        ses(topic="").receipts(callback)


@pytest.mark.parametrize(
    "url",
    [
        CERTIFICATE.replace("https", "http"),
        CERTIFICATE.replace(".amazonaws.com", ".amazonaws.com.evil.example"),
        CERTIFICATE.replace("sns.eu", "evil.example/sns.eu"),
        CERTIFICATE.replace("sns.", "user@sns."),
        CERTIFICATE.replace(".com/", ".com:8443/"),
        CERTIFICATE.replace("eu-central-1", "us-east-1"),
        CERTIFICATE + "?x=1",
        "https://sns.eu-central-1.amazonaws.com/evil/../x.pem",
        "https://127.0.0.1/SimpleNotificationService-0.pem",
        "",
    ],
)
def test_no_certificate_of_another_host_is_fetched(amazon: Amazon, url: str) -> None:
    callback = amazon.callback(event("Delivery"), SigningCertURL=url)
    with pytest.raises(ChannelError):
        ses().certificate(callback)
    with pytest.raises(ChannelError):
        ses().receipts(callback)


def test_a_certificate_must_be_one_and_valid(amazon: Amazon) -> None:
    callback = amazon.callback(event("Delivery"))
    request = ses().certificate(callback)
    assert request is not None
    for content, status in (
        (b"", 200),
        (b"-----BEGIN CERTIFICATE-----", 200),
        (amazon.pem, 404),
        (Amazon(days=-1).pem, 200),
        (Amazon(ec.generate_private_key(ec.SECP256R1())).pem, 200),
    ):
        with pytest.raises(ChannelError):
            ses().certified(request, httpx.Response(status, content=content))


def test_a_subscription_is_confirmed_at_amazon_alone(amazon: Amazon) -> None:
    url = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
    offer = {"Type": "SubscriptionConfirmation", "Token": "t"}
    callback = amazon.callback("You have chosen to subscribe", SubscribeURL=url, **offer)
    made = trusting(amazon, callback)
    assert made.receipts(callback) == []
    request = made.confirmation(callback)
    assert request is not None
    assert str(request.url) == url
    assert made.confirmation(amazon.callback(event("Delivery"))) is None
    inner = amazon.callback("…", SubscribeURL="http://169.254.169.254/", **offer)
    with pytest.raises(ChannelError):
        made.confirmation(inner)
