"""The fields of a message from outside, each checked before it is believed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from engage.errors import EngageError
from engage.server.json_text import encode

__all__ = [
    "ANONYMOUS",
    "EARLIEST",
    "Rejected",
    "check_depth",
    "dead_letter",
    "journal_line",
    "moment",
    "object_of",
    "text",
]

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""Nothing happened before it."""

ANONYMOUS = "anonymous"
"""The source of a row whose user_id is that of somebody not known yet: it becomes theirs once they are."""

_DEPTH = 16
_LENGTH = 512  # characters of an id or a name
_MESSAGE = 32 << 10  # bytes of one message, as in Segment


class Rejected(EngageError):
    """A message that cannot be taken, with its reason."""


def text(message: Mapping[str, Any], name: str, *, length: int = _LENGTH) -> str | None:
    """A field as text; None where it is missing or empty. A whole number counts as text.

    Raises:
        Rejected: It is something else, too long, or holds a null character.
    """
    value = message.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise Rejected(f"{name} is not text")
    if isinstance(value, int) and value.bit_length() > 64:
        raise Rejected(f"{name} is too large")
    found = str(value)
    if len(found) > length:
        raise Rejected(f"{name} is longer than {length} characters")
    if "\x00" in found:
        raise Rejected(f"{name} holds a null character")
    return found


def object_of(message: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A field as an object; an empty one where it is missing.

    Raises:
        Rejected: It is something else.
    """
    value = message.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Rejected(f"{name} is not an object")
    return value


def moment(value: Any, name: str) -> datetime:
    """A value as a time; UTC where it names no zone.

    Raises:
        Rejected: It is not ISO 8601.
    """
    try:
        found = datetime.fromisoformat(value)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise Rejected(f"{name} is not an ISO 8601 time") from None


def check_depth(message: Mapping[str, Any]) -> None:
    """Refuse what is nested so deeply that something behind us might choke on it.

    Raises:
        Rejected: It is.
    """
    level: list[Any] = [message]
    for _ in range(_DEPTH):
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, Mapping) else item)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    raise Rejected(f"nested deeper than {_DEPTH} levels")


def journal_line(rows: Mapping[str, Any]) -> bytes:
    """Rows of the lake as one line of the journal.

    Args:
        rows: A row a dataset.

    Raises:
        Rejected: They hold what JSON cannot, or are larger than 32 KiB.
    """
    try:
        line = encode(rows)
    except (ValueError, RecursionError):
        raise Rejected("not JSON: an infinite number or broken Unicode") from None
    if len(line) > _MESSAGE:
        raise Rejected(f"larger than {_MESSAGE} bytes")
    return line + b"\n"


def dead_letter(message: Any, reason: str, received_at: datetime) -> bytes:
    """A line of the journal that keeps a message that was not taken, and why."""
    try:
        kept = json.dumps(message, default=repr)[:_MESSAGE]
    except RecursionError:
        kept = "…"
    return json.dumps({"rejected": reason, "received_at": received_at.isoformat(), "message": kept}).encode() + b"\n"
