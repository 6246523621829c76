"""The server of ``engage demo providers``, run in a thread."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from engage.sample.providers import Received, create_providers
from engage.sample.providers.facebook import Account


class StandIns:
    """All providers: where they are, what they received, and the ad account at Facebook."""

    def __init__(self) -> None:
        self.received, self.account = Received(), Account()
        self.url = ""


@contextmanager
def stand_ins() -> Iterator[StandIns]:
    """Run the providers on a port of their own."""
    made = StandIns()
    app = create_providers(made.received, made.account)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        made.url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        config = uvicorn.Config(app, log_level="error", lifespan="off", ws="none", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
        thread.start()
        try:
            yield made
        finally:
            server.should_exit = True
            thread.join()
