"""The server of all providers, and the page that shows what they were sent."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from engage.sample.providers import email, facebook, push, sms, smtp, web
from engage.sample.providers.facebook import Account, facebook_routes
from engage.sample.providers.received import Received, Row

__all__ = ["CHANNELS", "ROWS", "create_providers"]

CHANNELS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "email": ("E-mail", ("sendgrid", "postmark", "mailgun", "ses", "smtp")),
    "sms": ("Text messages", ("twilio", "vonage", "sns")),
    "push": ("Push", ("fcm", "apns")),
    "web_push": ("Web push", ("web_push",)),
    "webhook": ("Webhook", ("webhook",)),
    "facebook_audience": ("Facebook audiences", ("facebook",)),
}
"""What each channel is called, and its providers."""

ROWS: Mapping[str, tuple[Row, ...]] = {
    **email.ROWS, **smtp.ROWS, **sms.ROWS, **push.ROWS, **web.ROWS, **facebook.ROWS,
}  # fmt: skip
"""Every provider's magic recipients."""

_HERE = Path(__file__).parent
_SHOWN = 50  # messages of a channel


def create_providers(received: Received | None = None, account: Account | None = None) -> Starlette:
    """Build the application.

    Args:
        received: Keeps what is sent.
        account: The ad account at Facebook.

    Returns:
        An ASGI application; each provider's base URL is its name, ``http://…/sendgrid``. ``/`` shows what was
        received, ``/received`` tells it as JSON.
    """
    kept, ads = received or Received(), account or Account()
    style = (_HERE / "page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'"
    headers = {"content-security-policy": f"{policy}; frame-ancestors 'none'", "cache-control": "no-store"}
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.get_template("page.html.jinja")

    async def page(request: Request) -> Response:
        seen = kept.seen()
        wanted = request.query_params.get("channel", "")
        channels = [
            {
                "name": name,
                "title": title,
                "providers": names,
                "count": sum(one.provider in names for one in seen),
                "seen": [
                    {**asdict(one), "whole": json.dumps(one.body, indent=2, ensure_ascii=False)}
                    for one in seen
                    if one.provider in names
                ][:_SHOWN],
                "rows": [(provider, row) for provider in names for row in ROWS[provider]],
            }
            for name, (title, names) in CHANNELS.items()
            if not wanted or wanted == name
        ]
        audiences = [(one.name, len(one.rows)) for one in ads.audiences.values()]
        text = template.render(
            style=Markup(style), channels=channels, titles={name: title for name, (title, _) in CHANNELS.items()},
            wanted=wanted, audiences=audiences, total=len(seen), refresh=request.query_params.get("refresh") != "0",
        )  # fmt: skip
        return HTMLResponse(text, headers=headers)

    async def listed(request: Request) -> Response:
        seen = kept.seen(request.query_params.get("provider"))
        return JSONResponse([{**asdict(one), "at": one.at.isoformat()} for one in seen])

    async def forget(request: Request) -> Response:
        kept.forget()
        return RedirectResponse("/", 303)

    async def health(request: Request) -> Response:
        return Response("ok", media_type="text/plain")

    return Starlette(
        routes=[
            Route("/", page),
            Route("/health", health),
            Route("/received", listed),
            Route("/forget", forget, methods=["POST"]),
            *email.email_routes(kept),
            *sms.sms_routes(kept),
            *push.push_routes(kept),
            *web.web_routes(kept),
            *facebook_routes(kept, ads),
        ]
    )
