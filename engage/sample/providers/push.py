"""Push: Firebase Cloud Messaging and Apple's service, each at its own path.

Apple's own speaks HTTP/2 over TLS alone; this one takes the same requests over HTTP/1.1, so it shows messages and
answers, not the transport.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engage.sample.providers.received import Received, Row, answered
from engage.vocabulary import OutcomeStatus, PermanentReason

__all__ = ["ROWS", "push_routes"]

_P, _CONFIG = OutcomeStatus.PERMANENT, OutcomeStatus.CONFIG_ERROR
_LIMITED, _TEMPORARY = OutcomeStatus.RATE_LIMITED, OutcomeStatus.TEMPORARY
_FCM = "type.googleapis.com/google.firebase.fcm.v1.FcmError"


def _fcm(status: int, word: str, code: str = "", field: str = "") -> dict[str, Any]:
    details: list[dict[str, Any]] = [{"@type": _FCM, "errorCode": code}] if code else []
    if field:
        violation = {"field": field, "description": "not taken"}
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]})
    return {"error": {"code": status, "message": "not taken", "status": word, "details": details}}


def _device(status: int) -> str:
    return f"{status:064d}"


_INVALID, _REFUSED = PermanentReason.INVALID_ADDRESS, PermanentReason.REFUSED
ROWS: Mapping[str, tuple[Row, ...]] = {
    "fcm": (
        Row("UNREGISTERED", 404, _fcm(404, "NOT_FOUND", "UNREGISTERED"), _P, PermanentReason.UNREGISTERED),
        Row("INVALID_TOKEN", 400, _fcm(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "message.token"), _P, _INVALID),
        Row(
            "INVALID_ARGUMENT", 400, _fcm(400, "INVALID_ARGUMENT", field="message.data"), _P,
            PermanentReason.CONTENT_REJECTED,
        ),
        Row("SENDER_ID_MISMATCH", 403, _fcm(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"), _P, _REFUSED),
        Row("THIRD_PARTY_AUTH_ERROR", 401, _fcm(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"), _CONFIG),
        Row(
            "QUOTA_EXCEEDED", 429, _fcm(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), _LIMITED,
            headers={"retry-after": "1"}, once=True,
        ),
        Row("UNAVAILABLE", 503, _fcm(503, "UNAVAILABLE", "UNAVAILABLE"), _TEMPORARY, headers={"retry-after": "date"}),
        Row("INTERNAL", 500, _fcm(500, "INTERNAL", "INTERNAL"), _TEMPORARY),
    ),
    "apns": (
        Row(_device(410), 410, {"reason": "Unregistered", "timestamp": 0}, _P, PermanentReason.UNREGISTERED),
        Row(_device(400), 400, {"reason": "BadDeviceToken"}, _P, _INVALID),
        Row(_device(401), 400, {"reason": "DeviceTokenNotForTopic"}, _P, PermanentReason.REFUSED),
        Row(_device(413), 413, {"reason": "PayloadTooLarge"}, _P, PermanentReason.PAYLOAD_TOO_LARGE),
        Row(_device(403), 403, {"reason": "InvalidProviderToken"}, _CONFIG),
        Row(_device(429), 429, {"reason": "TooManyRequests"}, _TEMPORARY, once=True),
        Row(_device(500), 500, {"reason": "InternalServerError"}, _TEMPORARY),
        Row(_device(503), 503, {"reason": "ServiceUnavailable"}, _TEMPORARY),
    ),
}  # fmt: skip
"""Each provider's errors, by the device token that gets them."""


def push_routes(received: Received) -> list[Route]:
    """The doors of the providers: ``/fcm`` and ``/apns`` are their base URLs, ``/fcm/token`` hands out tokens."""

    async def token(request: Request) -> Response:
        return answered(200, {"access_token": "a-token-of-the-demo", "expires_in": 3600, "token_type": "Bearer"})

    async def fcm(request: Request) -> Response:
        message = (await request.json())["message"]
        to, shown = str(message["token"]), message.get("notification", {})
        name = f"projects/{request.path_params['project']}/messages/{uuid.uuid4().hex}"
        answer = await received.refusal("fcm", to, ROWS["fcm"]) or answered(200, {"name": name})
        received.note("fcm", to, str(shown.get("title", "")), str(shown.get("body", "")), answer.status_code, message)
        return answer

    async def apns(request: Request) -> Response:
        body, to = await request.json(), request.path_params["token"]
        alert = body["aps"].get("alert", {})
        taken = Response(status_code=200, headers={"apns-id": request.headers["apns-id"]})
        answer = await received.refusal("apns", to, ROWS["apns"]) or taken
        received.note("apns", to, str(alert.get("title", "")), str(alert.get("body", "")), answer.status_code, body)
        return answer

    return [
        Route("/fcm/token", token, methods=["POST"]),
        Route("/fcm/v1/projects/{project}/messages:send", fcm, methods=["POST"]),
        Route("/apns/3/device/{token}", apns, methods=["POST"]),
    ]
