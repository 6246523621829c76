"""The pages on which people say what they want to get; they need no JavaScript and no account, the link is enough.

A GET changes nothing, since scanners follow links. Source: RFC 8058 (one-click unsubscription: a POST of
``List-Unsubscribe=One-Click``, without cookies, answered without a redirect).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import tomllib
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from engage.campaigns.preferences import Preferences, preference_events, read_topics
from engage.content.links import Links, Who
from engage.errors import EngageError
from engage.server.folding import Folding
from engage.server.requests import Answer, read_body
from engage.server.tracking import PRIVATE, MessageEvents
from engage.vocabulary import Channel
from engage.workspace import Workspace

__all__ = ["preference_routes"]

_PAGES = Path(__file__).parent / "pages"
_BODY = 64 << 10


class _Page:
    """Renders the page in a person's language."""

    def __init__(self) -> None:
        self._words: dict[str, Any] = tomllib.loads((_PAGES / "preferences.toml").read_text(encoding="utf-8"))
        self._style = (_PAGES / "preferences.css").read_text(encoding="utf-8")
        environment = Environment(
            loader=FileSystemLoader(_PAGES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        self._template = environment.get_template("preferences.html.jinja")
        digest = base64.b64encode(hashlib.sha256(self._style.encode()).digest()).decode()
        policy = f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'"
        self._headers = {**PRIVATE, "content-security-policy": f"{policy}; frame-ancestors 'none'"}

    def language(self, profile: str, request: Request) -> str:
        """The profile's language, else the browser's first that we speak, else English."""
        asked = []
        for n, part in enumerate(request.headers.get("accept-language", "")[:1000].split(",")):
            name, _, quality = part.strip().partition(";q=")
            try:
                asked.append((-float(quality or 1), n, name))
            except ValueError:
                continue
        for name in (profile, *(name for _, _, name in sorted(asked))):
            plain = name.replace("_", "-").partition("-")[0].lower()
            if plain in self._words:
                return plain
        return "en"

    def answer(self, language: str, *, status: int = 200, **more: Any) -> Response:
        """The page. `more` are the template's own names."""
        given = {"said": "", "asks": False, "wanted": None, "channel": "", "unsubscribe": "", "preferences": "#"}
        text = self._template.render(
            {**given, **more, "lang": language, "words": self._words[language], "style": Markup(self._style)}
        )
        later = {"retry-after": "60"} if status == 503 else {}
        return HTMLResponse(text, status, headers={**self._headers, **later})


def preference_routes(workspace: Workspace, links: Links, events: MessageEvents, folding: Folding) -> list[Route]:
    """``/u/…`` (unsubscribe) and ``/p/…`` (choose).

    Args:
        workspace: Knows what people want.
        links: Reads tokens.
        events: Where what they say is noted.
        folding: Lands it, so that the page shows what was just said.
    """
    page = _Page()
    topics = {topic.name: topic.titles for topic in read_topics(workspace.settings)}

    def unknown(request: Request) -> Response:
        return page.answer(page.language("", request), status=404, said="unknown", wanted={}, titles={})

    def later(request: Request) -> Response:
        return page.answer(page.language("", request), status=503, said="later", wanted={}, titles={})

    def found(request: Request) -> tuple[Who, dict[str, Any], str] | None:
        read = links.read("subscriptions", request.path_params["token"])
        if read is None:
            return None
        about = events.about(read[0])
        return read[0], about, str(about.get("channel", Channel.EMAIL))

    def addresses(request: Request) -> dict[str, Any]:
        token = request.path_params["token"]
        return {"unsubscribe": f"../u/{token}", "preferences": f"../p/{token}"}

    async def say(told: list[dict[str, Any]]) -> None:
        await events.record([{"event_id": uuid.uuid4().hex, **event} for event in told])

    async def unsubscribe(request: Request) -> Response:
        known = found(request)
        if known is None:
            return unknown(request)
        who, about, channel = known
        try:
            if request.method != "POST":
                preferences = await asyncio.to_thread(workspace.preferences, who.user_id)
                language = page.language(preferences.language, request)
                return page.answer(language, asks=True, channel=channel, **addresses(request))
            if "One-Click" not in (await _form(request)).get("List-Unsubscribe", []):
                return unknown(request)
            address = await asyncio.to_thread(workspace.sent_to, who.run_id, who.message_id)
            before = Preferences(who.user_id, "", {channel: {"": True}}, {channel: address} if address else {})
            await say(preference_events(before, {channel: {"": False}}, now=datetime.now(UTC), about=about))
        except Answer as answer:
            return answer.response
        except (EngageError, OSError):
            return later(request)
        return page.answer(page.language("", request), said="left", **addresses(request))

    async def choose(request: Request) -> Response:
        known = found(request)
        if known is None:
            return unknown(request)
        who, about, channel = known
        said = ""
        try:
            form = await _form(request) if request.method == "POST" else None
            await folding.now()
            preferences = await asyncio.to_thread(workspace.preferences, who.user_id, channel=channel)
            if form is not None:
                address = await asyncio.to_thread(workspace.sent_to, who.run_id, who.message_id)
                wanted = _wanted(form, preferences)
                more = [(channel, address)] if address else []
                told = preference_events(preferences, wanted, now=datetime.now(UTC), about=about, addresses=more)
                if told:
                    await say(told)
                    await folding.now()
                    preferences = await asyncio.to_thread(workspace.preferences, who.user_id, channel=channel)
                said = "saved"
        except Answer as answer:
            return answer.response
        except (EngageError, OSError):
            return later(request)
        language = page.language(preferences.language, request)
        titles = {
            name: given.get(language) or given.get("en") or next(iter(given.values())) for name, given in topics.items()
        }
        return page.answer(language, said=said, wanted=preferences.wanted, titles=titles, **addresses(request))

    return [
        Route("/u/{token}", unsubscribe, methods=["GET", "POST"]),
        Route("/p/{token}", choose, methods=["GET", "POST"]),
    ]


async def _form(request: Request) -> dict[str, list[str]]:
    """The fields of a form. RFC 8058 lets senders of one-click requests use multipart/form-data too."""
    data = await read_body(request, _BODY)
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        one_click = b'name="List-Unsubscribe"' in data and b"One-Click" in data
        return {"List-Unsubscribe": ["One-Click"]} if one_click else {}
    try:
        return parse_qs(data.decode(), max_num_fields=1000)
    except ValueError:
        raise Answer(400, "the body is not a form") from None


def _wanted(form: Mapping[str, list[str]], preferences: Preferences) -> dict[str, dict[str, bool]]:
    """What a form says of what it showed."""
    shown, wants = set(form.get("shown", ())), set(() if "none" in form else form.get("want", ()))
    return {
        channel: {topic: f"{channel}/{topic}" in wants for topic in topics if f"{channel}/{topic}" in shown}
        for channel, topics in preferences.wanted.items()
    }
