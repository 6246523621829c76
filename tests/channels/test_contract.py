"""What every provider that speaks HTTP holds to, whichever it is: requests, each kind of answer, waiting, callbacks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest, MockResponse

from engage.channels.message import Message, Outcome
from engage.channels.provider import HttpProvider
from engage.channels.registry import PROVIDERS
from engage.channels.sms.twilio import twilio_signature
from engage.channels.sms.vonage import vonage_signature
from engage.delivery.answers import with_answers
from engage.errors import ChannelError, ConfigurationError
from engage.vocabulary import OutcomeStatus as S
from engage.vocabulary import PermanentReason as R
from tests.channels.contract import ADDRESSES, NOW, SECRETS, SENDGRID_KEY, build, message, names

ALL = pytest.mark.parametrize("name", names())
TWILIO = json.loads((Path(__file__).parents[1] / "cases" / "twilio_messages.openapi.json").read_text())


def fcm(code: str) -> dict[str, Any]:
    kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
    return {"error": {"code": 1, "status": "X", "details": [{"@type": kind, "errorCode": code}]}}


def bad_request(field: str, told: str = "bad") -> dict[str, Any]:
    details = [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"field": field}]}]
    return {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": told, "details": details}}


def vonage(status: str) -> dict[str, Any]:
    return {"message-count": "1", "messages": [{"status": status, "message-id": "x"}]}


def meta(code: int, subcode: int = 0) -> dict[str, Any]:
    return {"error": {"message": "not taken", "code": code, "error_subcode": subcode}}


def sns(code: str, told: str = "…") -> str:
    return f"<ErrorResponse><Error><Code>{code}</Code><Message>{told}</Message></Error></ErrorResponse>"


_SENT_SNS = "<PublishResponse><PublishResult><MessageId>x</MessageId></PublishResult></PublishResponse>"
# Each row of the providers' error tables: status, body, what it means, why, and whether the address is given up.
ROWS: dict[str, list[tuple[int, Any, S, R | None, bool]]] = {
    "fcm": [
        (200, {"name": "projects/p/messages/1"}, S.SENT, None, False),
        (404, fcm("UNREGISTERED"), S.PERMANENT, R.UNREGISTERED, True),
        (400, bad_request("message.token"), S.PERMANENT, R.INVALID_ADDRESS, True),
        (400, bad_request("message.data"), S.PERMANENT, R.CONTENT_REJECTED, False),
        (400, bad_request("x", "Message is too big"), S.PERMANENT, R.PAYLOAD_TOO_LARGE, False),
        (403, fcm("SENDER_ID_MISMATCH"), S.PERMANENT, R.REFUSED, False),
        (401, fcm("THIRD_PARTY_AUTH_ERROR"), S.CONFIG_ERROR, None, False),
        (429, fcm("QUOTA_EXCEEDED"), S.RATE_LIMITED, None, False),
        (503, fcm("UNAVAILABLE"), S.TEMPORARY, None, False),
        (500, fcm("INTERNAL"), S.TEMPORARY, None, False),
        (502, "<html>", S.TEMPORARY, None, False),
    ],
    "apns": [
        (200, "", S.SENT, None, False),
        (410, {"reason": "Unregistered", "timestamp": 1_767_225_600_000}, S.PERMANENT, R.UNREGISTERED, True),
        (410, {"reason": "ExpiredToken"}, S.PERMANENT, R.UNREGISTERED, True),
        (400, {"reason": "BadDeviceToken"}, S.PERMANENT, R.INVALID_ADDRESS, False),
        (400, {"reason": "DeviceTokenNotForTopic"}, S.PERMANENT, R.REFUSED, False),
        (413, {"reason": "PayloadTooLarge"}, S.PERMANENT, R.PAYLOAD_TOO_LARGE, False),
        (400, {"reason": "BadCollapseId"}, S.PERMANENT, R.CONTENT_REJECTED, False),
        (400, {"reason": "BadTopic"}, S.CONFIG_ERROR, None, False),
        (403, {"reason": "InvalidProviderToken"}, S.CONFIG_ERROR, None, False),
        (403, {"reason": "BadEnvironmentKeyInToken"}, S.CONFIG_ERROR, None, False),
        (403, {"reason": "BadEnvironmentKeyIdInToken"}, S.CONFIG_ERROR, None, False),
        (429, {"reason": "TooManyProviderTokenUpdates"}, S.RATE_LIMITED, None, False),
        (429, {"reason": "TooManyRequests"}, S.TEMPORARY, None, False),
        (503, {"reason": "Shutdown"}, S.TEMPORARY, None, False),
        (400, {"reason": "IdleTimeout"}, S.TEMPORARY, None, False),
    ],
    "twilio": [
        (201, {"sid": "SM1", "status": "queued"}, S.SENT, None, False),
        (429, {"code": 20429}, S.RATE_LIMITED, None, False),
        (500, {"code": 20500}, S.UNKNOWN, None, False),
        *((400, {"code": code}, S.PERMANENT, R.INVALID_ADDRESS, True) for code in (21211, 21614, 30005, 30006)),
        (400, {"code": 21610}, S.PERMANENT, R.UNSUBSCRIBED, True),
        *((400, {"code": code}, S.TEMPORARY, None, False) for code in (30001, 30003, 30008, 30999)),
        *((400, {"code": code}, S.CONFIG_ERROR, None, False) for code in (20003, 21606, 21608, 21408, 30034)),
        (400, {"code": 21999}, S.PERMANENT, R.CONTENT_REJECTED, False),
        (200, {"sid": "SM1"}, S.UNKNOWN, None, False),
    ],
    "vonage": [
        (200, vonage("0"), S.SENT, None, False),
        *((200, vonage(code), S.RATE_LIMITED, None, False) for code in ("1", "10")),
        (200, vonage("5"), S.TEMPORARY, None, False),
        *((200, vonage(code), S.PERMANENT, R.INVALID_ADDRESS, False) for code in ("3", "6", "22")),
        (200, vonage("7"), S.PERMANENT, R.REFUSED, False),
        (200, vonage("12"), S.PERMANENT, R.PAYLOAD_TOO_LARGE, False),
        *((200, vonage(code), S.CONFIG_ERROR, None, False) for code in ("2", "4", "8", "9", "11", "14", "15", "29")),
        (200, vonage("99"), S.UNKNOWN, None, False),
        (200, {"messages": []}, S.UNKNOWN, None, False),
    ],
    "sns": [
        (200, _SENT_SNS, S.SENT, None, False),
        (400, sns("InvalidParameter", "Invalid parameter: PhoneNumber"), S.PERMANENT, R.INVALID_ADDRESS, True),
        (403, sns("AuthorizationError"), S.CONFIG_ERROR, None, False),
        (500, sns("InternalError"), S.TEMPORARY, None, False),
        (400, sns("Throttling"), S.RATE_LIMITED, None, False),
        (200, "<html>", S.UNKNOWN, None, False),
    ],
    "sendgrid": [
        (202, "", S.SENT, None, False),
        (400, {"errors": [{"field": "subject"}]}, S.PERMANENT, R.CONTENT_REJECTED, False),
        (401, {}, S.CONFIG_ERROR, None, False),
        (403, {}, S.CONFIG_ERROR, None, False),
        (413, {}, S.PERMANENT, R.PAYLOAD_TOO_LARGE, False),
        (429, {}, S.RATE_LIMITED, None, False),
    ],
    "ses": [
        (200, {"MessageId": "x"}, S.SENT, None, False),
        (429, {"__type": "TooManyRequestsException"}, S.RATE_LIMITED, None, False),
        (400, {"__type": "ThrottlingException"}, S.RATE_LIMITED, None, False),
        *(
            (400, {"__type": name}, S.CONFIG_ERROR, None, False)
            for name in ("AccountSuspendedException", "SendingPausedException", "MailFromDomainNotVerifiedException")
        ),
        (404, {"__type": "NotFoundException"}, S.CONFIG_ERROR, None, False),
        (400, {"__type": "MessageRejected", "message": "bad"}, S.PERMANENT, R.CONTENT_REJECTED, False),
        (400, {"__type": "MessageRejected", "message": "Email address is not verified"}, S.CONFIG_ERROR, None, False),
        (200, {}, S.UNKNOWN, None, False),
    ],
    "mailgun": [
        (200, {"id": "<a@b>", "message": "Queued. Thank you."}, S.SENT, None, False),
        (200, "Mailgun Magnificent API", S.CONFIG_ERROR, None, False),
        (400, {"message": "'to' parameter is not a valid address. x"}, S.PERMANENT, R.INVALID_ADDRESS, True),
        (400, {"message": "other"}, S.PERMANENT, R.CONTENT_REJECTED, False),
        *((status, {}, S.CONFIG_ERROR, None, False) for status in (401, 403, 404)),
        (429, {}, S.RATE_LIMITED, None, False),
        (500, {}, S.TEMPORARY, None, False),
    ],
    "postmark": [
        (200, [{"ErrorCode": 0, "MessageID": "x", "Message": "OK"}], S.SENT, None, False),
        (200, [{"ErrorCode": 300, "Message": "Invalid 'To' address"}], S.PERMANENT, R.INVALID_ADDRESS, True),
        (200, [{"ErrorCode": 300, "Message": "Zero"}], S.PERMANENT, R.CONTENT_REJECTED, False),
        (200, [{"ErrorCode": 406}], S.PERMANENT, R.SUPPRESSED, True),
        *((200, [{"ErrorCode": code}], S.CONFIG_ERROR, None, False) for code in (10, 400, 401, 405, 412)),
        (200, [{"ErrorCode": 100}], S.TEMPORARY, None, False),
        (429, {}, S.RATE_LIMITED, None, False),
        (200, [], S.UNKNOWN, None, False),
    ],
    "web_push": [
        (201, "", S.SENT, None, False),
        (404, "", S.PERMANENT, R.UNREGISTERED, True),
        (410, "", S.PERMANENT, R.UNREGISTERED, True),
        (400, "", S.PERMANENT, R.CONTENT_REJECTED, False),
        (401, "", S.CONFIG_ERROR, None, False),
        (403, "", S.CONFIG_ERROR, None, False),
        (413, "", S.PERMANENT, R.PAYLOAD_TOO_LARGE, False),
        (429, "", S.RATE_LIMITED, None, False),
        (500, "", S.TEMPORARY, None, False),
        *((status, "", S.TEMPORARY, None, False) for status in (301, 307)),
    ],
    "webhook": [
        (204, "", S.SENT, None, False),
        (302, "", S.CONFIG_ERROR, None, False),
        (410, "", S.CONFIG_ERROR, None, False),
        *((status, "", S.TEMPORARY, None, False) for status in (502, 504)),
        (429, "", S.RATE_LIMITED, None, False),
        (422, "", S.PERMANENT, R.CONTENT_REJECTED, False),
    ],
    "facebook": [
        (200, {"audience_id": "77", "session_id": "1", "num_received": 1}, S.SENT, None, False),
        (200, {}, S.UNKNOWN, None, False),
        *((400, meta(code), S.RATE_LIMITED, None, False) for code in (4, 17, 32, 613, 80003)),
        *((400, meta(code), S.TEMPORARY, None, False) for code in (1, 2)),
        (400, meta(2650, 1870145), S.TEMPORARY, None, False),
        *((400, meta(code), S.CONFIG_ERROR, None, False) for code in (10, 190, 200, 294, 368, 2635)),
        (400, meta(100, 1713230), S.PERMANENT, R.REFUSED, False),
        (500, "", S.TEMPORARY, None, False),
    ],
}
# A 429 that waits for its one message, not for all, is no rate limit.
LIMITED = {"apns": (429, {"reason": "TooManyProviderTokenUpdates"}), "vonage": (429, {})}


def answer(status: int, body: Any, headers: dict[str, str] | None = None) -> httpx.Response:
    content = body if isinstance(body, str) else json.dumps(body)
    return httpx.Response(status, content=content.encode(), headers=headers)


def meaning(name: str, response: httpx.Response) -> Outcome:
    made = build(name)
    [outcome] = made.outcomes([message(made.channel)], response)
    return outcome


def test_every_provider_of_the_registry_is_held_to_it() -> None:
    assert set(ROWS) == set(names())
    assert {one.name for one in PROVIDERS} - set(ROWS) == {"outbox", "smtp", "mailbox"}, "these speak no HTTP"


@ALL
def test_a_request_is_the_same_again_over_tls_and_keeps_its_secrets_out_of_the_address(name: str) -> None:
    made = build(name)
    one, other = made.request([message(made.channel)]), made.request([message(made.channel)])
    assert one.url.scheme == "https"
    assert (one.method, one.url) == (other.method, other.url)
    if name not in ("web_push", "mailgun"):  # encrypted anew; a boundary of its own
        assert one.content == other.content
    text = str(one.url)
    for variable, value in SECRETS.items():
        assert value not in text or variable == "TWILIO_AUTH_TOKEN", variable
    known = ADDRESSES[made.channel] in one.content.decode("latin-1") or ADDRESSES[made.channel] in text
    assert known or name in ("vonage", "sns", "ses", "web_push", "twilio", "facebook"), "whom it is for"


@pytest.mark.parametrize(("name", "row"), [(name, row) for name, rows in ROWS.items() for row in rows])
def test_each_row_of_its_table(name: str, row: tuple[int, Any, S, R | None, bool]) -> None:
    status, body, expected, reason, suppress = row
    found = meaning(name, answer(status, body))
    assert (found.status, found.reason, found.suppress) == (expected, reason, suppress)
    assert found.status is not S.CONFIG_ERROR or not found.suppress, "a wrong key says nothing about a person"


@ALL
def test_retry_after_in_both_forms(name: str) -> None:
    status, body = LIMITED.get(name, (429, {}))
    later = format_datetime(NOW + timedelta(seconds=90), usegmt=True)
    made = build(name)
    waits = []
    for value in ("90", later):
        [found] = made.outcomes([message(made.channel)], answer(status, body, {"retry-after": value}))
        assert found.status is S.RATE_LIMITED
        waits.append(found.retry_after)
    assert waits == [90, 90]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["error", "errors", "code", "messages", "status", "message-id", "sid", "id", "ErrorCode",
                         "Message", "MessageId", "MessageID", "reason", "details", "name", "__type", "timestamp"])
        | st.text(max_size=6),
        inner,
        max_size=4,
    ),
    max_leaves=8,
)  # fmt: skip
_BODIES = st.binary(max_size=60) | _JSON.map(lambda value: json.dumps(value).encode()) | st.just(b"[" * 100_000)
_HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "content-type", "x-amzn-errortype", "apns-id", "location", "x-message-id"]),
    st.text("abc0123456789,:; -#", max_size=20),
    max_size=3,
)
_STATUSES = st.sampled_from([100, 200, 201, 202, 204, 301, 302, 400, 401, 403, 404, 408, 410, 413, 422, 429, 500, 503])


@ALL
@settings(max_examples=40)
@given(status=_STATUSES | st.integers(200, 599), body=_BODIES, headers=_HEADERS)
def test_no_answer_raises_or_passes_for_success(name: str, status: int, body: bytes, headers: dict[str, str]) -> None:
    made, sent = build(name), message(build(name).channel)
    response = httpx.Response(status, content=body, headers=headers)
    [found] = made.outcomes([sent], response)
    assert found.message_id == "m1"
    assert found.status is not S.SENT or 200 <= status < 300
    assert (found.reason is not None) == (found.status is S.PERMANENT)
    assert not found.suppress or found.status is S.PERMANENT
    [kept] = with_answers([found], [sent], response)
    assert len(kept.detail) <= 500
    assert kept.status is found.status


# --- callbacks ---------------------------------------------------------------------------------------------------


def _request(name: str, body: bytes, headers: dict[str, str]) -> httpx.Request:
    return httpx.Request("POST", f"https://engage.example.com/callbacks/{name}", headers=headers, content=body)


def _signed_mailgun(value: Any) -> httpx.Request:
    stamp, token = str(int(NOW.timestamp())), "t" * 50
    signed = hmac.new(SECRETS["MAILGUN_SIGNING_KEY"].encode(), (stamp + token).encode(), hashlib.sha256).hexdigest()
    body = {"signature": {"timestamp": stamp, "token": token, "signature": signed}, "event-data": value}
    return _request("mailgun", json.dumps(body).encode(), {})


def _signed_postmark(value: Any) -> httpx.Request:
    login = "Basic " + base64.b64encode(SECRETS["POSTMARK_CALLBACK_LOGIN"].encode()).decode()
    return _request("postmark", json.dumps(value).encode(), {"authorization": login})


def _signed_sendgrid(value: Any) -> httpx.Request:
    body, stamp = json.dumps(value).encode(), str(int(NOW.timestamp()))
    signature = base64.b64encode(SENDGRID_KEY.sign(stamp.encode() + body, ec.ECDSA(SHA256()))).decode()
    prefix = "x-twilio-email-event-webhook"
    return _request("sendgrid", body, {f"{prefix}-signature": signature, f"{prefix}-timestamp": stamp})


def _form(value: Any) -> dict[str, str]:
    table = value if isinstance(value, dict) else {"Body": value}
    return {str(key) or "x": str(one) for key, one in table.items()}


def _signed_vonage(value: Any) -> httpx.Request:
    fields = {**_form(value), "timestamp": str(int(NOW.timestamp()))}
    body = urlencode({**fields, "sig": vonage_signature(SECRETS["VONAGE_SIGNATURE_SECRET"], fields)}).encode()
    return _request("vonage", body, {"content-type": "application/x-www-form-urlencoded"})


def _signed_twilio(value: Any) -> httpx.Request:
    form = _form(value)
    url = "https://engage.example.com/callbacks/twilio"
    given = twilio_signature(SECRETS["TWILIO_AUTH_TOKEN"], url, {key: [one] for key, one in form.items()})
    return _request("twilio", urlencode(form).encode(), {"x-twilio-signature": given})


SIGNED: dict[str, Callable[[Any], httpx.Request]] = {
    "mailgun": _signed_mailgun,
    "postmark": _signed_postmark,
    "sendgrid": _signed_sendgrid,
    "vonage": _signed_vonage,
    "twilio": _signed_twilio,
}
_WORDS = st.sampled_from(
    ["event", "RecordType", "Type", "severity", "timestamp", "recipient", "email", "message", "headers", "MessageID",
     "message-id", "user-variables", "message_id", "sg_event_id", "sg_message_id", "status", "messageId", "msisdn",
     "err-code", "keyword", "text", "MessageStatus", "MessageSid", "OptOutType", "From", "To", "ErrorCode", "Body",
     "Recipient", "Metadata", "DeliveredAt", "BouncedAt", "OriginalLink", "url", "reason", "type", "ID"]
)  # fmt: skip
_VALUES = (
    st.sampled_from(["delivered", "failed", "bounce", "Bounce", "HardBounce", "Delivery", "Click", "STOP", "stop",
                     "permanent", "opened", "open", "click", "undelivered", "21610", "+4915112345678", "", "1e999"])
    | st.text(max_size=12)
    | st.integers()
    | st.floats()
    | st.none()
    | st.booleans()
)  # fmt: skip
_EVENTS = st.recursive(
    _VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS | st.text(max_size=5), inner, max_size=6),
    max_leaves=12,
)


@ALL
@settings(max_examples=25)
@given(body=st.binary(max_size=80) | _EVENTS.map(lambda value: json.dumps(value).encode()), headers=_HEADERS)
def test_nothing_lands_without_a_signature(name: str, body: bytes, headers: dict[str, str]) -> None:
    made: HttpProvider = build(name)
    with pytest.raises((ChannelError, ConfigurationError)):
        made.receipts(_request(name, body, headers))


@pytest.mark.parametrize("name", SIGNED)
@settings(max_examples=120)
@given(value=_EVENTS | st.lists(_EVENTS, max_size=3))
def test_what_is_signed_may_say_anything(name: str, value: Any) -> None:
    try:
        json.dumps(value, allow_nan=False)
        callback = SIGNED[name](value)
    except (ValueError, UnicodeEncodeError):
        return  # could not have been sent
    try:
        receipts = build(name).receipts(callback)
    except ChannelError:
        return
    for receipt in receipts:
        assert receipt.event_id
        assert receipt.event_time.tzinfo is not None
        assert receipt.event_name.startswith(("Notification ", "Channel "))


def test_a_provider_without_a_secret_for_callbacks_takes_none() -> None:
    for name in ("apns", "facebook", "fcm", "sns", "web_push", "webhook"):
        with pytest.raises(ChannelError, match=r"ha(s|ve) no callbacks"):
            build(name).receipts(_request(name, b"{}", {}))


# --- Twilio's own document ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["queued", "accepted", "sent", "failed"])
def test_the_answer_we_read_is_one_twilios_document_describes(status: str) -> None:
    """An answer of a test that Twilio would never give proves nothing."""
    document = OpenAPI.from_dict(TWILIO)
    body = {"sid": "SM" + "0" * 32, "status": status, "error_code": None, "num_segments": "1", "body": "Hello"}
    asked = build("twilio").request([message("sms")])
    request = MockRequest(
        "https://api.twilio.com",
        "post",
        f"/2010-04-01/Accounts/{'AC' + '0' * 32}/Messages.json",
        content_type="application/x-www-form-urlencoded",
        data=asked.content,
    )
    parsed = document.unmarshal_response(request, MockResponse(json.dumps(body).encode(), status_code=201))
    assert not parsed.errors
    [found] = build("twilio").outcomes([message("sms")], answer(201, body))
    assert (found.status, found.provider_id) == (S.SENT, parsed.data["sid"])
    wrong = document.unmarshal_response(request, MockResponse(b'{"sid": 7}', status_code=201))
    assert wrong.errors, "the document does tell wrong answers"


def test_the_raw_answer_is_kept_without_addresses_and_keys() -> None:
    token = hashlib.sha256(b"token").hexdigest()
    sent = Message("m1", "user-ada", "email", "ada@example.com", {})
    told = f'{{"error": "no such user ada@example.com (user-ada), call +49 151 1234567, key {token}\\n\\u0000"}}'
    raw = httpx.Response(400, content=told.encode())
    [kept] = with_answers([Outcome("m1", S.PERMANENT, R.CONTENT_REJECTED, detail="HTTP 400")], [sent], raw)
    assert kept.detail.startswith('HTTP 400: {"error": "no such user …')
    for hidden in ("ada", "151", token[:24], "\n", "\x00"):
        assert hidden not in kept.detail
    [long] = with_answers([Outcome("m1", S.UNKNOWN)], [sent], httpx.Response(500, content=b"word " * 9000))
    assert len(long.detail) == 500
    assert with_answers([Outcome("m1", S.SENT)], [sent], raw) == [Outcome("m1", S.SENT)]


def test_an_answer_to_many_tells_each_its_own_words() -> None:
    batch = [Message(f"m{n}", f"u{n}", "email", f"u{n}@example.com", {}) for n in range(3)]
    told = [
        {"ErrorCode": 0, "Message": "OK", "MessageID": "x"},
        {"ErrorCode": 300, "Message": "Invalid 'To' address: 'u1@example.com'."},
        {"ErrorCode": 406, "Message": "You tried to send to u2@example.com, inactive."},
    ]
    raw = httpx.Response(200, json=told)
    sent, wrong, inactive = with_answers(build("postmark").outcomes(batch, raw), batch, raw)
    assert (sent.status, sent.detail) == (S.SENT, "")
    assert "Invalid 'To' address" in wrong.detail
    assert "inactive" in inactive.detail
    assert "example.com" not in wrong.detail + inactive.detail
    shared = httpx.Response(500, json={"Message": "u1@example.com is at fault"})
    assert {one.detail for one in with_answers(build("postmark").outcomes(batch, shared), batch, shared)} == {
        "HTTP 500"
    }
