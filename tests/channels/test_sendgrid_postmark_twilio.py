from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage.channels.email.postmark import Postmark
from engage.channels.email.sendgrid import SendGrid
from engage.channels.message import Message, Outcome
from engage.channels.provider import HttpProvider
from engage.channels.registry import PROVIDERS, provider
from engage.channels.sms.twilio import Twilio, twilio_signature
from engage.errors import ChannelError, ConfigurationError, ContentError
from engage.vocabulary import OutcomeStatus, PermanentReason

S = OutcomeStatus
R = PermanentReason

# SendGrid's published example of a signed event webhook, from the tests of its Python library (MIT licence).
SENDGRID_KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpV"
    "KS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="
)
SENDGRID_SIGNATURE = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
SENDGRID_EVENTS = [
    {
        "email": "hello@world.com",
        "event": "dropped",
        "reason": "Bounced Address",
        "sg_event_id": "ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",
        "sg_message_id": "LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",
        "smtp-id": "<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>",
        "timestamp": 1600112492,
    }
]
SENDGRID_BODY = (json.dumps(SENDGRID_EVENTS, sort_keys=True, separators=(",", ":")) + "\r\n").encode()
TWILIO = json.loads((Path(__file__).parents[1] / "cases" / "twilio_messages.openapi.json").read_text())


def build(channel: str, name: str, secrets: dict[str, str], **options: Any) -> HttpProvider:
    """A provider as configuration builds it."""

    def secret(variable: str, *, needed_for: str) -> str:
        if variable not in secrets:
            raise ConfigurationError(f"{variable} is not set", where=needed_for)
        return secrets[variable]

    made = provider(channel, {"provider": name, **options}, outbox=Path("/nowhere"), secret=secret)
    assert isinstance(made, HttpProvider)
    return made


def sendgrid(**secrets: str) -> SendGrid:
    made = build("email", "sendgrid", {"SENDGRID_API_KEY": "SG.k", **secrets}, **{"from": "Ada <ada@example.com>"})
    assert isinstance(made, SendGrid)
    made._now = lambda: datetime.fromtimestamp(1600112600, UTC)
    return made


def postmark() -> Postmark:
    secrets = {"POSTMARK_SERVER_TOKEN": "t", "POSTMARK_CALLBACK_LOGIN": "u:p"}
    made = build("email", "postmark", secrets, **{"from": "ada@example.com"})
    assert isinstance(made, Postmark)
    return made


def twilio(token: str = "12345", **options: Any) -> Twilio:
    made = build("sms", "twilio", {"TWILIO_AUTH_TOKEN": token}, account="AC1", **{"from": "+15005550006", **options})
    assert isinstance(made, Twilio)
    return made


def mail(number: int = 1, **content: Any) -> Message:
    given = {"subject": "Hej Åsa", "html": "<p>Hello</p>", "unsubscribe_url": "https://x.example/u", **content}
    return Message(f"m{number}", "u1", "email", f"grace{number}@example.com", given, campaign_id="c")


def sms(body: str = "Hello", address: str = "+4915112345678") -> Message:
    return Message("m1", "u1", "sms", address, {"body": body}, campaign_id="c")


def told(outcomes: list[Outcome]) -> list[tuple[Any, ...]]:
    return [(outcome.status, outcome.reason, outcome.suppress) for outcome in outcomes]


