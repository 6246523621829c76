"""From a rendered message to what the app or page shows, in the form of ``message.schema.json`` beside this file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import nh3

from engage.channels.message import Message
from engage.errors import QueryError, UnsupportedContentError
from engage.vocabulary import Channel
from engage.windows import parse_window

__all__ = ["mailbox_message", "utc_text"]

_LAYOUTS = ("banner", "modal", "half_screen", "full_screen", "corner")
_POSITIONS = ("top", "bottom", "center", "top_left", "top_right", "bottom_left", "bottom_right")
_PLACE = {"banner": "top", "half_screen": "bottom", "corner": "bottom_right"}
_COLOUR = re.compile(r"#([0-9a-fA-F]{3,4}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})|[a-zA-Z]{3,30}")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_RUNS_SCRIPT = frozenset({"javascript", "data", "vbscript", "blob", "file", "filesystem", "about", "view-source"})
_CONTROL = re.compile(r"[\x00-\x20\x7f-\x9f]")
_TAGS = frozenset(
    "a abbr b blockquote br code del div em h1 h2 h3 h4 hr i img li ol p pre s small span strong sub sup table tbody "
    "td th thead tr u ul".split()
)
_ATTRIBUTES = {"a": {"href", "title"}, "img": {"src", "alt", "width", "height"}, "td": {"colspan"}, "th": {"colspan"}}
_SCHEMES = {"http", "https", "mailto", "tel"}
_SHOWN_ONCE = {Channel.IN_APP, Channel.WEB_POPUP, Channel.WEB_EXIT_INTENT}
_LARGEST = 65_536  # characters of the body


def mailbox_message(message: Message, *, now: datetime, keep: timedelta | None = None) -> dict[str, Any]:
    """Translate one message; what it holds comes from templates and profiles, so it may be hostile.

    Args:
        message: A message of a pulled channel.
        now: When it is put into the mailbox.
        keep: How long it waits where the campaign does not say; None for ever.

    Returns:
        An object that is valid by ``message.schema.json``.

    Raises:
        UnsupportedContentError: A rule, an address or a style is not one; the HTML is too long.
    """
    content = message.content
    body = str(content.get("body") or "")
    if len(body) > _LARGEST:
        raise UnsupportedContentError(f"the body has {len(body)} characters, at most {_LARGEST} go", where="body")
    title = str(content.get("title") or "")
    if len(title) > 1000:
        raise UnsupportedContentError("the title has more than 1000 characters", where="title", hint="shorten it")
    image = str(content.get("image") or "").strip()
    if image and not image.startswith(("https://", "http://", "/")):
        raise UnsupportedContentError("the image is not an https address", where="image")
    return {
        "version": 1,
        "message_id": message.message_id,
        "channel": str(message.channel),
        "campaign_id": message.campaign_id,
        "sent_at": utc_text(now),
        "expires_at": _expiry(content.get("expires_after"), now, keep),
        "title": title,
        "body": _sanitised(body),
        "image": image or None,
        "deep_link": _address(content.get("deep_link"), "deep_link"),
        "actions": _actions(content.get("actions")),
        "style": _style(content.get("style"), message.channel),
        "trigger": _trigger(content.get("trigger"), message.channel),
        "frequency": _frequency(content.get("frequency"), message.channel),
        "priority": _whole(content.get("priority") or 0, -1000, 1000, "priority"),
        "pinned": content.get("pinned") in (True, "true"),
    }


def _sanitised(body: str) -> str:
    clean = nh3.clean(body, tags=set(_TAGS), attributes=_ATTRIBUTES, url_schemes=_SCHEMES, link_rel="noopener")
    if len(clean) > _LARGEST:
        raise UnsupportedContentError(f"the body has more than {_LARGEST} characters as HTML", where="body")
    return clean


def utc_text(moment: datetime) -> str:
    """A time as the mailbox writes it, so that texts sort as times do: ``2026-03-01T12:00:00.000Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _expiry(given: object, now: datetime, keep: timedelta | None) -> str | None:
    if given in (None, ""):
        return utc_text(now + keep) if keep else None
    if str(given).strip().lower() == "never":
        return None
    return utc_text(now + timedelta(seconds=_length(given, "expires_after")))


def _length(given: object, where: str) -> float:
    """Seconds, written as a number or as a length of time."""
    if isinstance(given, int | float) and not isinstance(given, bool) and 0 < given <= 3_153_600_000:
        return float(given)
    try:
        return parse_window(str(given)).total_seconds()
    except QueryError as error:
        raise UnsupportedContentError(error.what, where=where, hint='write seconds, or such as "7 days"') from error


def _address(given: object, where: str) -> str | None:
    """A path or an address; browsers drop control characters and blanks in a scheme, so there may be none."""
    text = str(given or "").strip()
    if not text:
        return None
    scheme = _SCHEME.match(text)
    if (
        len(text) > 4000
        or _CONTROL.search(text)
        or (scheme and scheme[1].lower() in _RUNS_SCRIPT)
        or not (scheme or text.startswith(("/", "#", "?")))
    ):
        raise UnsupportedContentError(
            "a link is not an address that may be followed", where=where, hint="write https://…, /path or myapp://…"
        )
    return text


