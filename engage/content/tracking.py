"""Mail that reports back: its links lead through the server, a picture tells that it was opened.

What the person reads stays byte for byte as it was written, save the addresses of links.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from engage.content.links import Links, Who
from engage.vocabulary import Channel

__all__ = ["Rendering", "Tracked", "rewrite_links", "with_pixel", "with_utm"]

# A start tag of a link, with its attributes; a > inside quotes does not end it.
_LINK = re.compile(r"<(?:a|area)(?=\s)(?:[^>\"']|\"[^\"]*\"|'[^']*')*+>", re.IGNORECASE)
_HREF = re.compile(r"(?<=\s)href\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))", re.IGNORECASE)
_OFF = re.compile(r"\sdata-track\s*=\s*[\"']?off\b", re.IGNORECASE)
_LONGEST = 2000  # characters of an address; a longer one is left as it is, since its token might not be taken
_END = re.compile(r"</body\s*>(?!.*</body\s*>)", re.IGNORECASE | re.DOTALL)


class Rendering(Protocol):
    """What turns a person's context into a message's fields."""

    def render(self, context: Mapping[str, Any]) -> Mapping[str, Any]:
        """Fill in the templates."""
        ...


class Tracked:
    """Renders one variant of a run with the addresses of its own server in it.

    Templates may speak of ``unsubscribe_url`` and ``preferences_url``. In mail links and opens are tracked as the
    campaign says, and ``unsubscribe_url`` is among the fields, for the headers of RFC 8058.

    Args:
        renderer: What fills in the templates.
        links: Makes the addresses; None where the workspace has no public address: then only UTM parameters are added.
        channel: The channel.
        run_id: The run.
        variant: The variant.
        tracking: ``opens`` and ``clicks`` (bool) and ``utm`` (parameters), as frozen in the run.
    """

    def __init__(
        self,
        renderer: Rendering,
        links: Links | None,
        *,
        channel: str,
        run_id: str,
        variant: str,
        tracking: Mapping[str, Any],
    ) -> None:
        self._renderer, self._links = renderer, links
        self._is_mail = channel == Channel.EMAIL
        self._run_id, self._variant = run_id, variant
        self._opens, self._clicks = bool(tracking.get("opens")), bool(tracking.get("clicks"))
        self._utm: Mapping[str, str] = tracking.get("utm") or {}

    def render(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Render for one person; `context` has their `user_id` and the `message_id`.

        Raises:
            ContentError: A template cannot be filled in for them.
        """
        links = self._links
        if links is None:
            content = dict(self._renderer.render(context))
            if self._utm and content.get("html"):
                content["html"] = rewrite_links(content["html"], self._leads)
            return content
        who = Who(self._run_id, context["message_id"], context["user_id"], self._variant)
        unsubscribe, preferences = links.subscriptions(who)
        own = {"unsubscribe_url": unsubscribe, "preferences_url": preferences}
        content = dict(self._renderer.render({**context, **own}))
        if not self._is_mail:
            return content
        if content.get("html"):
            text = content["html"]
            if self._clicks or self._utm:

                def lead(url: str) -> str:
                    if url in (unsubscribe, preferences):
                        return url
                    return links.click(who, self._leads(url)) if self._clicks else self._leads(url)

                text = rewrite_links(text, lead)
            content["html"] = with_pixel(text, links.pixel(who)) if self._opens else text
        content["unsubscribe_url"] = unsubscribe
        return content

    def _leads(self, url: str) -> str:
        return with_utm(url, self._utm) if self._utm else url


def rewrite_links(text: str, lead: Callable[[str], str]) -> str:
    """Change where the web links of an HTML text lead.

    Args:
        text: HTML.
        lead: Told each ``http`` and ``https`` address, gives the new one. Links with ``data-track="off"`` and those
            longer than 2,000 characters stay.

    Returns:
        The same text with other addresses.

    >>> rewrite_links('<a class=x href="https://a.example/?b=1&amp;c=2">', lambda url: url.upper())
    '<a class=x href="HTTPS://A.EXAMPLE/?B=1&amp;C=2">'
    """
    known: dict[str, str] = {}

    def changed(match: re.Match[str]) -> str:
        written = match[1] or match[2] or match[3] or ""
        url = html.unescape(written).strip()
        if url[:8].lower().startswith(("http://", "https://")) and len(url) <= _LONGEST:
            if url not in known:
                known[url] = html.escape(lead(url))
            return f'href="{known[url]}"'
        return match[0]

    return _LINK.sub(lambda tag: tag[0] if _OFF.search(tag[0]) else _HREF.sub(changed, tag[0], count=1), text)


def with_pixel(text: str, url: str) -> str:
    """Put a picture nobody sees at the end of an HTML text's body."""
    picture = f'<img src="{html.escape(url)}" width="1" height="1" alt="" style="display:block;border:0">'
    changed, count = _END.subn(lambda match: picture + match[0], text, count=1)
    return changed if count else text + picture


def with_utm(url: str, parameters: Mapping[str, str]) -> str:
    """Add UTM parameters to an address; those it has already stay as they are.

    Args:
        url: The address.
        parameters: Values by name without ``utm_``: source, medium, campaign, content, term, id.

    >>> with_utm("https://a.example/x?utm_source=own#top", {"source": "engage", "medium": "email"})
    'https://a.example/x?utm_source=own&utm_medium=email#top'
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    there = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    added = [f"utm_{name}={quote(value, safe='')}" for name, value in parameters.items() if f"utm_{name}" not in there]
    return urlunsplit(parts._replace(query="&".join([*filter(None, [parts.query]), *added])))
