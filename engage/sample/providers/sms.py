"""Providers of text messages: Twilio, Vonage and Amazon SNS, each at its own path.

The magic numbers are those of Twilio's own test credentials, and a few more.
Source: https://www.twilio.com/docs/iam/test-credentials
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engage.sample.providers.received import Received, Row, answered
from engage.vocabulary import OutcomeStatus, PermanentReason

__all__ = ["ROWS", "sms_routes"]

_P, _CONFIG = OutcomeStatus.PERMANENT, OutcomeStatus.CONFIG_ERROR
_LIMITED, _TEMPORARY = OutcomeStatus.RATE_LIMITED, OutcomeStatus.TEMPORARY
_INVALID, _STOPPED = PermanentReason.INVALID_ADDRESS, PermanentReason.UNSUBSCRIBED
_TO = "+1500555"


def _twilio(code: int, status: int = 400) -> dict[str, Any]:
    more = f"https://www.twilio.com/docs/errors/{code}"
    return {"code": code, "message": "not taken", "more_info": more, "status": status}


def _vonage(status: str) -> dict[str, Any]:
    return {"message-count": "1", "messages": [{"status": status, "error-text": "not taken"}]}


def _amazon(code: str, text: str = "not taken") -> str:
    return (
        f'<?xml version="1.0"?><ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{text}</Message>'
        "</Error><RequestId>0</RequestId></ErrorResponse>"
    )


ROWS: Mapping[str, tuple[Row, ...]] = {
    "twilio": (
        Row(f"{_TO}0001", 400, _twilio(21211), _P, _INVALID),
        Row(f"{_TO}0009", 400, _twilio(21614), _P, _INVALID),
        Row(f"{_TO}0004", 400, _twilio(21610), _P, _STOPPED),
        Row(f"{_TO}0003", 400, _twilio(21408), _CONFIG),
        Row(f"{_TO}0401", 401, _twilio(20003, 401), _CONFIG),
        Row(f"{_TO}0429", 429, _twilio(20429, 429), _LIMITED, headers={"retry-after": "1"}, once=True),
        Row(f"{_TO}0500", 500, _twilio(20500, 500), OutcomeStatus.UNKNOWN),
    ),
    "vonage": (
        Row(f"{_TO}0001", 200, _vonage("6"), _P, _INVALID),
        Row(f"{_TO}0004", 200, _vonage("7"), _P, PermanentReason.REFUSED),
        Row(f"{_TO}0012", 200, _vonage("12"), _P, PermanentReason.PAYLOAD_TOO_LARGE),
        Row(f"{_TO}0003", 200, _vonage("9"), _CONFIG),
        Row(f"{_TO}0401", 401, "", _CONFIG),
        Row(f"{_TO}0429", 200, _vonage("1"), _LIMITED, once=True),
        Row(f"{_TO}0500", 200, _vonage("5"), _TEMPORARY),
    ),
    "sns": (
        Row(f"{_TO}0001", 400, _amazon("InvalidParameter", "Invalid parameter: PhoneNumber"), _P, _INVALID),
        Row(f"{_TO}0004", 400, _amazon("OptedOut"), _P, _STOPPED),
        Row(f"{_TO}0003", 403, _amazon("AuthorizationError"), _CONFIG),
        Row(f"{_TO}0429", 400, _amazon("Throttled"), _LIMITED, once=True),
        Row(f"{_TO}0500", 500, _amazon("InternalError"), _TEMPORARY),
    ),
}
"""Each provider's errors, by the number that gets them."""


def sms_routes(received: Received) -> list[Route]:
    """The doors of the providers: ``/twilio``, ``/vonage`` and ``/sns`` are their base URLs."""

    async def twilio(request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        sid = f"SM{uuid.uuid4().hex}"
        accepted = {"sid": sid, "status": "queued", "error_code": None, "to": form["To"], "body": form["Body"]}
        answer = await received.refusal("twilio", form["To"], ROWS["twilio"]) or answered(201, accepted)
        received.note("twilio", form["To"], "", form["Body"], answer.status_code, form)
        return answer

    async def vonage(request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        to = f"+{form['to']}"
        taken = {"to": form["to"], "message-id": uuid.uuid4().hex[:16].upper(), "status": "0"}
        answer = await received.refusal("vonage", to, ROWS["vonage"])
        answer = answer or answered(200, {"message-count": "1", "messages": [taken]})
        received.note("vonage", to, "", form["text"], answer.status_code, form)
        return answer

    async def sns(request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        to = form["PhoneNumber"]
        taken = (
            f'<?xml version="1.0"?><PublishResponse><PublishResult><MessageId>{uuid.uuid4()}</MessageId>'
            "</PublishResult></PublishResponse>"
        )
        answer = await received.refusal("sns", to, ROWS["sns"]) or answered(200, taken)
        received.note("sns", to, "", form["Message"], answer.status_code, form)
        return answer

    return [
        Route("/twilio/2010-04-01/Accounts/{account}/Messages.json", twilio, methods=["POST"]),
        Route("/vonage/sms/json", vonage, methods=["POST"]),
        Route("/sns/", sns, methods=["POST"]),
    ]
