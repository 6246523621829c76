"""What both push services are told in the same words."""

from __future__ import annotations

from engage.errors import UnsupportedContentError

__all__ = ["badge", "seconds"]

_LONGEST = 2_419_200  # seconds: four weeks, the most either service keeps a message


def badge(given: object) -> int:
    """The number on the app's icon.

    Raises:
        UnsupportedContentError: It is not a whole number from 0.
    """
    text = str(given).strip()
    if not (text.isascii() and text.isdecimal()):
        raise UnsupportedContentError(
            f"badge {text[:20]!r} is not a number", where="push", hint="write 1, or 0 for none"
        )
    return int(text[:9])


def seconds(given: object, default: int) -> int:
    """How long the push service keeps a message, in seconds; 0 is: try once.

    Raises:
        UnsupportedContentError: It is not 0 to four weeks.
    """
    try:
        found = int(str(given)) if given not in (None, "") else default
    except ValueError:
        found = -1
    if not 0 <= found <= _LONGEST:
        raise UnsupportedContentError(f"ttl {str(given)[:20]!r} is not 0 to {_LONGEST} seconds", where="push")
    return found
