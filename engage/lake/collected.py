"""How far what a server collects has landed, so that nobody takes a stretch of time for complete before it is."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

from engage.settings import Settings

__all__ = ["collected_until", "mark_collected"]

_FILE = "landed"
_SILENT = 60.0  # seconds; a server says every second how far it is
_FORGOTTEN = 86_400.0


def mark_collected(folder: Path, upto: datetime) -> None:
    """Say that everything received before a time has landed.

    Args:
        folder: The folder of the server's journal.
        upto: The time.
    """
    draft = folder / f"{_FILE}.{os.getpid()}.tmp"
    draft.write_text(upto.isoformat(), encoding="utf-8")
    draft.replace(folder / _FILE)


def collected_until(settings: Settings) -> datetime | None:
    """Up to when everything received has landed.

    Returns:
        The time; None where no server collects, and none has left anything behind that is to land.
    """
    folder = settings.data / "journal"
    try:
        upto = datetime.fromisoformat((folder / _FILE).read_text(encoding="utf-8")).astimezone(UTC)
        silent = time.time() - (folder / _FILE).stat().st_mtime
    except (OSError, ValueError):
        return None
    if silent > _FORGOTTEN or (silent > _SILENT and not any(folder.glob("*.ndjson"))):
        return None
    return upto
