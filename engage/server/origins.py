"""Which requests come from our own pages, so that no other site can act with somebody's session.

Browsers say it themselves in ``Sec-Fetch-Site``, which no page can change, and older ones in ``Origin``; so forms need
no secret of their own. Source: https://www.w3.org/TR/fetch-metadata/, https://www.rfc-editor.org/rfc/rfc6454
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

__all__ = ["Origins"]

_SAFE = ("GET", "HEAD")


class Origins:
    """Tells our own pages from others.

    Args:
        public_url: Where people reach the server, as they write it; '' where it is not said.
    """

    def __init__(self, public_url: str) -> None:
        self._public = urlsplit(public_url)

    def of(self, connection: HTTPConnection) -> str:
        """Our own origin, as the one who asks knows it."""
        if self._public.netloc:
            return f"{self._public.scheme}://{self._public.netloc}"
        return f"{'https' if self.secure(connection) else 'http'}://{connection.headers.get('host', '')}"

    def secure(self, connection: HTTPConnection) -> bool:
        """Whether people reach us over TLS."""
        return self._public.scheme == "https" or connection.scope["scheme"] in ("https", "wss")

    def foreign(self, connection: HTTPConnection) -> bool:
        """Whether another site's page asks. Following a link to us is no fault; anything else is."""
        method = connection.scope.get("method", "")  # none of a websocket
        site = connection.headers.get("sec-fetch-site")
        if site is not None:
            followed = method in _SAFE and connection.headers.get("sec-fetch-mode") == "navigate"
            framed = connection.headers.get("sec-fetch-dest") in ("iframe", "frame", "object", "embed")
            return site not in ("same-origin", "none") and (framed or not followed)
        origin = connection.headers.get("origin")
        if origin is not None:
            return urlsplit(origin).netloc not in {connection.headers.get("host", ""), self._public.netloc} - {""}
        return method not in _SAFE  # a browser always names the origin of what may change something
