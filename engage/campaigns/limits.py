"""Limits of a campaign: frequency caps, quiet hours, the global control group; read from settings and definitions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from typing import Any

from engage.errors import ConfigurationError
from engage.settings import Settings

__all__ = ["Cap", "QuietHours", "global_control", "read_caps", "read_quiet_hours", "relevant_caps"]

PERIODS = {"day": 86_400, "week": 604_800}
"""Lengths of a cap's period in seconds; it ends when the message is to be sent."""

_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Cap:
    """The most messages one person is sent in a period.

    Args:
        scope: ``overall``, ``channel`` or ``label``.
        name: The channel or label; empty overall.
        period: ``day`` (24 hours) or ``week`` (7 days), ending when the message would leave.
        most: How many.
    """

    scope: str
    name: str
    period: str
    most: int

    @property
    def reason(self) -> str:
        """What a plan counts people under who have had enough, e.g. ``cap:email:week``."""
        return ":".join(part for part in ("cap", self.name, self.period) if part)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """When people are left in peace, by their own clocks.

    Args:
        begin: From then.
        end: Until then; before `begin` when the night is between.
        skip: True leaves people out, False lets their message wait for the end.
    """

    begin: time
    end: time
    skip: bool = False


def clock_time(value: object, where: str) -> time:
    """Read a time of day such as ``21:30``.

    Raises:
        ConfigurationError: It is not one.
    """
    if isinstance(value, time):
        return value
    if isinstance(value, str) and (form := _CLOCK.fullmatch(value)):
        return time(int(form[1]), int(form[2]))
    raise ConfigurationError(f"{value!r} is not a time of day", where=where, hint='write e.g. "21:30"')


def read_caps(values: Mapping[str, Any], where: str) -> tuple[Cap, ...]:
    """Read a table of caps: ``day`` and ``week``, and tables ``channels.<name>`` and ``labels.<name>`` of the same.

    Raises:
        ConfigurationError: A key or number is not one of those.
    """
    found = []
    for key, value in values.items():
        if key in PERIODS:
            found.append(Cap("overall", "", key, _most(value, f"{where} {key}")))
        elif key in ("channels", "labels") and isinstance(value, Mapping):
            for name, periods in value.items():
                inner = f"{where} {key}.{name}"
                if not isinstance(periods, Mapping) or set(periods) - set(PERIODS):
                    raise ConfigurationError("is not a cap", where=inner, hint="write day = 1 or week = 3")
                found += [Cap(key[:-1], name, period, _most(n, inner)) for period, n in periods.items()]
        else:
            raise ConfigurationError(f"unknown key {key!r}", where=where, hint="use day, week, channels, labels")
    return tuple(found)


def _most(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigurationError(f"{value!r} is not a number of messages", where=where, hint="write e.g. 3")
    return value


def relevant_caps(settings: Settings, own: tuple[Cap, ...], channel: str, labels: tuple[str, ...]) -> tuple[Cap, ...]:
    """The caps of the workspace (``[tool.engage.caps]``) and of a campaign that its messages come under."""
    caps = (*read_caps(settings.options.get("caps", {}), "[tool.engage.caps]"), *own)
    folded = {label.casefold() for label in labels}
    return tuple(
        cap
        for cap in dict.fromkeys(caps)
        if cap.scope == "overall"
        or (cap.scope == "channel" and cap.name == channel)
        or (cap.scope == "label" and cap.name.casefold() in folded)
    )


def read_quiet_hours(values: object, where: str) -> QuietHours | None:
    """Read quiet hours: ``from``, ``to`` and ``then = "postpone"`` or ``"skip"``; False for none.

    Raises:
        ConfigurationError: It is not such a table.
    """
    if values is None or values is False:
        return None
    if not isinstance(values, Mapping) or set(values) - {"from", "to", "then"} or not {"from", "to"} <= set(values):
        raise ConfigurationError("quiet hours need from and to", where=where, hint='from = "21:00", to = "08:00"')
    then = values.get("then", "postpone")
    if then not in ("postpone", "skip"):
        raise ConfigurationError(f"then = {then!r} is not known", where=where, hint="use postpone or skip")
    begin, end = clock_time(values["from"], where), clock_time(values["to"], where)
    return QuietHours(begin, end, then == "skip") if begin != end else None


def global_control(settings: Settings) -> float:
    """The share of people no campaign writes to (``[tool.engage] global_control_percent``), 0 to 0.9.

    Raises:
        ConfigurationError: It is not between 0 and 90.
    """
    percent = settings.options.get("global_control_percent", 0)
    if not isinstance(percent, (int, float)) or not 0 <= percent <= 90:
        raise ConfigurationError("global_control_percent is not between 0 and 90", where="[tool.engage]")
    return percent / 100