def test_sendgrid_request() -> None:
    request = sendgrid().request([mail(reply_to="help@example.com", attachments=[{"name": "a.txt", "content": b"x"}])])
    assert (request.method, str(request.url)) == ("POST", "https://api.sendgrid.com/v3/mail/send")
    assert request.headers["authorization"] == "Bearer SG.k"
    assert json.loads(request.read()) == {
        "personalizations": [
            {
                "to": [{"email": "grace1@example.com"}],
                "custom_args": {"message_id": "m1", "campaign_id": "c"},
                "headers": {
                    "List-Unsubscribe": "<https://x.example/u>",
                    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
                },
            }
        ],
        "from": {"email": "ada@example.com", "name": "Ada"},
        "subject": "Hej Åsa",
        "content": [{"type": "text/plain", "value": "Hello\n"}, {"type": "text/html", "value": "<p>Hello</p>"}],
        "reply_to": {"email": "help@example.com"},
        "attachments": [{"content": "eA==", "type": "text/plain", "filename": "a.txt"}],
        "tracking_settings": {
            "click_tracking": {"enable": False, "enable_text": False},
            "open_tracking": {"enable": False},
            "subscription_tracking": {"enable": False},
        },
    }
    with pytest.raises(ContentError):
        sendgrid().request([Message("m", "u", "email", "no address", {"subject": "s", "text": "t"})])


@pytest.mark.parametrize(
    ("status", "field", "expected"),
    [
        (202, None, (S.SENT, None, False)),
        (200, None, (S.UNKNOWN, None, False)),
        (400, "personalizations.0.to.0.email", (S.PERMANENT, R.INVALID_ADDRESS, True)),
        (400, "content.0.value", (S.PERMANENT, R.CONTENT_REJECTED, False)),
        (400, "from.email", (S.CONFIG_ERROR, None, False)),
        (401, None, (S.CONFIG_ERROR, None, False)),
        (403, "from", (S.CONFIG_ERROR, None, False)),
        (413, None, (S.PERMANENT, R.PAYLOAD_TOO_LARGE, False)),
        (429, None, (S.RATE_LIMITED, None, False)),
        (500, None, (S.TEMPORARY, None, False)),
        (503, None, (S.TEMPORARY, None, False)),
    ],
)
def test_sendgrid_answers(status: int, field: str | None, expected: tuple[Any, ...]) -> None:
    body = {"errors": [{"message": "…", "field": field, "help": None}]} if field else {}
    headers = {"x-message-id": "sg-1", "x-ratelimit-reset": "1600112630"}
    [outcome] = sendgrid().outcomes([mail()], httpx.Response(status, json=body, headers=headers))
    assert told([outcome]) == [expected]
    assert outcome.provider_id == ("sg-1" if status == 202 else None)
    assert outcome.retry_after == (30.0 if status == 429 else None)


def callback(url: str, body: bytes, **headers: str) -> httpx.Request:
    return httpx.Request("POST", url, content=body, headers={name.replace("_", "-"): v for name, v in headers.items()})


def signed(
    body: bytes = SENDGRID_BODY, stamp: str = "1600112502", signature: str = SENDGRID_SIGNATURE
) -> httpx.Request:
    return callback(
        "https://x.example/callbacks/sendgrid",
        body,
        x_twilio_email_event_webhook_signature=signature,
        x_twilio_email_event_webhook_timestamp=stamp,
    )


def test_sendgrid_reads_its_published_callback() -> None:
    [receipt] = sendgrid(SENDGRID_WEBHOOK_KEY=SENDGRID_KEY).receipts(signed())
    assert (receipt.event_name, receipt.reason, receipt.suppress) == ("Notification Failed", "suppressed", False)
    assert receipt.event_id == SENDGRID_EVENTS[0]["sg_event_id"]
    assert receipt.provider_id == "LRzXl_NHStOGhQ4kofSm_A"
    assert receipt.event_time == datetime.fromtimestamp(1600112492, UTC)


def test_sendgrid_refuses_forged_and_old_callbacks() -> None:
    made = sendgrid(SENDGRID_WEBHOOK_KEY=SENDGRID_KEY)
    for request in (
        signed(SENDGRID_BODY[:-2]),
        signed(stamp="1600112503"),
        signed(signature=""),
        signed(signature=base64.b64encode(b"0" * 70).decode()),
    ):
        with pytest.raises(ChannelError, match="signature"):
            made.receipts(request)
    made._now = lambda: datetime.fromtimestamp(1600112502 + 90_000, UTC)
    with pytest.raises(ChannelError, match="too old"):
        made.receipts(signed())
    with pytest.raises(ConfigurationError, match="not set"):
        sendgrid().receipts(signed())


