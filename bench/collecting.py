"""Durable events a second over HTTP, client and server on one machine: ``python bench/collecting.py``.

The client writes requests made beforehand onto connections it keeps, each once the one before it is answered: what it
costs is little beside what the server does. Processor time is told beside the rates, since it hardly changes with what
else the machine is doing.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import httpx
import uvloop

import engage

_KEY, _PORT = "bench", 8765
_BASIC = base64.b64encode(f"{_KEY}:".encode()).decode()


class _Connection(asyncio.Protocol):
    """Sends the next request whenever one was answered with 200."""

    def __init__(self, requests: Iterator[bytes], ended: asyncio.Future[None]) -> None:
        self._requests, self._ended, self._answer = requests, ended, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._next()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if self._answer.endswith(b'{"success":true}'):
            if not self._answer.startswith(b"HTTP/1.1 200 "):
                raise SystemExit(self._answer.decode())
            self._answer = b""
            self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._ended.done():
            self._ended.set_exception(error or ConnectionError(f"the server hung up: {self._answer!r}"))

    def _next(self) -> None:
        if (request := next(self._requests, None)) is not None:
            self._transport.write(request)
        elif not self._ended.done():
            self._ended.set_result(None)
            self._transport.close()


async def _timed(requests: list[bytes], connections: int) -> float:
    loop, given = asyncio.get_running_loop(), iter(requests)
    ends = [loop.create_future() for _ in range(connections)]
    began = time.perf_counter()
    for ended in ends:
        await loop.create_connection(lambda ended=ended: _Connection(given, ended), "127.0.0.1", _PORT)
    async with asyncio.timeout(300):
        await asyncio.gather(*ends)
    return time.perf_counter() - began


def _request(path: str, body: object) -> bytes:
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic {_BASIC}\r\nContent-Length: {len(data)}"
    return head.encode() + b"\r\nContent-Type: application/json\r\n\r\n" + data


def _event(number: int) -> dict[str, object]:
    return {"type": "track", "event": "Charged", "userId": f"u{number % 9999}", "properties": {"amount": number}}


def _processor(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _measure(what: str, requests: list[bytes], each: int, connections: int, pid: int) -> None:
    before, own = _processor(pid), resource.getrusage(resource.RUSAGE_SELF)
    seconds = uvloop.run(_timed(requests, connections))
    spent, after = _processor(pid) - before, resource.getrusage(resource.RUSAGE_SELF)
    client = after.ru_utime + after.ru_stime - own.ru_utime - own.ru_stime
    print(
        f"{what}: {len(requests) * each / seconds:,.0f} a second; processor time of server and client "
        f"{spent / len(requests) * 1e6:,.0f} + {client / len(requests) * 1e6:,.0f} µs a request",
        flush=True,
    )


def main() -> None:
    """Print both rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=600)
    parser.add_argument("--singles", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=64)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = engage.Workspace.create(Path(folder) / "workspace")
        command = [sys.executable, "-m", "engage", "-w", str(workspace.root), "serve", "--port", str(_PORT)]
        server = subprocess.Popen(
            command,
            env=os.environ | {"ENGAGE_WRITE_KEYS": _KEY, "ENGAGE_SECRET_KEY": _KEY * 8},
            stderr=subprocess.DEVNULL,
        )
        try:
            for _ in range(600):
                try:
                    httpx.get(f"http://127.0.0.1:{_PORT}/health")
                    break
                except httpx.HTTPError:
                    if server.poll() is not None:
                        raise SystemExit("the server ended by itself") from None
                    time.sleep(0.1)
            print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
            batch = _request("/v1/batch", {"batch": [_event(number) for number in range(100)]})
            _measure("events in batches of 100", [batch] * given.batches, 100, given.connections, server.pid)
            singles = [_request("/v1/track", _event(number)) for number in range(given.singles)]
            _measure("single requests", singles, 1, given.connections, server.pid)
        finally:
            server.terminate()
            server.wait(60)


if __name__ == "__main__":
    main()
