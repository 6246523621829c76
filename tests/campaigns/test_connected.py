from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import engage
from engage.campaigns.connected import Connected, Fetcher, read_connected
from engage.campaigns.editing import create_campaign
from engage.errors import ConfigurationError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def weather() -> Iterator[tuple[str, Counter[str]]]:
    asked: Counter[str] = Counter()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked[self.path] += 1
            if self.path.endswith("moved"):
                self.send_response(302)
                self.send_header("location", "/Berlin")
                self.end_headers()
                return
            body = {"big": b'"' + b"x" * 100_000 + b'"', "bad": b"{"}.get(
                self.path.strip("/"), json.dumps({"city": self.path.strip("/")}).encode()
            )
            self.send_response(500 if self.path.endswith("down") else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def answer(url: str, **profile: str) -> Any:
    context: dict[str, Any] = {"user_id": "a", "profile": profile}
    fetcher = Fetcher(allow_private=True)
    fetcher.add([Connected("w", url)], [context])
    fetcher.close()
    return context["connected"].get("w")


def test_what_cannot_be_used_is_missing(weather: tuple[str, Counter[str]]) -> None:
    url, _ = weather
    assert answer(f"{url}/{{profile.city}}", city="a/b?c") == {"city": "a%2Fb%3Fc"}
    for path in ("down", "moved", "big", "bad"):
        assert answer(f"{url}/{path}") is None
    assert answer(f"{url}/{{profile.city}}") is None
    assert answer("http://127.0.0.1:9/x") is None


def test_inner_addresses_are_not_asked(weather: tuple[str, Counter[str]]) -> None:
    url, asked = weather
    context: dict[str, Any] = {"user_id": "a"}
    fetcher = Fetcher()
    for inner in (
        url,
        url.replace("http:", "https:"),
        url.replace("127.0.0.1", "localhost").replace("http:", "https:"),
    ):
        fetcher.add([Connected("w", inner)], [context])
        assert context["connected"] == {}
    fetcher.close()
    assert not asked


def test_a_campaign_is_frozen_with_what_was_fetched_once(
    workspace: engage.Workspace, weather: tuple[str, Counter[str]]
) -> None:
    url, asked = weather
    space = engage.Workspace(replace(workspace.settings, options={"connected_allow_private": True}))
    rows = [{"user_id": f"u{n}", "email": f"u{n}@example.com", "city": ("Berlin", "Oslo")[n % 2]} for n in range(10)]
    space.land_profiles([*rows, {"user_id": "z", "email": "z@example.com"}], now=NOON - timedelta(days=1))
    values = {
        "channel": "email",
        "everyone": True,
        "content": {"subject": "{{ connected.w.city | default('somewhere') }}", "text": "x"},
        "connected": {"w": {"url": f"{url}/{{profile.city}}", "timeout": 2}},
    }
    create_campaign(space.settings, "news", values, {})
    shown = {m["user_id"]: m["subject"] for m in space.campaign("news").preview(NOON, 11)}
    assert (shown["u0"], shown["u1"], shown["z"]) == ("Berlin", "Oslo", "somewhere")
    assert asked == {"/Berlin": 1, "/Oslo": 1}


@pytest.mark.parametrize("url", ["ftp://x/y", "https://{profile.host}/x", "https://me@x/y", "", "x"])
def test_an_address_has_a_fixed_host(url: str) -> None:
    with pytest.raises(ConfigurationError, match="fixed host"):
        read_connected({"w": {"url": url}}, "campaign.toml")
