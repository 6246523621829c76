"""When a campaign's messages are due: now, at a time, by cron, by the user's clock, on events and dates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from engage.campaigns.limits import clock_time
from engage.errors import ConfigurationError, EngageError
from engage.vocabulary import DeliveryType
from engage.windows import parse_window

__all__ = ["Occurrence", "Schedule", "occurrences_due", "read_schedule"]

_KEYS = {
    "at", "cron", "timezone", "local_time", "usual_hour", "event", "after", "unless", "property", "offset_days",
    "yearly", "time",
}  # fmt: skip
_EARLIEST_ZONE = timedelta(hours=14)  # Kiribati's clocks are the first to show a time
_SOON = timedelta(seconds=2)  # triggers are looked for in stretches of this length
_LATER = timedelta(minutes=1)  # and of this, where messages wait after the event anyway


@dataclass(frozen=True, slots=True)
class Schedule:
    """When messages are due; all empty means once, when it is sent by hand or launched.

    Args:
        at: Once, then.
        cron: Recurring: five fields, minute to weekday, in `timezone`.
        timezone: IANA name.
        local_time: At that time of day by each user's own clock, on the day of `at` or `cron`.
        usual_hour: At the hour each user is usually there, within a day of `at` or `cron`.
        event: Triggered by an event: its name, or ``{event, where}``.
        after: How long after the event.
        unless: An event between the two that makes the message needless.
        date_property: A profile property that is a date.
        offset_days: Days after that date; negative for before.
        yearly: The date comes round each year, as birthdays do.
        time_of_day: The time of day for date properties, in `timezone`.
    """

    at: datetime | None = None
    cron: str | None = None
    timezone: str = "UTC"
    local_time: time | None = None
    usual_hour: bool = False
    event: Any = None
    after: timedelta = timedelta(0)
    unless: Any = None
    date_property: str | None = None
    offset_days: int = 0
    yearly: bool = False
    time_of_day: time = time(9)

    @property
    def immediate(self) -> bool:
        """Whether messages are due at the very event."""
        return self.event is not None and not self.after

    @property
    def delivery_type(self) -> str:
        """How sends come about, as reports call it."""
        if self.event is not None:
            return str(DeliveryType.INACTIVITY if self.unless is not None else DeliveryType.TRIGGERED)
        if self.date_property:
            return str(DeliveryType.DATE_BASED)
        return str(DeliveryType.RECURRING if self.cron else DeliveryType.ONE_TIME)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One time a campaign is due.

    Args:
        id: Its name among the campaign's; its run is ``<campaign>-<id>``.
        at: When it is due, UTC.
        since: For triggers: triggers that fell due after then.
        until: For triggers: up to and including then.
        day: For dates and local times: the day by the schedule's calendar.
        part: ``sample`` or ``rest`` of a campaign whose best variant is chosen after a sample; empty for all.
    """

    id: str
    at: datetime
    since: datetime | None = None
    until: datetime | None = None
    day: date | None = None
    part: str = ""

    def parts(self, after: timedelta | None, clock: datetime) -> list[Occurrence]:
        """What of it is due: itself, or a sample and, once that was waited for, the rest.

        Args:
            after: How long the sample's answers are waited for; None without a sample.
            clock: The clock.
        """
        if after is None:
            return [self]
        sample, rest = (
            replace(self, part="sample"),
            replace(self, part="rest", id=f"{self.id}-rest", at=self.at + after),
        )
        return [sample, rest] if rest.at <= clock else [sample]