def test_postmark_batches_and_reads_an_answer_for_each() -> None:
    made = postmark()
    batch = [mail(number) for number in range(1, 8)]
    request = made.request(batch)
    assert str(request.url) == "https://api.postmarkapp.com/email/batch"
    assert request.headers["x-postmark-server-token"] == "t"
    mails = json.loads(request.read())
    assert [item["To"] for item in mails] == [f"grace{number}@example.com" for number in range(1, 8)]
    assert mails[0]["Metadata"] == {"message_id": "m1", "campaign_id": "c"}
    assert mails[0]["MessageStream"] == "broadcast"
    assert mails[0]["Headers"][0] == {"Name": "List-Unsubscribe", "Value": "<https://x.example/u>"}
    answers = [
        {"ErrorCode": 0, "Message": "OK", "MessageID": "pm-1"},
        {"ErrorCode": 406, "Message": "You tried to send to a recipient that has been marked as inactive."},
        {"ErrorCode": 300, "Message": "Invalid 'To' address: 'x'."},
        {"ErrorCode": 300, "Message": "Zero recipients specified"},
        {"ErrorCode": 405, "Message": "Not allowed to send"},
        {"ErrorCode": 100, "Message": "Maintenance"},
        {"Message": "strange"},
    ]
    outcomes = made.outcomes(batch, httpx.Response(200, json=answers))
    assert outcomes[0].provider_id == "pm-1"
    assert told(outcomes) == [
        (S.SENT, None, False),
        (S.PERMANENT, R.SUPPRESSED, True),
        (S.PERMANENT, R.INVALID_ADDRESS, True),
        (S.PERMANENT, R.CONTENT_REJECTED, False),
        (S.CONFIG_ERROR, None, False),
        (S.TEMPORARY, None, False),
        (S.UNKNOWN, None, False),
    ]
    assert {one.status for one in made.outcomes(batch, httpx.Response(200, json=answers[:3]))} == {S.UNKNOWN}
    for status, meaning in ((401, S.CONFIG_ERROR), (429, S.RATE_LIMITED), (500, S.TEMPORARY), (302, S.UNKNOWN)):
        assert {one.status for one in made.outcomes(batch, httpx.Response(status))} == {meaning}


@pytest.mark.parametrize(
    ("event", "name", "reason", "suppress"),
    [
        ({"RecordType": "Delivery", "DeliveredAt": "2026-03-01T12:00:00.1234567Z"},
         "Notification Delivered", None, False),
        ({"RecordType": "Open", "ReceivedAt": "2026-03-01T12:00:00Z"}, "Notification Viewed", None, False),
        ({"RecordType": "Click", "ReceivedAt": "2026-03-01T12:00:00Z", "OriginalLink": "https://x.example"},
         "Notification Clicked", None, False),
        ({"RecordType": "Bounce", "Type": "HardBounce", "BouncedAt": "2026-03-01T12:00:00Z", "ID": 4323372036854775807},
         "Notification Failed", "hard_bounce", True),
        ({"RecordType": "Bounce", "Type": "Blocked", "BouncedAt": "2026-03-01T12:00:00Z"},
         "Notification Failed", "blocked", False),
        ({"RecordType": "SpamComplaint", "Type": "SpamComplaint", "BouncedAt": "2026-03-01T12:00:00Z"},
         "Channel Unsubscribed", "complaint", True),
        ({"RecordType": "SubscriptionChange", "ChangedAt": "2026-03-01T12:00:00Z", "SuppressSending": True,
          "SuppressionReason": "ManualSuppression"}, "Channel Unsubscribed", "unsubscribed", True),
        ({"RecordType": "SubscriptionChange", "ChangedAt": "2026-03-01T12:00:00Z", "SuppressSending": False},
         "Channel Subscribed", None, False),
        ({"RecordType": "Bounce", "Type": "Transient", "BouncedAt": "2026-03-01T12:00:00Z"}, None, None, False),
    ],
)  # fmt: skip
def test_postmark_callbacks(event: dict[str, Any], name: str | None, reason: str | None, suppress: bool) -> None:
    whole = {"MessageID": "pm-1", "Recipient": "g@example.com", "Metadata": {"message_id": "m1"}, **event}
    login = "Basic " + base64.b64encode(b"u:p").decode()
    found = postmark().receipts(callback("https://x.example/", json.dumps(whole).encode(), authorization=login))
    assert [(one.event_name, one.reason, one.suppress, one.message_id) for one in found] == (
        [(name, reason, suppress, "m1")] if name else []
    )
    with pytest.raises(ChannelError, match="login"):
        postmark().receipts(callback("https://x.example/", json.dumps(whole).encode(), authorization="Basic x"))


