"""Times as people write them: lengths, "7 days", and points, "2026-03-01"."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from engage.errors import QueryError

__all__ = ["moment", "parse_window"]

_UNITS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
_FORMS = "write 2026-03-01 or 2026-03-01T09:30+01:00"
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


def moment(value: str | date | datetime | None, timezone: str) -> datetime | None:
    """Read a point in time.

    Args:
        value: A time; a date or a time without a zone is taken in `timezone`, a date at its first instant.
        timezone: IANA name.

    Returns:
        The time in UTC, or None for None.

    Raises:
        QueryError: It is neither a date nor a time, or the time lies outside the years 1900 to 9998.
    """
    if value is None:
        return None
    given = value
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise QueryError(f"{value!r} is not a time", hint=_FORMS) from None
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    elif not isinstance(value, datetime):
        raise QueryError(f"{str(value)[:40]!r} is not a time", hint=_FORMS)
    if value.tzinfo is None:
        value = value.replace(tzinfo=ZoneInfo(timezone))
    # Nearer to the first and the last year that there are, some period around the time would lie outside of them.
    if not 1900 <= value.year <= 9998:
        raise QueryError(f"{str(given)[:40]!r} lies outside the years 1900 to 9998")
    return value.astimezone(UTC)
