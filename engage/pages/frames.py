"""A message as its reader would see it: on a phone, in a browser, in a mail program."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from html import escape
from typing import Any

import marimo as mo

from engage.vocabulary import Channel

__all__ = ["frame_document", "framed"]

_STYLE = """
*{box-sizing:border-box} body{margin:0;font:14px/1.45 system-ui,-apple-system,"Segoe UI",sans-serif;color:#17202a;
background:transparent} img{max-width:100%;border-radius:8px;display:block;margin-top:8px}
.phone{width:300px;height:520px;margin:4px auto;border:9px solid #20262d;border-radius:34px;overflow:hidden;
position:relative;background:linear-gradient(160deg,#8fb3d9,#d7c3dd)}
.phone .time{text-align:center;font-size:46px;font-weight:300;padding:36px 0 24px;color:#17202a}
.card{margin:8px 10px;padding:10px 12px;border-radius:14px;background:#fffffff2;box-shadow:0 1px 6px #0003}
.app{font-size:11px;color:#4a5560;display:flex;justify-content:space-between;margin-bottom:3px}
.white{background:#f4f6f8}
.bar{padding:14px;text-align:center;font-weight:600;background:#fff;border-bottom:1px solid #dde2e7}
.bubble{margin:16px 40px 0 12px;padding:9px 13px;
border-radius:16px 16px 16px 4px;background:#e3e6ea;white-space:pre-wrap;
overflow-wrap:anywhere}.note{margin:6px 14px;font-size:11px;color:#4a5560}
.dim{position:absolute;inset:0;background:#0007;display:flex;align-items:center;justify-content:center;padding:18px}
.modal{background:#fff;border-radius:14px;padding:18px;max-width:360px;width:100%;box-shadow:0 8px 30px #0005;
position:relative;overflow-wrap:anywhere}.modal .x{position:absolute;right:12px;top:8px;color:#4a5560}
.browser{max-width:720px;height:440px;margin:4px auto;border:1px solid #b9c2cb;border-radius:10px;overflow:hidden;
position:relative;background:#fff}.browser .top{background:#e6eaee;padding:8px 12px;font-size:12px;color:#4a5560}
.browser .line{height:12px;border-radius:6px;background:#eceff2;margin:18px 24px;width:60%}
.corner{position:absolute;right:14px;top:46px;width:300px}
.button{display:inline-block;margin:12px 8px 0 0;padding:6px 14px;border-radius:7px;background:#0b5fa5;color:#fff;
font-weight:600;text-decoration:none}h3{margin:0 0 4px;font-size:16px}b{font-weight:650}
.mail{max-width:720px;margin:4px auto;border:1px solid #b9c2cb;border-radius:10px;overflow:hidden;background:#fff}
.mail .head{padding:12px 16px;border-bottom:1px solid #dde2e7;background:#f4f6f8}
.mail .head div{font-size:13px;color:#3b4650}
.mail .subject{font-size:17px!important;font-weight:650;color:#17202a!important;margin-bottom:3px}
.mail iframe{border:0;width:100%;height:420px;display:block;background:#fff}.mail pre{margin:0;padding:16px;
white-space:pre-wrap;font:inherit;max-height:420px;overflow:auto}
.json{background:#17202a;color:#e8eef4;border-radius:10px;padding:14px 16px;overflow:auto;max-height:420px;
font:13px/1.5 ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere;margin:4px}
"""

_HEIGHTS = {Channel.EMAIL: 530, Channel.WEBHOOK: 300}
_ON_PHONE = (Channel.PUSH, Channel.SMS, Channel.APP_INBOX, Channel.IN_APP)


def framed(channel: str, message: Mapping[str, Any]) -> mo.Html:
    """A rendered message in the frame of its channel.

    Args:
        channel: Its channel.
        message: The rendered fields, or `error`; see :meth:`engage.workspace.campaigns.OpenCampaign.preview`.
    """
    if "error" in message:
        return mo.callout(mo.Html(f"<p>{escape(str(message['error']))}</p>"), kind="warn")
    height = _HEIGHTS.get(Channel(channel), 540 if channel in _ON_PHONE else 460)
    document = escape(frame_document(channel, message), quote=True)
    # No scripts, no forms, no origin: a message shows what it shows and can do nothing to the page around it.
    return mo.Html(
        f'<iframe title="Preview: {escape(channel)}" sandbox="" srcdoc="{document}" '
        f'style="border:0;width:100%;height:{height}px;background:transparent"></iframe>'
    )


def frame_document(channel: str, message: Mapping[str, Any]) -> str:
    """The HTML document of a message in its frame.

    Args:
        channel: Its channel.
        message: The rendered fields.
    """
    draw = _DRAW.get(Channel(channel), _data)
    body = draw({key: value for key, value in message.items() if value not in (None, "")})
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><style>{_STYLE}</style><body>{body}</body></html>'


def _text(message: Mapping[str, Any], name: str) -> str:
    return escape(str(message.get(name, "")))


def _image(message: Mapping[str, Any]) -> str:
    image = str(message.get("image", ""))
    return f'<img src="{escape(image, quote=True)}" alt="">' if image.startswith("https://") else ""


def _mail(message: Mapping[str, Any]) -> str:
    head = f'<div class="subject">{_text(message, "subject") or "(no subject)"}</div>'
    head += f"<div>{_text(message, 'from') or 'The channel’s sender'} → {_text(message, 'address')}</div>"
    head += f"<div>{_text(message, 'preheader')}</div>" if message.get("preheader") else ""
    if html := message.get("html"):
        inner = escape(str(html), quote=True)
        body = f'<iframe title="The mail" sandbox="" srcdoc="{inner}"></iframe>'
    else:
        body = f"<pre>{_text(message, 'text')}</pre>"
    return f'<div class="mail"><div class="head">{head}</div>{body}</div>'


def _card(message: Mapping[str, Any], app: str) -> str:
    title = f"<b>{_text(message, 'title')}</b><br>" if message.get("title") else ""
    return (
        f'<div class="card"><div class="app"><span>{app}</span><span>now</span></div>{title}'
        f"{_text(message, 'body')}{_image(message)}</div>"
    )


def _push(message: Mapping[str, Any]) -> str:
    return f'<div class="phone"><div class="time">9:41</div>{_card(message, "YOUR APP")}</div>'


def _sms(message: Mapping[str, Any]) -> str:
    said = str(message.get("body", ""))
    # GSM 03.38 in short: what is beyond it is sent as UCS-2, 70 characters a part instead of 160.
    wide = any(ord(letter) > 0xFF and letter != "€" for letter in said)
    one, more = (70, 67) if wide else (160, 153)
    parts = 1 if len(said) <= one else -(-len(said) // more)
    return (
        f'<div class="phone white"><div class="bar">{_text(message, "from") or "Your sender"}</div>'
        f'<div class="bubble">{escape(said)}</div><div class="note">{len(said)} characters, about {parts} '
        f"part{'s' if parts > 1 else ''}</div></div>"
    )


def _modal(message: Mapping[str, Any]) -> str:
    actions = message.get("actions") or ()
    buttons = "".join(
        f'<span class="button">{escape(str(one.get("label") or one.get("title") or ""))}</span>'
        for one in actions
        if isinstance(one, Mapping)
    )
    title = f"<h3>{_text(message, 'title')}</h3>" if message.get("title") else ""
    # The body is HTML that the renderer has sanitised.
    said = f"{title}{message.get('body', '')}{_image(message)}<div>{buttons}</div>"
    return f'<div class="modal"><span class="x">✕</span>{said}</div>'


def _in_app(message: Mapping[str, Any]) -> str:
    return f'<div class="phone white"><div class="bar">Your app</div><div class="dim">{_modal(message)}</div></div>'


def _inbox(message: Mapping[str, Any]) -> str:
    title = f"<h3>{_text(message, 'title')}</h3>" if message.get("title") else ""
    return (
        f'<div class="phone white"><div class="bar">Inbox</div><div class="card">{title}{message.get("body", "")}'
        f"{_image(message)}</div></div>"
    )


def _page(inner: str) -> str:
    lines = (
        '<div class="line"></div><div class="line" style="width:80%"></div><div class="line" style="width:45%"></div>'
    )
    return f'<div class="browser"><div class="top">● ● ● &nbsp; your.site</div>{lines}{inner}</div>'


def _popup(message: Mapping[str, Any]) -> str:
    return _page(f'<div class="dim">{_modal(message)}</div>')


def _web_push(message: Mapping[str, Any]) -> str:
    return _page(f'<div class="corner">{_card(message, "your.site")}</div>')


def _data(message: Mapping[str, Any]) -> str:
    said = message.get("body")
    with suppress(ValueError):
        said = json.dumps(json.loads(str(said)), indent=2, ensure_ascii=False) if said else "The user’s details as JSON"
    to = f"{message.get('method', 'POST')} {message.get('url', 'the channel’s url')}"
    return f'<div class="json">{escape(to)}\n\n{escape(str(said))}</div>'


_DRAW = {
    Channel.EMAIL: _mail,
    Channel.PUSH: _push,
    Channel.SMS: _sms,
    Channel.IN_APP: _in_app,
    Channel.APP_INBOX: _inbox,
    Channel.WEB_POPUP: _popup,
    Channel.WEB_EXIT_INTENT: _popup,
    Channel.WEB_PUSH: _web_push,
}
