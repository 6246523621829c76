"""On-site messages before anybody is sent one: what they may begin from, and how they will look."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from engage.channels.in_app.message import mailbox_message
from engage.channels.message import Message
from engage.errors import UnsupportedContentError
from engage.sdk import read_file
from engage.vocabulary import Channel

__all__ = ["DEVICES", "preview_document", "templates"]

DEVICES = ("phone", "browser")
"""On what a message is shown."""

# Nothing may be fetched but pictures, and no script runs but ours.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src https: http: data:"
_FRAME = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Preview</title><style>
body{margin:0;font:13px system-ui,sans-serif;background:transparent;color:#4a5560}
.phone{width:320px;height:600px;margin:6px auto;border:10px solid #20262d;border-radius:36px;overflow:hidden}
.browser{height:520px;margin:6px;border:1px solid #b9c2cb;border-radius:10px;overflow:hidden;display:flex;
flex-direction:column}
.browser:before{content:"\\25cf  \\25cf  \\25cf   your.site";white-space:pre;background:#e6eaee;padding:8px 12px}
iframe{border:0;width:100%;height:100%;background:#fff}</style></head><body><div class="DEVICE">
<iframe title="The message" sandbox="allow-scripts" srcdoc="INNER"></iframe></div></body></html>"""
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A page</title>
<meta http-equiv="Content-Security-Policy" content="POLICY"><style>
body{margin:0;padding:24px;font-family:system-ui,sans-serif}i{display:block;height:12px;border-radius:6px;
background:#eceff2;margin:0 0 18px;width:60%}i:nth-of-type(2){width:85%}i:nth-of-type(3){width:45%}</style></head><body>
INBOX<i></i><i></i><i></i><i></i><script>SCRIPT</script><script>engage.preview(MESSAGE)</script></body></html>"""


def templates(channel: str) -> dict[str, dict[str, Any]]:
    """What a channel's messages may begin from.

    Args:
        channel: An on-site channel; others have none here.

    Returns:
        A campaign's content by the template's name; `about`, which says when it fits, is not part of the content.
    """
    found = tomllib.loads((Path(__file__).parent / "templates.toml").read_text(encoding="utf-8"))
    return {name: one for name, one in found.items() if channel in one.pop("channels")}


def preview_document(channel: str, content: Mapping[str, Any], *, device: str, now: datetime) -> str:
    """An HTML document that shows a message as engage.js does, on a made-up page; it fetches nothing but its pictures.

    Args:
        channel: An on-site channel.
        content: The rendered fields of its message.
        device: One of :data:`DEVICES`.
        now: The clock.

    Raises:
        UnsupportedContentError: A rule, an address or a style is not one, or the device is not known.
    """
    if device not in DEVICES:
        raise UnsupportedContentError(f"there is no device {device!r}", hint=f"use {' or '.join(DEVICES)}")
    message = mailbox_message(Message("preview", "", channel, "", content), now=now)
    given = json.dumps(message | {"read_at": None, "expires_at": None}).replace("<", "\\u003c")
    inbox = "<engage-inbox inline></engage-inbox>" if channel == Channel.APP_INBOX else ""
    page = _PAGE.replace("POLICY", _POLICY).replace("INBOX", inbox)
    page = page.replace("SCRIPT", read_file("engage.js").replace("</script", "<\\/script"), 1)
    page = page.replace("engage.preview(MESSAGE)", f"engage.preview({given})")
    return _FRAME.replace("DEVICE", device).replace("INNER", escape(page, quote=True))
