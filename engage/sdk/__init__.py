"""What pages load: ``engage.js`` and its service worker, as they are served; no build step makes them."""

from __future__ import annotations

from pathlib import Path

__all__ = ["FILES", "read_file"]

FILES = ("engage.js", "engage-sw.js")
"""The files there are."""


def read_file(name: str) -> str:
    """One of :data:`FILES`."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")