def _actions(given: object) -> list[dict[str, Any]]:
    if given in (None, ""):
        return []
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) > 5:
        raise UnsupportedContentError("actions is not a list of up to 5 buttons", where="actions", hint=_BUTTON)
    buttons = []
    for n, one in enumerate(given):
        label = str(one.get("label") or "").strip() if isinstance(one, Mapping) else ""
        if not 0 < len(label) <= 200:
            raise UnsupportedContentError(
                "a button has no label of up to 200 characters", where="actions", hint=_BUTTON
            )
        name = str(one.get("id") or f"button_{n + 1}")
        buttons.append({"id": name[:100], "label": label, "url": _address(one.get("url"), "actions")})
    return buttons


_BUTTON = 'write [{ label = "Buy", url = "/buy", id = "buy" }]'


def _style(given: object, channel: str) -> dict[str, Any]:
    table = _table(given, "style", ("layout", "position", "close_button", "backdrop", "background", "text", "accent"))
    layout = _one_of(table.get("layout", "modal"), _LAYOUTS, "style.layout")
    style = {
        "layout": layout,
        "position": _one_of(table.get("position", _PLACE.get(layout, "center")), _POSITIONS, "style.position"),
        "close_button": table.get("close_button", True) is not False,
        "backdrop": bool(table.get("backdrop", layout in ("modal", "full_screen") and channel != Channel.APP_INBOX)),
    }
    for name in ("background", "text", "accent"):
        if name in table:
            if not _COLOUR.fullmatch(str(table[name])):
                raise UnsupportedContentError("a colour is not one", where=f"style.{name}", hint='write "#336699"')
            style[name] = str(table[name])
    return style


def _trigger(given: object, channel: str) -> dict[str, Any]:
    table = _table(given, "trigger", ("event", "where", "page", "delay", "scroll", "exit_intent"))
    if channel == Channel.APP_INBOX:
        return {}
    trigger: dict[str, Any] = {}
    if event := str(table.get("event") or ""):
        trigger["event"] = event
    if where := table.get("where"):
        trigger["where"] = {name: _comparable(value) for name, value in _table(where, "trigger.where").items()}
    if page := table.get("page"):
        pages = [page] if isinstance(page, str) else page
        if not isinstance(pages, Sequence) or not all(isinstance(one, str) and one for one in pages):
            raise UnsupportedContentError("page is not a pattern", where="trigger.page", hint='write "/pricing*"')
        trigger["page"] = list(pages)
    if (delay := table.get("delay")) not in (None, "", 0):
        trigger["delay"] = min(_length(delay, "trigger.delay"), 86_400.0)
    if (scroll := table.get("scroll")) not in (None, "", 0):
        trigger["scroll"] = _whole(str(scroll).rstrip("% "), 1, 100, "trigger.scroll")
    if table.get("exit_intent") or channel == Channel.WEB_EXIT_INTENT:
        trigger["exit_intent"] = True
    return trigger


def _comparable(value: object) -> object:
    plain = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str | int | float | bool) for one in plain):
        raise UnsupportedContentError(
            "a property is compared with what is no text, number or truth", where="trigger.where"
        )
    return value


def _frequency(given: object, channel: str) -> dict[str, Any]:
    table = _table(given, "frequency", ("total", "per_session", "per_day", "every"))
    once = 1 if channel in _SHOWN_ONCE and not table else None
    frequency: dict[str, Any] = {"total": once}
    for name in ("total", "per_session", "per_day"):
        if name in table:
            frequency[name] = _whole(table[name], 1, 1_000_000, f"frequency.{name}")
    if "every" in table:
        frequency["every"] = _length(table["every"], "frequency.every")
    return frequency


def _table(given: object, where: str, known: Sequence[str] = ()) -> Mapping[str, Any]:
    if given in (None, ""):
        return {}
    if not isinstance(given, Mapping):
        raise UnsupportedContentError(f"{where} is not a table", where=where)
    if known and (unknown := sorted(set(map(str, given)) - set(known))):
        raise UnsupportedContentError(
            f"{where} has no {unknown[0][:40]!r}", where=where, hint=f"has {', '.join(known)}"
        )
    return given


def _one_of(given: object, known: Sequence[str], where: str) -> str:
    if given not in known:
        raise UnsupportedContentError(
            f"{str(given)[:40]!r} is not known", where=where, hint=f"write {', '.join(known)}"
        )
    return str(given)


def _whole(given: object, least: int, most: int, where: str) -> int:
    text = str(given).strip()
    number = int(text) if re.fullmatch(r"-?[0-9]{1,9}", text) else most + 1
    if not least <= number <= most:
        raise UnsupportedContentError(f"{text[:20]!r} is not a whole number", where=where, hint=f"{least} to {most}")
    return number
