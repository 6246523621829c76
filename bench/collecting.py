"""Durable events a second over HTTP, client and server on one machine: ``python bench/collecting.py``."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import httpx

import engage

_KEY, _PORT = "bench", 8765
_BATCHES, _SINGLES, _CONNECTIONS = 600, 4000, 32


async def _timed(path: str, bodies: list[bytes]) -> float:
    given = iter(bodies)
    headers = {"authorization": "Basic " + base64.b64encode(f"{_KEY}:".encode()).decode()}
    async with aiohttp.ClientSession(headers=headers) as http:

        async def send() -> None:
            for body in given:
                async with http.post(f"http://127.0.0.1:{_PORT}{path}", data=body) as answer:
                    answer.raise_for_status()
                    await answer.read()

        began = time.perf_counter()
        await asyncio.gather(*(send() for _ in range(_CONNECTIONS)))
        return time.perf_counter() - began


def _event(number: int) -> dict[str, object]:
    return {"type": "track", "event": "Charged", "userId": f"u{number % 9999}", "properties": {"amount": number}}


def main() -> None:
    """Print both rates."""
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
            batch = [json.dumps({"batch": [_event(i) for i in range(100)]}).encode()] * _BATCHES
            seconds = asyncio.run(_timed("/v1/batch", batch))
            print(f"batches of 100: {_BATCHES * 100 / seconds:,.0f} events/s")
            seconds = asyncio.run(_timed("/v1/track", [json.dumps(_event(1)).encode()] * _SINGLES))
            print(f"single requests: {_SINGLES / seconds:,.0f} a second")
        finally:
            server.terminate()
            server.wait(60)


if __name__ == "__main__":
    main()