def read_schedule(values: Mapping[str, Any], timezone: str, where: str) -> Schedule:
    """Read ``[schedule]`` of ``campaign.toml``.

    Args:
        values: The table.
        timezone: The workspace's.
        where: The file, for errors.

    Raises:
        ConfigurationError: A key or value is not one of a schedule's; it names it.
    """
    where = f"{where} [schedule]"
    if unknown := sorted(set(values) - _KEYS):
        raise ConfigurationError(f"unknown key {unknown[0]!r}", where=where, hint=f"use {', '.join(sorted(_KEYS))}")
    kinds = [key for key in ("at", "cron", "event", "property") if key in values]
    if len(kinds) > 1:
        raise ConfigurationError(f"{kinds[0]} and {kinds[1]} exclude each other", where=where, hint="leave one")
    if not kinds and values:
        raise ConfigurationError("says not when", where=where, hint="give at, cron, event or property")
    for key, of in (("after", "event"), ("unless", "event"), ("offset_days", "property"), ("yearly", "property")):
        if key in values and of not in values:
            raise ConfigurationError(f"{key} needs {of}", where=where)
    zone = str(values.get("timezone", timezone))
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigurationError(f"timezone {zone!r} is not known", where=where, hint='e.g. "Europe/Berlin"') from error
    cron = values.get("cron")
    if cron is not None:
        try:
            CronSim(str(cron), datetime(2026, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            hint = 'five fields: minute hour day month weekday, e.g. "0 9 * * MON"'
            raise ConfigurationError(f"cron {cron!r}: {error}", where=where, hint=hint) from error
    try:
        after = parse_window(values["after"]) if values.get("after") else timedelta(0)
    except EngageError as error:
        raise ConfigurationError(error.what, where=where, hint=error.hint) from error
    if values.get("unless") is not None and not after:
        raise ConfigurationError("unless needs after", where=where, hint='write after = "2 hours"')
    return Schedule(
        at=instant(values["at"], zone, where) if "at" in values else None,
        cron=str(cron) if cron is not None else None,
        timezone=zone,
        local_time=clock_time(values["local_time"], where) if "local_time" in values else None,
        usual_hour=bool(values.get("usual_hour", False)),
        event=values.get("event"),
        after=after,
        unless=values.get("unless"),
        date_property=values.get("property"),
        offset_days=int(values.get("offset_days", 0)),
        yearly=bool(values.get("yearly", False)),
        time_of_day=clock_time(values.get("time", "09:00"), where),
    )


def instant(value: object, timezone: str, where: str) -> datetime:
    """A point in time from TOML, which has times of its own; without a zone it is in `timezone`.

    Raises:
        ConfigurationError: It is neither a date nor a time.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ConfigurationError(f"{value!r} is not a time", where=where, hint="2026-03-01T09:30") from None
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        raise ConfigurationError(f"{value!r} is not a time", where=where, hint="2026-03-01T09:30")
    return (value if value.tzinfo else value.replace(tzinfo=ZoneInfo(timezone))).astimezone(UTC)


def occurrences_due(schedule: Schedule, since: datetime, until: datetime) -> list[Occurrence]:
    """The times a campaign falls due, after `since` and up to and including `until`.

    Triggers of a stretch of time are one occurrence, so a worker that was away catches up in one run; of recurring
    and date occurrences each is its own.

    Args:
        schedule: When.
        since: What was due then or earlier has been seen to.
        until: The clock.

    Returns:
        In order of time; empty when nothing is due. Asking for two adjoining stretches gives what asking for both at
        once gives, with the stretches of triggers joined.
    """
    zone = ZoneInfo(schedule.timezone)
    if schedule.event is not None:
        step = _SOON if schedule.immediate else _LATER
        upto = until.astimezone(UTC)
        upto = upto.replace(microsecond=0) - timedelta(seconds=upto.second % step.seconds)
        if upto < since + step:
            return []
        name = f"{upto:%Y%m%dT%H%M%S}" if schedule.immediate else f"{upto:%Y%m%dT%H%M}"
        return [Occurrence(name, upto, since, upto)]
    if schedule.date_property:
        return _daily(schedule.time_of_day, zone, since, until)
    lead = _EARLIEST_ZONE if schedule.local_time else timedelta(0)
    found = []
    if schedule.cron:
        start = (since + lead).astimezone(zone) - timedelta(days=2 if lead else 0)
        for tick in CronSim(schedule.cron, start):
            occurrence = _timed(schedule, tick, zone, f"{tick.astimezone(UTC):%Y%m%dT%H%M}")
            if tick.astimezone(UTC) > until + lead + timedelta(days=2 if lead else 0):
                break
            found.append(occurrence)
    else:
        found.append(_timed(schedule, schedule.at or since + timedelta(microseconds=1), zone, "once"))
    return [occurrence for occurrence in found if since < occurrence.at <= until]


def _timed(schedule: Schedule, tick: datetime, zone: ZoneInfo, name: str) -> Occurrence:
    """An occurrence at a time; by users' own clocks it begins when the first of them shows the time of day."""
    day = tick.astimezone(zone).date()
    if schedule.local_time is None:
        return Occurrence(name, tick.astimezone(UTC), day=day)
    first = datetime.combine(day, schedule.local_time, UTC) - _EARLIEST_ZONE
    return Occurrence(name, first, day=day)


def _daily(clock: time, zone: ZoneInfo, since: datetime, until: datetime) -> list[Occurrence]:
    found = []
    day = since.astimezone(zone).date()
    while day <= until.astimezone(zone).date():
        at = datetime.combine(day, clock, zone).astimezone(UTC)
        if since < at <= until:
            found.append(Occurrence(f"{day:%Y%m%d}", at, day=day))
        day += timedelta(days=1)
    return found