def test_twilio_request_is_one_its_openapi_document_takes() -> None:
    made = twilio(callback_url="https://x.example/callbacks/twilio")
    request = made.request([sms("Hej Åsa & Co")])
    path = "/2010-04-01/Accounts/{AccountSid}/Messages.json"
    assert request.url.path == path.replace("{AccountSid}", "AC1")
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"AC1:12345").decode()
    post = TWILIO["paths"][path]["post"]
    [schema] = [kind["schema"] for kind in post["requestBody"]["content"].values()]
    form = {name: values[0] for name, values in parse_qs(request.read().decode(), strict_parsing=True).items()}
    assert set(form) <= set(schema["properties"])
    assert set(schema.get("required", [])) <= set(form)
    assert form == {
        "To": "+4915112345678",
        "Body": "Hej Åsa & Co",
        "From": "+15005550006",
        "ValidityPeriod": "14400",
        "StatusCallback": "https://x.example/callbacks/twilio?message_id=m1",
    }
    service = parse_qs(twilio(**{"from": "MG1"}).request([sms()]).read().decode())
    assert service["MessagingServiceSid"] == ["MG1"]
    assert "From" not in service
    for wrong in (sms(address="0151"), sms(""), sms("x" * 1601)):
        with pytest.raises(ContentError):
            made.request([wrong])


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, 21211, (S.PERMANENT, R.INVALID_ADDRESS, True)),
        (400, 21614, (S.PERMANENT, R.INVALID_ADDRESS, True)),
        (400, 21610, (S.PERMANENT, R.UNSUBSCRIBED, True)),
        (400, 21617, (S.PERMANENT, R.CONTENT_REJECTED, False)),
        (400, 21606, (S.CONFIG_ERROR, None, False)),
        (401, 20003, (S.CONFIG_ERROR, None, False)),
        (429, 20429, (S.RATE_LIMITED, None, False)),
        (400, 30001, (S.TEMPORARY, None, False)),
        (500, 20500, (S.UNKNOWN, None, False)),
        (503, None, (S.UNKNOWN, None, False)),
        (200, None, (S.UNKNOWN, None, False)),
    ],
)
def test_twilio_answers(status: int, code: int | None, expected: tuple[Any, ...]) -> None:
    body = {"code": code, "message": "…", "status": status} if code else {}
    assert told(twilio().outcomes([sms()], httpx.Response(status, json=body))) == [expected]
    [sent] = twilio().outcomes([sms()], httpx.Response(201, json={"sid": "SM1", "status": "queued"}))
    assert (sent.status, sent.provider_id) == (S.SENT, "SM1")


URL = "https://mycompany.com/myapp.php?foo=1&bar=2"


