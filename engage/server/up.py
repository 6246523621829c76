"""Everything a workspace needs in one command: the server, and a worker that is started again when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Generator

import uvicorn
from starlette.types import ASGIApp

from engage.errors import ConfigurationError
from engage.logs import log
from engage.server.http import LISTENING
from engage.server.notebooks import open_to_people
from engage.workspace import Workspace
from engage.workspace.leading import Leadership

__all__ = ["listening", "up"]

_LONGEST = 60.0  # seconds between two starts of a worker that dies at once
_PATIENCE = 30.0  # seconds a worker may take to stop; it needs a few


def listening(host: str, port: int) -> socket.socket:
    """Take an address before anything else is started.

    Args:
        host: A name or address of this machine.
        port: The port; 0 for any that is free.

    Raises:
        ConfigurationError: It is taken, or not ours.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        taken = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigurationError(f"{host} is no address of this machine", hint="leave out --host") from error
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind(address)
        taken.listen(2048)
    except OSError as error:
        taken.close()
        raise ConfigurationError(
            f"cannot listen on {host}:{port} ({error.strerror})", hint="name another with --port or --host"
        ) from error
    return taken


def up(workspace: Workspace, app: Callable[[], ASGIApp], taken: socket.socket, *, ready: Callable[[int], None]) -> None:
    """Serve a workspace and do its work until SIGTERM or SIGINT, which stop both cleanly.

    The worker is a process of its own, so that a heavy send takes nothing from those who look at pages. It ends with
    this process, even if this one is killed.

    Args:
        workspace: The workspace.
        app: Makes the application, once it is certain that no other worker leads.
        taken: Where to listen; see :func:`listening`.
        ready: Told the worker's process id once people are answered.

    Raises:
        ConfigurationError: Another worker leads, another server collects, or the worker cannot start.
    """
    with Leadership(workspace):
        pass  # refuses, with the other's process, before anything of ours runs
    config = uvicorn.Config(app(), log_level="warning", timeout_graceful_shutdown=5, **LISTENING)
    open_to_people(workspace)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_run(_Server(config), _Worker(workspace), taken, ready))


class _Server(uvicorn.Server):
    """A server that leaves signals to us: its own handling would end this process before the worker has stopped."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def _run(server: _Server, worker: _Worker, taken: socket.socket, ready: Callable[[int], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        server.force_exit = stop.is_set()  # a second signal waits for nobody's answer
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    serving = asyncio.create_task(server.serve(sockets=[taken]))
    working = asyncio.create_task(worker.keep(stop))
    stopping = asyncio.create_task(stop.wait())
    telling = asyncio.create_task(_tell(server, worker, ready))
    try:
        await asyncio.wait({serving, working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.set()
        telling.cancel()
        server.should_exit = True
        results = await asyncio.gather(serving, working, return_exceptions=True)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    for result in results:
        if isinstance(result, BaseException):
            raise result


async def _tell(server: _Server, worker: _Worker, ready: Callable[[int], None]) -> None:
    while not (server.started and worker.process):
        await asyncio.sleep(0.05)
    ready(worker.process.pid)


class _Worker:
    """``engage worker`` in a process of its own, kept alive."""

    def __init__(self, workspace: Workspace) -> None:
        self._command = [sys.executable, "-m", "engage", "-w", str(workspace.root), "worker", "--with-parent"]
        self.process: asyncio.subprocess.Process | None = None

    async def keep(self, stop: asyncio.Event) -> None:
        """Start it, again whenever it died, later each time it dies at once; until told to stop."""
        wait, lived = 0.5, False
        while not stop.is_set():
            began = time.monotonic()
            # A session of its own: a terminal's Ctrl-C reaches us alone, and we tell it in our order.
            self.process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.PIPE, start_new_session=True
            )
            ended = asyncio.create_task(self.process.wait())
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if stop.is_set():
                await self._end(ended)
                return
            seconds = time.monotonic() - began
            lived = lived or seconds > 10 or ended.result() != 2
            if not lived:
                raise ConfigurationError("the worker cannot start", hint="it told why above")
            wait = 1.0 if seconds > _LONGEST else min(_LONGEST, wait * 2)
            log("worker_died", level=logging.ERROR, code=ended.result(), again_in=wait)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), wait)

    async def _end(self, ended: asyncio.Task[int]) -> None:
        assert self.process is not None
        if not ended.done():
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(ended), _PATIENCE)
        if not ended.done():
            log("worker_killed", level=logging.ERROR, pid=self.process.pid)
            self.process.kill()
            await ended
