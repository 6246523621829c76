"""E-mail providers: SendGrid, Postmark, Mailgun and Amazon SES, each at its own path."""

from __future__ import annotations

import base64
import email
import email.policy
import uuid
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engage.sample.providers.received import Received, Row, answered
from engage.vocabulary import OutcomeStatus, PermanentReason

__all__ = ["ROWS", "email_routes", "text_of"]

_P, _CONFIG = OutcomeStatus.PERMANENT, OutcomeStatus.CONFIG_ERROR
_LIMITED, _TEMPORARY = OutcomeStatus.RATE_LIMITED, OutcomeStatus.TEMPORARY
_INVALID, _CONTENT = PermanentReason.INVALID_ADDRESS, PermanentReason.CONTENT_REJECTED
_LARGE = PermanentReason.PAYLOAD_TOO_LARGE
_AT = "@magic.test"


def _fields(field: str) -> dict[str, Any]:
    return {"errors": [{"message": f"{field} is not right", "field": field, "help": None}]}


def _code(code: int, message: str) -> dict[str, Any]:
    return {"ErrorCode": code, "Message": message}


def _amazon(name: str) -> dict[str, str]:
    return {"x-amzn-errortype": name}


ROWS: Mapping[str, tuple[Row, ...]] = {
    "sendgrid": (
        Row(f"invalid{_AT}", 400, _fields("personalizations.0.to.0.email"), _P, _INVALID),
        Row(f"content{_AT}", 400, _fields("content.0.value"), _P, _CONTENT),
        Row(f"large{_AT}", 413, "", _P, _LARGE),
        Row(f"sender{_AT}", 403, _fields("from"), _CONFIG),
        Row(f"key{_AT}", 401, _fields("authorization"), _CONFIG),
        Row(f"limited{_AT}", 429, _fields(""), _LIMITED, headers={"x-ratelimit-reset": "soon"}, once=True),
        Row(f"down{_AT}", 503, "", _TEMPORARY),
    ),
    "postmark": (
        Row(f"invalid{_AT}", 200, _code(300, "Invalid 'To' address."), _P, _INVALID),
        Row(f"inactive{_AT}", 200, _code(406, "Inactive recipient."), _P, PermanentReason.SUPPRESSED),
        Row(f"content{_AT}", 200, _code(300, "Zero recipients or no content."), _P, _CONTENT),
        Row(f"sender{_AT}", 200, _code(400, "Sender signature not found."), _CONFIG),
        Row(f"key{_AT}", 401, _code(10, "Bad or missing API token."), _CONFIG),
        Row(f"limited{_AT}", 429, "", _LIMITED, headers={"retry-after": "1"}, once=True),
        Row(f"down{_AT}", 500, "", _TEMPORARY),
    ),
    "mailgun": (
        Row(f"invalid{_AT}", 400, {"message": "'to' parameter is not a valid address."}, _P, _INVALID),
        Row(f"content{_AT}", 400, {"message": "'subject' is missing"}, _P, _CONTENT),
        Row(f"large{_AT}", 413, "", _P, _LARGE),
        Row(f"key{_AT}", 401, "Forbidden", _CONFIG),
        Row(f"domain{_AT}", 404, {"message": "Domain not found"}, _CONFIG),
        Row(f"url{_AT}", 200, "Mailgun Magnificent API", _CONFIG),
        Row(f"limited{_AT}", 429, {"message": "Too many"}, _LIMITED, headers={"retry-after": "date"}, once=True),
        Row(f"down{_AT}", 500, {"message": "Internal"}, _TEMPORARY),
    ),
    "ses": (
        Row(f"content{_AT}", 400, {"message": "rejected"}, _P, _CONTENT, _amazon("MessageRejected")),
        Row(f"sender{_AT}", 400, {}, _CONFIG, headers=_amazon("MailFromDomainNotVerifiedException")),
        Row(f"suspended{_AT}", 400, {}, _CONFIG, headers=_amazon("AccountSuspendedException")),
        Row(f"limited{_AT}", 429, {}, _LIMITED, headers=_amazon("TooManyRequestsException"), once=True),
        Row(f"down{_AT}", 503, {}, _TEMPORARY, headers=_amazon("ServiceUnavailable")),
    ),
}
"""Each provider's errors, by the address that gets them."""


def text_of(raw: bytes) -> tuple[str, str, str]:
    """Of a mail as it goes over the wire: to whom, its subject and its text."""
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    body = mail.get_body(("plain", "html"))
    return str(mail["to"] or ""), str(mail["subject"] or ""), str(body.get_content()) if body else ""


def email_routes(received: Received) -> list[Route]:
    """The doors of the providers: ``/sendgrid``, ``/postmark``, ``/mailgun`` and ``/ses`` are their base URLs."""

    async def sendgrid(request: Request) -> Response:
        body = await request.json()
        to = str(body["personalizations"][0]["to"][0]["email"])
        answer = await received.refusal("sendgrid", to, ROWS["sendgrid"])
        answer = answer or Response(status_code=202, headers={"x-message-id": _id()})
        text = str(body["content"][0]["value"])
        received.note("sendgrid", to, str(body["subject"]), text, answer.status_code, body)
        return answer

    async def postmark(request: Request) -> Response:
        answers: list[Any] = []
        mails = await request.json()
        for mail in mails:
            to = str(mail["To"])
            refused = await received.refusal("postmark", to, ROWS["postmark"])
            status = refused.status_code if refused is not None else 200
            received.note("postmark", to, str(mail["Subject"]), str(mail.get("TextBody")), status, mail)
            if refused is not None and status != 200:
                return refused
            row = next((row for row in ROWS["postmark"] if row.to == to), None)
            answers.append(row.body if row and refused is not None else {**_code(0, "OK"), "MessageID": _id()})
        return answered(200, answers)

    async def mailgun(request: Request) -> Response:
        parts = _multipart(request.headers.get("content-type", ""), await request.body())
        to = parts["to"].decode()
        answer = await received.refusal("mailgun", to, ROWS["mailgun"])
        answer = answer or answered(200, {"id": f"<{_id()}@magic.test>", "message": "Queued. Thank you."})
        _, subject, text = text_of(parts["message"])
        told = {name: value.decode("utf-8", "replace") for name, value in parts.items()}
        received.note("mailgun", to, subject, text, answer.status_code, told)
        return answer

    async def ses(request: Request) -> Response:
        body = await request.json()
        to = str(body["Destination"]["ToAddresses"][0])
        answer = await received.refusal("ses", to, ROWS["ses"]) or answered(200, {"MessageId": _id()})
        _, subject, text = text_of(base64.b64decode(body["Content"]["Raw"]["Data"]))
        received.note("ses", to, subject, text, answer.status_code, body)
        return answer

    return [
        Route("/sendgrid/v3/mail/send", sendgrid, methods=["POST"]),
        Route("/postmark/email/batch", postmark, methods=["POST"]),
        Route("/mailgun/v3/{domain}/messages.mime", mailgun, methods=["POST"]),
        Route("/ses/v2/email/outbound-emails", ses, methods=["POST"]),
    ]


def _multipart(kind: str, body: bytes) -> dict[str, bytes]:
    whole = email.message_from_bytes(b"content-type: " + kind.encode() + b"\r\n\r\n" + body, policy=email.policy.HTTP)
    parts: dict[str, bytes] = {}
    for part in whole.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_content() if part.get_content_maintype() == "message" else part.get_payload(decode=True)
        parts[str(name)] = content.as_bytes() if hasattr(content, "as_bytes") else content or b""
    return parts


def _id() -> str:
    return uuid.uuid4().hex