def test_twilio_signature_vectors() -> None:
    """Twilio's documented examples."""
    form = {"CallSid": "CA1234567890ABCDE", "Caller": "+14158675309", "Digits": "1234", "To": "+18005551212"}
    listed = {name: [value] for name, value in (form | {"From": "+14158675309"}).items()}
    assert twilio_signature("12345", URL, listed) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="
    assert twilio_signature("12345", URL, listed, sha256=True) == "033hgUJA9M/hXIZsYjwkerEP/DBm35nEri5FhCYjA5s="
    repeated = {"Sid": ["CA123"], "SidAccount": ["AC123"], "Digits": ["5678", "1234", "1234"]}
    assert twilio_signature("12345", URL, repeated) == "IK+Dwps556ElfBT0I3Rgjkr1wJU="
    digest = hashlib.sha256(b'{"property": "value", "boolean": true}').hexdigest()
    assert digest == "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
    assert twilio_signature("12345", f"{URL}&bodySHA256={digest}", {}) == "a9nBmqA0ju/hNViExpshrM61xv4="


@pytest.mark.parametrize("state", TWILIO["components"]["schemas"]["message_enum_status"]["enum"])
def test_twilio_callbacks_of_every_status(state: str) -> None:
    url = "https://x.example/callbacks/twilio?message_id=m1"
    form = {"MessageSid": "SM1", "MessageStatus": state, "To": "+4915112345678"}
    form |= {"ErrorCode": "30005"} if state in ("undelivered", "failed") else {}
    body = httpx.QueryParams(form)
    signature = twilio_signature("12345", url, {name: [value] for name, value in form.items()})
    found = twilio().receipts(callback(url, str(body).encode(), x_twilio_signature=signature))
    expected: dict[str, tuple[str, str | None, bool]] = {
        "delivered": ("Notification Delivered", None, False),
        "partially_delivered": ("Notification Delivered", None, False),
        "read": ("Notification Viewed", None, False),
        "failed": ("Notification Failed", "invalid_address", True),
        "undelivered": ("Notification Failed", "invalid_address", True),
    }
    assert [(one.event_name, one.reason, one.suppress) for one in found] == (
        [expected[state]] if state in expected else []
    )
    assert {(one.message_id, one.provider_id) for one in found} <= {("m1", "SM1")}
    with pytest.raises(ChannelError, match="signature"):
        twilio().receipts(callback(url + "&x=1", str(body).encode(), x_twilio_signature=signature))


def test_twilio_stop_and_start() -> None:
    for opted, name, suppress in (("STOP", "Channel Unsubscribed", True), ("START", "Channel Subscribed", False)):
        form = {"MessageSid": "SM2", "From": "+4915112345678", "Body": opted, "OptOutType": opted}
        signature = twilio_signature("12345", "https://x.example:8443/in", {k: [v] for k, v in form.items()})
        request = callback(
            "https://x.example:8443/in", str(httpx.QueryParams(form)).encode(), x_twilio_signature=signature
        )
        [receipt] = twilio().receipts(request)
        assert (receipt.event_name, receipt.address, receipt.suppress) == (name, "+4915112345678", suppress)


@given(st.binary(max_size=300), st.integers(100, 599))
def test_no_answer_is_read_as_success_by_chance(body: bytes, status: int) -> None:
    for made, message in ((sendgrid(), mail()), (postmark(), mail()), (twilio(), sms())):
        [outcome] = made.outcomes([message], httpx.Response(status, content=body))
        assert outcome.message_id == message.message_id
        assert (outcome.status == S.SENT) == (status == 202 and made.name == "sendgrid")


def test_they_are_chosen_by_configuration() -> None:
    assert {"sendgrid", "postmark", "twilio"} <= {item.name for item in PROVIDERS}
    with pytest.raises(ConfigurationError, match="account"):
        build("sms", "twilio", {"TWILIO_AUTH_TOKEN": "x"}, **{"from": "+15005550006"})
    with pytest.raises(ConfigurationError, match="SENDGRID_API_KEY"):
        build("email", "sendgrid", {})
