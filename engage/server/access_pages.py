"""The pages of the door: one small template, no scripts, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

__all__ = ["AccessPages"]

_PAGES = Path(__file__).parent / "pages"
_TITLES = {"sign_in": "Sign in", "link": "Choose a password", "sign_out": "Sign out", "nothing": "This did not work"}


class AccessPages:
    """Renders them.

    Args:
        provider: What people call the identity provider; '' where there is none.
    """

    def __init__(self, provider: str = "") -> None:
        self._provider = provider
        self._style = (_PAGES / "access.css").read_text(encoding="utf-8")
        environment = Environment(
            loader=FileSystemLoader(_PAGES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        self._template = environment.get_template("access.html.jinja")
        digest = base64.b64encode(hashlib.sha256(self._style.encode()).digest()).decode()
        self._headers = {
            "cache-control": "no-store",
            "content-security-policy": f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; "
            "base-uri 'none'; frame-ancestors 'none'",
            "cross-origin-opener-policy": "same-origin",
            "referrer-policy": "same-origin",  # "no-referrer" would take the origin off our own forms
            "x-content-type-options": "nosniff",
        }

    def answer(self, view: str, *, status: int = 200, wait: int = 0, **more: Any) -> Response:
        """A page.

        Args:
            view: ``sign_in``, ``link``, ``sign_out``, or ``nothing`` for one that only tells something.
            status: HTTP status.
            wait: Seconds until it is worth trying again.
            more: The template's own names.
        """
        given = {"title": _TITLES[view], "said": "", "wrong": "", "email": "", "name": "", "next": "/", "first": False}
        text = self._template.render(
            {**given, **more, "view": view, "provider": self._provider, "style": Markup(self._style)}
        )
        later = {"retry-after": str(wait)} if wait else {}
        return HTMLResponse(text, status, headers={**self._headers, **later})
