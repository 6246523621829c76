"""A shop of another origin than the server, under a strict content security policy."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Shop</title>
<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/shop.css">
<script src="{server}/sdk/engage.js" data-key="{key}" defer></script></head>
<body><main><h1>Shop</h1><p>Hats and coats.</p><a href="/about">About us</a> <button id="subscribe">Notify me</button>
<engage-inbox></engage-inbox><div class="tall"></div></main></body></html>"""
_CSS = "body{font-family:sans-serif;margin:24px}.tall{height:2000px}engage-inbox{position:absolute;top:12px;right:12px}"


class Site:
    """The shop, in a thread.

    Args:
        server: Address of the engage server.
        key: Its write key.
    """

    def __init__(self, server: str, key: str) -> None:
        policy = (
            f"default-src 'none'; script-src 'self' {server}; connect-src {server}; style-src 'self'; img-src 'self'; "
            "worker-src 'self'; base-uri 'none'; form-action 'none'; "
            "require-trusted-types-for 'script'; trusted-types engage"
        )
        files = {
            "/shop.css": ("text/css", _CSS),
            "/engage-sw.js": ("text/javascript", f"importScripts('{server}/sdk/engage-sw.js')"),
        }
        self.page = _PAGE.format(server=server, key=key)
        page = self.page

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                kind, text = files.get(self.path, ("text/html; charset=utf-8", page))
                body = text.encode()
                self.send_response(200)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                if not kind.startswith("text/javascript"):
                    self.send_header("content-security-policy", policy)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a browser that is closed hangs up

        self._http = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
