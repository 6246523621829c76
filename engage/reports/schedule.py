"""Reports mailed on a schedule: one file each, ``data/reports/<name>.toml``."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import tomlkit

from engage.analysis.report_view import ReportView
from engage.campaigns.schedule import Schedule, occurrences_due, read_schedule
from engage.errors import ConfigurationError
from engage.lake.storage import write_atomically
from engage.settings import Settings

__all__ = ["ScheduledReport", "due", "list_reports", "mark_mailed", "read_report", "remove_report", "save_report"]

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_LATE = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class ScheduledReport:
    """One report that is mailed again and again.

    Args:
        name: Its file's name.
        title: Subject and heading.
        to: Addresses.
        schedule: When: `cron` in a time zone.
        view: What of the campaign report is shown.
        created_at: When it was made; what was due before is not sent.
        mailed_at: When it was due the last time it was sent; None before the first.
    """

    name: str
    title: str
    to: tuple[str, ...]
    schedule: Schedule
    view: ReportView
    created_at: datetime
    mailed_at: datetime | None = None


def save_report(
    settings: Settings,
    name: str,
    *,
    to: Sequence[str],
    cron: str,
    title: str = "",
    view: Mapping[str, Any] | None = None,
    now: datetime,
) -> ScheduledReport:
    """Make a scheduled report, or write one anew.

    Args:
        settings: The workspace.
        name: Lower-case letters, digits, ``-`` and ``_``.
        to: Addresses.
        cron: Five fields, minute to weekday, in the workspace's time zone.
        title: Subject and heading.
        view: Fields of :class:`engage.analysis.report_view.ReportView`.
        now: The clock; what was due before is not sent.

    Raises:
        ConfigurationError: A value is not what it should be; nothing was written.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r} is no name for a report", where="report", hint="e.g. weekly-report")
    document = tomlkit.document()
    document["title"] = title or name.replace("-", " ").replace("_", " ").capitalize()
    document["to"] = list(to)
    document["created_at"] = now.isoformat()
    document["schedule"] = {"cron": cron}
    document["view"] = {key: value for key, value in (view or {}).items() if value not in (None, "", (), [])}
    text = tomlkit.dumps(document)
    _parse(settings, name, tomllib.loads(text))
    write_atomically(_file(settings, name), text)
    return read_report(settings, name)


def list_reports(settings: Settings) -> list[str]:
    """Names of the scheduled reports."""
    folder = settings.data / "reports"
    return sorted(file.stem for file in folder.glob("*.toml")) if folder.is_dir() else []


def read_report(settings: Settings, name: str) -> ScheduledReport:
    """Read a scheduled report.

    Raises:
        ConfigurationError: There is none of that name, or its file is wrong.
    """
    file = _file(settings, name)
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        names = ", ".join(list_reports(settings)) or "none yet"
        raise ConfigurationError(f"there is no report {name!r}", where=str(file), hint=f"there are: {names}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"not valid TOML: {error}", where=str(file), hint="mend the file") from error
    return _parse(settings, name, values)


def remove_report(settings: Settings, name: str) -> None:
    """Mail it no more.

    Raises:
        ConfigurationError: There is none of that name.
    """
    read_report(settings, name)
    _file(settings, name).unlink()
    _mark(settings, name).unlink(missing_ok=True)


def due(report: ScheduledReport, now: datetime) -> datetime | None:
    """The latest moment it was due and has not been sent for; None when there is none.

    A worker that was away for weeks sends one report, not one a week missed.

    Args:
        report: The report.
        now: The clock.
    """
    since = max(report.mailed_at or report.created_at, now - _LATE)
    found = occurrences_due(report.schedule, since, now)
    return found[-1].at if found else None


def mark_mailed(settings: Settings, name: str, at: datetime) -> None:
    """Record that it was sent for the moment it was due."""
    write_atomically(_mark(settings, name), json.dumps({"mailed_at": at.isoformat()}))


def _file(settings: Settings, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r} is no name of a report", where="report")
    return settings.data / "reports" / f"{name}.toml"


def _mark(settings: Settings, name: str) -> Path:
    return settings.data / "reports" / f".{name}.mailed.json"


def _parse(settings: Settings, name: str, values: Mapping[str, Any]) -> ScheduledReport:
    where = str(_file(settings, name))
    to = values.get("to")
    if not isinstance(to, list) or not to or not all(isinstance(one, str) and "@" in one for one in to):
        raise ConfigurationError("to is no list of e-mail addresses", where=where, hint='to = ["ada@example.com"]')
    cron = values.get("schedule", {})
    if not isinstance(cron, Mapping) or "cron" not in cron:
        raise ConfigurationError("schedule has no cron", where=where, hint='[schedule] cron = "0 8 * * 1"')
    mark = _mark(settings, name)
    mailed = json.loads(mark.read_text(encoding="utf-8"))["mailed_at"] if mark.is_file() else None
    try:
        created = datetime.fromisoformat(str(values["created_at"]))
    except (KeyError, ValueError) as error:
        raise ConfigurationError(
            "created_at is missing or no time", where=where, hint="e.g. 2026-01-31T08:00:00Z"
        ) from error
    return ScheduledReport(
        name=name,
        title=str(values.get("title") or name),
        to=tuple(to),
        schedule=read_schedule(cron, settings.timezone, where),
        view=ReportView.read(values.get("view", {}), where),
        created_at=created,
        mailed_at=datetime.fromisoformat(mailed) if mailed else None,
    )
