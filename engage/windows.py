"""Lengths of time as people write them: "7 days", "36 hours"."""

from __future__ import annotations

import re
from datetime import timedelta

from engage.errors import QueryError

__all__ = ["parse_window"]

_UNITS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
_FORM = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(second|minute|hour|day|week)s?\s*", re.IGNORECASE)


def parse_window(window: str | timedelta) -> timedelta:
    """Read a length of time; a day is 24 hours whatever the clocks do.

    Args:
        window: A number and a unit (second, minute, hour, day, week; singular or plural), or a timedelta.

    Returns:
        The length, longer than zero.

    Raises:
        QueryError: It is not of that form, or not longer than zero.

    >>> parse_window("36 hours")
    datetime.timedelta(days=1, seconds=43200)
    """
    length = window if isinstance(window, timedelta) else None
    if isinstance(window, str) and (form := _FORM.fullmatch(window)):
        try:
            length = timedelta(seconds=float(form[1]) * _UNITS[form[2].lower()])
        except OverflowError:
            length = None
    if length is None or not timedelta(0) < length <= timedelta(days=36_500):
        raise QueryError(
            f"{str(window)[:40]!r} is not a length of time",
            hint='write a number and a unit, such as "7 days"',
        )
    return length
