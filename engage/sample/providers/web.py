"""A browser's push service, and the endpoint of somebody's webhook."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engage.sample.providers.received import Received, Row
from engage.vocabulary import OutcomeStatus, PermanentReason

__all__ = ["ROWS", "subscription", "web_routes"]

_P, _CONFIG = OutcomeStatus.PERMANENT, OutcomeStatus.CONFIG_ERROR
_LIMITED, _TEMPORARY = OutcomeStatus.RATE_LIMITED, OutcomeStatus.TEMPORARY

# The browser of RFC 8291, appendix A: its keys are public, so what it is sent can be shown.
_PUBLIC = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
_PRIVATE = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
_AUTH = "BTBZMqHH6r4Tts7J_aSIgg"

ROWS: Mapping[str, tuple[Row, ...]] = {
    "web_push": (
        Row("gone", 410, "", _P, PermanentReason.UNREGISTERED),
        Row("unknown", 404, "", _P, PermanentReason.UNREGISTERED),
        Row("content", 400, "", _P, PermanentReason.CONTENT_REJECTED),
        Row("large", 413, "", _P, PermanentReason.PAYLOAD_TOO_LARGE),
        Row("key", 403, {"reason": "BadJwtToken"}, _CONFIG),
        Row("limited", 429, "", _LIMITED, headers={"retry-after": "1"}, once=True),
        Row("down", 500, "", _TEMPORARY),
    ),
    "webhook": (
        Row("gone", 410, "", _CONFIG),
        Row("limited", 429, "", _LIMITED, headers={"retry-after": "date"}, once=True),
        Row("down", 503, "", _TEMPORARY),
    ),
}
"""Errors, by the last word of the endpoint's address."""


def subscription(base: str, name: str = "ada") -> str:
    """The push subscription of a browser here, as JSON."""
    keys = {"p256dh": _PUBLIC, "auth": _AUTH}
    return json.dumps({"endpoint": f"{base}/web_push/{name}", "keys": keys}, separators=(",", ":"))


def web_routes(received: Received) -> list[Route]:
    """``/web_push/<browser>``, and ``/webhook`` or ``/webhook/<word>``."""

    async def web_push(request: Request) -> Response:
        to, body = request.path_params["browser"], await request.body()
        if not request.headers.get("ttl", "").isdecimal():
            return Response("the header TTL is missing", 400)
        shown = _decrypted(body)
        place = f"/web_push/message/{uuid.uuid4().hex}"
        answer = await received.refusal("web_push", to, ROWS["web_push"])
        answer = answer or Response(status_code=201, headers={"location": place})
        title, text = str(shown.get("title", "")), str(shown.get("body", ""))
        received.note("web_push", to, title, text, answer.status_code, shown)
        return answer

    async def webhook(request: Request) -> Response:
        word, body = request.path_params.get("word", ""), (await request.body()).decode("utf-8", "replace")
        answer = await received.refusal("webhook", word, ROWS["webhook"]) or Response(status_code=204)
        headers = {name: value for name, value in request.headers.items() if name.startswith(("webhook-", "x-"))}
        received.note(
            "webhook", word or "/webhook", request.headers.get("webhook-id", ""), body, answer.status_code,
            {"method": request.method, "headers": headers, "body": body},
        )  # fmt: skip
        return answer

    return [
        Route("/web_push/{browser}", web_push, methods=["POST"]),
        Route("/webhook", webhook, methods=["POST", "PUT", "PATCH"]),
        Route("/webhook/{word}", webhook, methods=["POST", "PUT", "PATCH"]),
    ]


def _decrypted(body: bytes) -> dict[str, object]:
    """What the browser would show; nothing where the message is not for it."""
    try:
        import http_ece
        from cryptography.hazmat.primitives.asymmetric import ec

        number = int.from_bytes(base64.urlsafe_b64decode(_PRIVATE + "="), "big")
        key = ec.derive_private_key(number, ec.SECP256R1())
        text = http_ece.decrypt(body, private_key=key, auth_secret=base64.urlsafe_b64decode(_AUTH + "=="))
        shown = json.loads(text)
    except Exception as error:  # whatever was sent, the page says so
        return {"title": "cannot be decrypted", "body": type(error).__name__}
    return shown if isinstance(shown, dict) else {}
