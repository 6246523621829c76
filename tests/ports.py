"""Ports for servers that other processes open, and for servers that are not there."""

from __future__ import annotations

import secrets
import socket

__all__ = ["free_port"]

_FIRST, _LAST = 20_000, 32_767  # below those that Linux gives to whoever connects or binds to any


def free_port() -> int:
    """A port that nobody listens on, and nobody is given who asks for any before it is opened."""
    while True:
        port = _FIRST + secrets.randbelow(_LAST - _FIRST + 1)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
