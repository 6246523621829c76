"""A provider that takes webhooks over HTTP and logs what it accepted: ``python bench/provider.py LOG [seconds]``.

Its port is printed first. Each message is logged in one line, ``webhook-id message-id``, by one appending write before
the answer leaves, so that whoever is killed, the log tells what was delivered. It answers after `seconds`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class Connection(asyncio.Protocol):
    """One client; requests are answered in their order."""

    def __init__(self, log: int, wait: float) -> None:
        self._log, self._wait, self._buffer = log, wait, b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            at = head.index(b"content-length:") + 15
            length = int(head[at:].partition(b"\r\n")[0])
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            at = head.find(b"webhook-id:") + 11
            self._accept(head[at:].partition(b"\r\n")[0].strip().decode(), body)

    def _accept(self, key: str, body: bytes) -> None:
        if self._log >= 0:
            data = json.loads(body)["data"]
            people = data if isinstance(data, list) else [data]
            os.write(self._log, "".join(f"{key} {person['message_id']}\n" for person in people).encode())
        if self._wait:
            asyncio.get_running_loop().call_later(self._wait, self._answer)
        else:
            self._answer()

    def _answer(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_ANSWER)


async def serve(log: str, wait: float) -> None:
    """Serve until killed; a log named ``-`` keeps nothing."""
    file = -1 if log == "-" else os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(file, wait), "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 0.0))
