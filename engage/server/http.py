"""How the server listens: HTTP/1.1 by httptools on uvloop, bounding clients that send slowly or without end.

The parser itself bounds neither. A proxy does, but a server without one must not be held by a few hundred connections
that never get to the point.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["LISTENING", "Connection"]

_HEAD = 64 << 10  # bytes of a request's first line and headers
_HEAD_SECONDS = 20.0  # from connecting, or from a head's first byte, to its last
_LINGER = 5.0  # seconds for the rest of a body after its answer, so that the answer can be read


class Connection(HttpToolsProtocol):
    """One connection, which is closed when it takes too long."""

    head_seconds = _HEAD_SECONDS
    linger = _LINGER

    _timer: asyncio.TimerHandle | None = None
    _in_head = False
    _head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, but not for ever."""
        super().connection_made(transport)
        self._close_after(self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has come; a head that is not whole by then has a deadline and a length."""
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        self._head += len(data)
        if self._head > _HEAD:
            self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
            self.transport.close()
        elif self._timer is None:
            self._close_after(self.head_seconds)

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head, self._head = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head is whole."""
        self._in_head = False
        self._cancel()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A body is whole."""
        if self._timer is not None:
            self._cancel()
            self.cycle.more_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer has been given; whoever still sends the body has a moment to read it."""
        unread = self.cycle.more_body
        super().on_response_complete()
        if unread and not self.transport.is_closing():
            self._close_after(self.linger)

    def _close_after(self, seconds: float) -> None:
        self._cancel()
        self._timer = self.loop.call_later(seconds, self.transport.close)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


LISTENING: dict[str, Any] = {"http": Connection, "loop": "uvloop", "access_log": False, "server_header": False}
"""What uvicorn is told wherever it serves the workspace."""
