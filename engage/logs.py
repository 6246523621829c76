"""One line of JSON for each thing that happened, for whoever runs this; no personal data, no secrets.

Lines go to the logger ``engage``; who embeds the package routes them as any other. ``engage worker`` prints them.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

__all__ = ["log", "print_logs"]

_logger = logging.getLogger("engage")
_logger.addHandler(logging.NullHandler())


def log(event: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Tell that something happened.

    Args:
        event: What, in one or two words joined by ``_``.
        level: How grave, as in `logging`.
        fields: Names, counts and times: ids of runs and campaigns, never of people, never an address.
    """
    if _logger.isEnabledFor(level):
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "level": logging.getLevelName(level).lower(), "event": event, **fields}
        _logger.log(level, json.dumps(line, ensure_ascii=False, default=str))


def print_logs() -> None:
    """Print every line to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    _logger.addHandler(handler)
    _logger.setLevel(logging.INFO)
    _logger.propagate = False
