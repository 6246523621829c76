"""Audiences that are kept in step by themselves: ``[tool.engage.audiences.<name>]``.

::

    [tool.engage.audiences.lapsed]
    segment = "lapsed_buyers"     # left out: everyone who said yes to ads
    cron = "0 4 * * *"            # five fields, in the workspace's time zone
    audience = "Lapsed buyers"    # its name at Facebook; by default the table's
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from engage.campaigns.schedule import Schedule, occurrences_due, read_schedule
from engage.errors import ConfigurationError
from engage.settings import Settings

__all__ = ["NETWORKS", "ScheduledAudience", "due", "read_audiences"]

NETWORKS = ("facebook",)
"""The ad networks an audience may be at."""
_KEYS = {"segment", "params", "cron", "timezone", "to", "audience", "replace"}
_BACK = timedelta(days=40)  # the longest a cron of ours is waited for is about a month


@dataclass(frozen=True, slots=True)
class ScheduledAudience:
    """One audience that is kept in step again and again.

    Args:
        name: Its table's name.
        audience: Its name at the ad network.
        segment: Whom it holds; None for everyone who said yes to ads.
        params: Values in place of the segment's defaults.
        schedule: When.
        replace: Send everything each time, not the difference alone.
    """

    name: str
    audience: str
    segment: str | None
    schedule: Schedule
    params: Mapping[str, Any] = field(default_factory=dict)
    replace: bool = False


def read_audiences(settings: Settings) -> list[ScheduledAudience]:
    """Read every table under ``[tool.engage.audiences]``.

    Raises:
        ConfigurationError: A key or value is not one of its.
    """
    tables = settings.options.get("audiences", {})
    if not isinstance(tables, Mapping):
        raise ConfigurationError("is not a table of tables", where="[tool.engage.audiences]")
    return [_read(settings, str(name), values) for name, values in tables.items()]


def due(audience: ScheduledAudience, done_at: datetime | None, now: datetime) -> datetime | None:
    """The latest moment it was due and has not been synced since; None when there is none.

    One that was never synced is due at once, and one that a worker missed is made up for once.

    Args:
        audience: The audience.
        done_at: When the last sync that was finished began.
        now: The clock.
    """
    if done_at is None:
        return now
    found = occurrences_due(audience.schedule, max(done_at, now - _BACK), now)
    return found[-1].at if found else None


def _read(settings: Settings, name: str, values: object) -> ScheduledAudience:
    where = f"[tool.engage.audiences.{name}]"
    if not isinstance(values, Mapping):
        raise ConfigurationError("is not a table", where=where, hint='cron = "0 4 * * *"')
    if unknown := sorted(set(values) - _KEYS):
        raise ConfigurationError(f"unknown key {unknown[0]!r}", where=where, hint=f"use {', '.join(sorted(_KEYS))}")
    if str(values.get("to", NETWORKS[0])) not in NETWORKS:
        raise ConfigurationError("to names no ad network", where=where, hint=f"there are: {', '.join(NETWORKS)}")
    if "cron" not in values:
        raise ConfigurationError("says not when", where=where, hint='cron = "0 4 * * *"')
    params = values.get("params", {})
    if not isinstance(params, Mapping):
        raise ConfigurationError("params is not a table", where=where, hint="params = { days = 30 }")
    timing = {key: values[key] for key in ("cron", "timezone") if key in values}
    return ScheduledAudience(
        name=name,
        audience=str(values.get("audience") or name),
        segment=str(values["segment"]) if values.get("segment") else None,
        schedule=read_schedule(timing, settings.timezone, where),
        params=dict(params),
        replace=values.get("replace") is True,
    )
