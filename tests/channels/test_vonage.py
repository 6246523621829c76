"""Vonage: the form, every status, and receipts only with a good signature."""

from datetime import UTC, datetime
from urllib.parse import parse_qs, urlencode

import httpx
import pytest

from engage.channels.message import Message
from engage.channels.registry import Configured, provider
from engage.channels.sms.vonage import Vonage, vonage_signature
from engage.errors import ChannelError

NOW = datetime.fromtimestamp(1540466000, UTC)
TEXT = Message("m1", "u1", "sms", "+447547232824", {"body": "Hé"})
DLR = {
    "messageId": "0B00000127FDBC63",
    "msisdn": "447547232824",
    "status": "delivered",
    "err-code": "0",
    "text": "a=b&c",
    "timestamp": "1540466000",
}


@pytest.fixture
def vonage(tmp_path):
    options = {"from": "Shop", "base_url": "https://rest.nexmo.com", "callback_url": ""}
    secrets = {"api_key": "k", "api_secret": "s", "signature_secret": "SIGSECRET"}
    return Vonage(Configured("sms", options, secrets, tmp_path), lambda: NOW)


def called(fields):
    return httpx.Request("GET", "https://e.test/callbacks/vonage?" + urlencode(fields))


def test_it_is_chosen_by_configuration(tmp_path):
    options = {"provider": "vonage", "from": "Shop"}
    built = provider("sms", options, outbox=tmp_path, secret=lambda name, needed_for: name)
    assert isinstance(built, Vonage)


def test_request(vonage):
    request = vonage.request([TEXT])
    assert str(request.url) == "https://rest.nexmo.com/sms/json"
    form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
    assert form == {
        "api_key": "k",
        "api_secret": "s",
        "from": "Shop",
        "to": "447547232824",
        "text": "Hé",
        "type": "unicode",
        "client-ref": "m1",
    }


@pytest.mark.parametrize(
    ("code", "states", "status"),
    [
        (200, ["0"], "sent"),
        (200, ["0", "0"], "sent"),
        (200, ["0", "1"], "unknown"),
        (200, [], "unknown"),
        (200, ["99"], "unknown"),
        (200, ["1"], "rate_limited"),
        (200, ["5"], "temporary"),
        (200, ["3"], "permanent"),
        (200, ["7"], "permanent"),
        (200, ["9"], "config_error"),
        (401, [], "config_error"),
        (429, [], "rate_limited"),
        (500, ["0"], "unknown"),
    ],
)
def test_answers(vonage, code, states, status):
    answer = {"messages": [{"status": state, "message-id": "x"} for state in states]}
    (outcome,) = vonage.outcomes([TEXT], httpx.Response(code, json=answer))
    assert outcome.status == status
    assert not outcome.suppress


def test_signature_is_what_the_providers_library_makes():
    known = "87230d22a0e57cecd038c7faec6dbd7e3dcfdab6317ddd852808cc9fd8e2d8ab"
    assert vonage_signature("SIGSECRET", DLR) == known


def test_receipts_need_a_good_and_recent_signature(vonage):
    good = {**DLR, "sig": vonage_signature("SIGSECRET", DLR)}
    (receipt,) = vonage.receipts(called(good))
    assert (receipt.event_name, receipt.address) == ("Notification Delivered", "+447547232824")
    old = {**DLR, "timestamp": "1540000000"}
    old["sig"] = vonage_signature("SIGSECRET", old)
    for bad in (DLR, {**good, "status": "failed"}, old):
        with pytest.raises(ChannelError):
            vonage.receipts(called(bad))
