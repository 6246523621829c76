"""Hours, days, weeks and months, counted in the workspace's time zone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from typing import Literal
from zoneinfo import ZoneInfo

from engage.errors import QueryError
from engage.lake.wall_clock import local_day
from engage.settings import WEEKDAYS, Settings

__all__ = ["Calendar", "Period"]

Period = Literal["hour", "day", "week", "month"]

_EPOCH = date(1970, 1, 1)  # a Thursday
_HOUR = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Calendar:
    """Numbers periods, so that a distance between two is a difference of integers.

    Args:
        period: hour, day, week or month.
        timezone: IANA name of the zone they are counted in.
        week_start: 0 for Monday … 6 for Sunday.
    """

    period: str
    timezone: str = "UTC"
    week_start: int = 0

    @classmethod
    def of(cls, period: str, settings: Settings, week_start: str | int | None = None) -> Calendar:
        """The calendar of a workspace.

        Raises:
            QueryError: There is no such period or weekday.
        """
        if period not in ("hour", "day", "week", "month"):
            raise QueryError(f"there is no period {period!r}", hint="use hour, day, week or month")
        first = settings.week_start if week_start is None else week_start
        if isinstance(first, int) and 0 <= first <= 6:
            return cls(period, settings.timezone, first)
        if str(first).lower() not in WEEKDAYS:
            raise QueryError(f"week_start {first!r} is not a weekday", hint='write e.g. "monday"')
        return cls(period, settings.timezone, WEEKDAYS.index(str(first).lower()))

    def sql(self, time: str) -> str:
        """SQL of the number of the period a time (TIMESTAMPTZ, a column or little more) is in."""
        day = local_day(time, self.timezone)
        if self.period == "hour":
            return f"((epoch_us({time}) + {self._minutes * 60_000_000}) // {_HOUR})::int"
        if self.period == "day":
            return f"({day} - date '1970-01-01')::int"
        if self.period == "week":
            # Counted from a first weekday far in the past, since // rounds towards zero.
            return f"(({day} - date '{self._first_week().isoformat()}') // 7)::int"
        return f"(year({day}) * 12 + month({day}) - 1)::int"

    def number(self, moment: datetime) -> int:
        """The number of the period a time is in."""
        day = moment.astimezone(ZoneInfo(self.timezone)).date()
        if self.period == "hour":
            return int((moment.astimezone(UTC).timestamp() + self._minutes * 60) // 3600)
        if self.period == "day":
            return (day - _EPOCH).days
        if self.period == "week":
            return (day - self._first_week()).days // 7
        return day.year * 12 + day.month - 1

    def start(self, number: int) -> datetime:
        """The first instant of a period, in the calendar's zone.

        Raises:
            QueryError: It lies outside the years 1 to 9999.
        """
        zone = ZoneInfo(self.timezone)
        if self.period == "hour":
            with self._within_time():
                return datetime.fromtimestamp(number * 3600 - self._minutes * 60, tz=zone)
        return datetime.combine(self.day(number), clock_time(), tzinfo=zone)

    def day(self, number: int) -> date:
        """The first day of a period.

        Raises:
            QueryError: It lies outside the years 1 to 9999.
        """
        if self.period == "hour":
            return self.start(number).date()
        with self._within_time():
            if self.period == "day":
                return _EPOCH + timedelta(days=number)
            if self.period == "week":
                return self._first_week() + timedelta(weeks=number)
            return date(number // 12, number % 12 + 1, 1)

    @contextmanager
    def _within_time(self) -> Iterator[None]:
        try:
            yield
        except (OverflowError, OSError, ValueError):
            raise QueryError(
                f"{self.period}s outside the years 1 to 9999 are asked for", hint="ask for fewer"
            ) from None

    @property
    def microseconds(self) -> int:
        """The length of a period that has one.

        Raises:
            QueryError: Months have no fixed length.
        """
        hours = {"hour": 1, "day": 24, "week": 168}.get(self.period)
        if hours is None:
            raise QueryError("a month has no fixed length", hint="use hour, day or week with 24-hour windows")
        return hours * _HOUR

    @property
    def _minutes(self) -> int:
        """Minutes past the full hour that the zone's hours begin, as in India."""
        if self.timezone == "UTC":
            return 0
        offset = datetime(2024, 1, 1, tzinfo=ZoneInfo(self.timezone)).utcoffset() or timedelta()
        return int(offset.total_seconds()) // 60 % 60

    def _first_week(self) -> date:
        return date(1, 1, 1) + timedelta(days=self.week_start)  # 0001-01-01 was a Monday
