from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier

from engage.channels.message import Message
from engage.channels.registry import Configured
from engage.channels.webhook import Webhook, sign
from engage.errors import UnsupportedContentError

SECRET = "whsec_plJ3nmyCDGBKInavdOK15jsl"


def webhook(**options: Any) -> Webhook:
    complete = {
        "url": "https://example.com/hook",
        "method": "POST",
        "headers": {"X-Source": "engage"},
        "batch_size": 1,
        "allow_private": False,
        **options,
    }
    return Webhook(Configured("webhook", complete, {"secret": SECRET}, Path()), lambda: datetime.now(UTC))


def message(message_id: str = "m1", **content: Any) -> Message:
    return Message(message_id, "ada", "webhook", "", content, campaign_id="c1", profile={"city": "Köln"})


def test_the_second_published_vector() -> None:
    body = b'{"event_type":"ping","data":{"success":true}}'
    signature = sign(SECRET, "msg_loFOjxBNrRLzqYUf", 1731705121, body)
    assert signature == "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="


@pytest.mark.parametrize("batch_size", [1, 2])
def test_method_and_headers_are_the_campaigns_and_another_library_verifies_it(batch_size: int) -> None:
    batch = [message(f"m{n}", method="put", headers={"x-campaign": "spring"}) for n in range(batch_size)]
    request = webhook(batch_size=batch_size).request(batch)
    assert request.method == "PUT"
    assert (request.headers["x-source"], request.headers["x-campaign"]) == ("engage", "spring")
    payload: Any = Verifier(SECRET).verify(request.content, dict(request.headers))
    users = [payload["data"]] if batch_size == 1 else payload["data"]
    assert [user["message_id"] for user in users] == [one.message_id for one in batch]
    assert users[0]["profile"] == {"city": "Köln"}


@pytest.mark.parametrize(
    "content",
    [
        {"method": "GET"},
        {"method": "POST\r\nX: y"},
        {"headers": {"x": "a\r\nevil: 1"}},
        {"headers": {"x y": "a"}},
        {"headers": {"x": "ü"}},
        {"headers": {"Host": "inner.example"}},
        {"headers": {"Webhook-Signature": "v1,x"}},
        {"headers": {"Transfer-Encoding": "chunked"}},
        {"headers": ["x"]},
    ],
)
def test_what_would_change_the_request_itself_is_refused(content: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedContentError):
        webhook().request([message(**content)])
