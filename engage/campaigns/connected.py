"""Connected content: what an HTTP endpoint says of a person, fetched while planning and frozen with the run."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import httpx

from engage.channels.webhook import forbidden_address
from engage.errors import ConfigurationError, EngageError
from engage.windows import parse_window

__all__ = ["Connected", "Fetcher", "read_connected"]

_LARGEST = 64 * 1024  # bytes of an answer
_PLACE = re.compile(r"\{([A-Za-z_][\w.]*)\}")
_CACHED = 50_000  # answers kept
_THREADS = 8


@dataclass(frozen=True, slots=True)
class Connected:
    """One endpoint.

    Args:
        name: Templates say ``connected.<name>``.
        url: With ``{user_id}`` and ``{profile.city}`` for what differs by person; values are percent-encoded.
        cache: How long an answer is used again.
        timeout: Seconds an answer may take in all.
    """

    name: str
    url: str
    cache: timedelta = timedelta(hours=1)
    timeout: float = 3.0

    def filled(self, context: Mapping[str, Any]) -> str | None:
        """The address for one person; None where a value it needs is missing."""
        missing = False

        def value(match: re.Match[str]) -> str:
            nonlocal missing
            found: Any = context
            for part in match[1].split("."):
                found = found.get(part) if isinstance(found, Mapping) else None
            missing = missing or found in (None, "")
            return quote(str(found), safe="")

        url = _PLACE.sub(value, self.url)
        return None if missing else url


def read_connected(values: Mapping[str, Mapping[str, Any]], where: str) -> tuple[Connected, ...]:
    """Read ``[connected.<name>]`` tables: ``url``, ``cache`` and ``timeout`` in seconds.

    Raises:
        ConfigurationError: One is not such a table, or its address is not https with a fixed host.
    """
    found = []
    for name, table in values.items():
        inner = f"{where} [connected.{name}]"
        if not isinstance(table, Mapping) or set(table) - {"url", "cache", "timeout"} or not name.isidentifier():
            raise ConfigurationError("needs url, and may have cache and timeout", where=inner)
        url, timeout = str(table.get("url", "")), table.get("timeout", 3)
        host = url.partition("://")[2].partition("/")[0]
        if not url.startswith(("https://", "http://")) or not host or "{" in host or "@" in host:
            raise ConfigurationError(
                "url is not https with a fixed host", where=inner, hint="https://api.example/{user_id}"
            )
        if not isinstance(timeout, (int, float)) or not 0 < timeout <= 30:
            raise ConfigurationError("timeout is not between 0 and 30 seconds", where=inner)
        try:
            found.append(Connected(name, url, parse_window(table.get("cache", "1 hour")), float(timeout)))
        except EngageError as error:
            raise ConfigurationError(error.what, where=inner, hint=error.hint) from error
    return tuple(found)


class Fetcher:
    """Fetches connected content, each address once while its answer is fresh.

    Only public addresses are asked, over https, without following redirects: the name is resolved once, each of its
    addresses is judged, and the connection goes to the one that was judged, so that a name cannot turn into an inner
    host in between (OWASP, Server-Side Request Forgery Prevention).

    Args:
        allow_private: Also ask inner addresses and plain http, for endpoints of one's own.
        transport: The network; a test's.
    """

    def __init__(self, *, allow_private: bool = False, transport: httpx.BaseTransport | None = None) -> None:
        self._allow_private = allow_private
        self._client = httpx.Client(transport=transport, follow_redirects=False, trust_env=False)
        self._cache: dict[str, tuple[float, Any]] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Give back its connections."""
        self._client.close()

    def add(self, sources: Iterable[Connected], contexts: list[dict[str, Any]]) -> None:
        """Put ``connected`` into people's contexts; what cannot be fetched is missing, for templates to default."""
        wanted: dict[str, Connected] = {}
        places: list[tuple[dict[str, Any], str, str]] = []
        for context in contexts:
            context["connected"] = {}
            for source in sources:
                if (url := source.filled(context)) is not None:
                    wanted[url] = source
                    places.append((context["connected"], source.name, url))
        with ThreadPoolExecutor(_THREADS) as pool:
            answers = dict(zip(wanted, pool.map(self._answer, wanted, wanted.values()), strict=True))
        for connected, name, url in places:
            if answers[url] is not None:
                connected[name] = answers[url]

    def _answer(self, url: str, source: Connected) -> Any:
        with self._lock:
            until, answer = self._cache.get(url, (0.0, None))
        if time.monotonic() < until:
            return answer
        answer = self._fetch(url, source.timeout)
        with self._lock:
            if len(self._cache) >= _CACHED:
                self._cache.clear()
            self._cache[url] = (time.monotonic() + source.cache.total_seconds(), answer)
        return answer

    def _fetch(self, url: str, timeout: float) -> Any:
        deadline = time.monotonic() + timeout
        try:
            asked = httpx.URL(url)
            if asked.scheme != "https" and not self._allow_private:
                return None
            address = self._judged(asked.host, asked.port or (443 if asked.scheme == "https" else 80))
            if address is None:
                return None
            headers = {"host": asked.netloc.decode(), "accept": "application/json"}
            extensions = {"sni_hostname": asked.host}
            request = self._client.build_request(
                "GET", asked.copy_with(host=address), headers=headers, extensions=extensions, timeout=timeout
            )
            response = self._client.send(request, stream=True)
            try:
                if response.status_code != 200:
                    return None
                body = b""
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > _LARGEST or time.monotonic() > deadline:
                        return None
            finally:
                response.close()
            return json.loads(body)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError, RecursionError):
            return None

    def _judged(self, host: str, port: int) -> str | None:
        addresses = [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        if not self._allow_private and any(map(forbidden_address, addresses)):
            return None
        return addresses[0].partition("%")[0] if addresses else None
