"""Reports that leave the house: mailed now, mailed on a schedule, taken as a file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import uuid4

import polars as pl

from engage.access.roles import Right
from engage.analysis.report_view import ReportView
from engage.delivery.beside import beside_loop
from engage.errors import ConfigurationError, EngageError
from engage.reports.mail import Mailed, report_message, send_report
from engage.reports.schedule import (
    ScheduledReport,
    due,
    list_reports,
    mark_mailed,
    read_report,
    remove_report,
    save_report,
)
from engage.vocabulary import Channel
from engage.workspace.base import Time
from engage.workspace.campaigns import CampaignFace
from engage.workspace.guarding import guarded
from engage.workspace.sending import run_provider

__all__ = ["MailedReport", "ReportingFace"]


@dataclass(frozen=True, slots=True)
class MailedReport:
    """What a tick did for one scheduled report.

    Args:
        name: The report.
        due_at: The moment it was due.
        mailed: What became of its mails; None where none could be sent.
        error: Why it could not; one line.
    """

    name: str
    due_at: datetime | None
    mailed: Mailed | None = None
    error: str = ""


class ReportingFace(CampaignFace):
    """What shows, mails and schedules the campaign report."""

    def report_view(self, as_of: Time = None, **view: Any) -> pl.DataFrame:
        """The campaign report, filtered, sorted, with the columns chosen.

        Args:
            as_of: As of then.
            **view: Fields of :class:`engage.analysis.report_view.ReportView`.

        Returns:
            One row a campaign; columns as in :func:`engage.analysis.campaign_report.campaign_report`.

        Raises:
            ConfigurationError: A filter or column is not known.
        """
        now = self.moment(as_of) or datetime.now(UTC)
        return ReportView.read(view).apply(self.campaign_report(as_of), now=now, timezone=self.settings.timezone)

    @guarded(Right.ANALYSE, "report.mail")
    def mail_report(
        self,
        to: str | Sequence[str],
        view: ReportView | Mapping[str, Any] | None = None,
        *,
        title: str = "Campaign report",
        as_of: Time = None,
        key: str = "",
    ) -> Mailed:
        """E-mail the campaign report as shown: a summary and a picture, and the table as a .csv.

        Args:
            to: One address or several.
            view: What is shown; everything by default.
            title: Subject and heading.
            as_of: As of then.
            key: What makes this sending one; the same key is the same mail for providers that know repeats.

        Returns:
            Who was sent it, and who was not and why.

        Raises:
            ConfigurationError: The view or the e-mail provider's configuration is wrong, or there is no address.
            ChannelError: The provider cannot be reached.
        """
        addresses = [to] if isinstance(to, str) else list(dict.fromkeys(to))
        if not addresses:
            raise ConfigurationError("there is no address", where="report", hint="say to whom it goes")
        shown = view if isinstance(view, ReportView) else ReportView.read(view or {})
        now = self.moment(as_of) or datetime.now(UTC)
        report = self.campaign_report(as_of)
        table = shown.apply(report, now=now, timezone=self.settings.timezone)
        rows = ReportView.read({name: getattr(shown, name) for name in _FILTERS})
        whole = rows.apply(report, now=now, timezone=self.settings.timezone)
        key = key or uuid4().hex
        messages = [
            report_message(table, whole, title=title, filters=shown.words(), at=now, address=one, key=key)
            for one in addresses
        ]

        def send(_: object) -> Mailed:
            email = Channel.EMAIL.value
            return send_report(run_provider(self, email, None), messages)

        return beside_loop(send)

    @guarded(Right.ANALYSE, "report.schedule")
    def schedule_report(
        self,
        name: str,
        to: Sequence[str],
        cron: str,
        view: Mapping[str, Any] | None = None,
        *,
        title: str = "",
        now: Time = None,
    ) -> ScheduledReport:
        """Mail the campaign report again and again; see :func:`engage.reports.schedule.save_report`."""
        clock = self.moment(now) or datetime.now(UTC)
        return save_report(self.settings, name, to=to, cron=cron, title=title, view=view, now=clock)

    def schedule_view(
        self, to: Sequence[str], cron: str, view: ReportView, *, title: str = "", now: Time = None
    ) -> ScheduledReport:
        """Mail a view of the campaign report again and again, under a name made from its title.

        Args:
            to: Addresses.
            cron: Five fields, in the workspace's time zone.
            view: What is shown.
            title: Subject and heading.
            now: The clock; what was due before is not sent.

        Raises:
            ConfigurationError: A value is not what it should be; nothing was written.
        """
        stem = "-".join(re.findall(r"[a-z0-9]+", title.lower()))[:56] or "report"
        taken = set(list_reports(self.settings))
        names = (f"{stem}-{number}" if number > 1 else stem for number in count(1))
        name = next(name for name in names if name not in taken)
        values = {field.name: getattr(view, field.name) for field in fields(view)}
        return self.schedule_report(name, to, cron, values, title=title, now=now)

    def scheduled_reports(self) -> list[ScheduledReport]:
        """Every scheduled report."""
        return [read_report(self.settings, name) for name in list_reports(self.settings)]

    @guarded(Right.ANALYSE, "report.unschedule")
    def unschedule_report(self, name: str) -> None:
        """Mail a report no more; see :func:`engage.reports.schedule.remove_report`."""
        remove_report(self.settings, name)

    @guarded(Right.ANALYSE)
    def tick_reports(self, now: Time = None) -> list[MailedReport]:
        """Mail every scheduled report that is due; what a worker calls again and again.

        A report that no provider took is due again at the next tick, for a week. One that was taken and then not
        recorded (the machine died in between) may be mailed twice: nobody is harmed by a second copy.

        Args:
            now: The clock; the present.

        Returns:
            One row a report that was due or is at fault.
        """
        clock = self.moment(now) or datetime.now(UTC)
        done: list[MailedReport] = []
        for name in list_reports(self.settings):
            moment: datetime | None = None
            try:
                report = read_report(self.settings, name)
                moment = due(report, clock)
                if moment is None:
                    continue
                mailed = self.mail_report(
                    report.to, report.view, title=report.title, as_of=clock, key=f"{name}\0{moment.isoformat()}"
                )
                if mailed.sent:
                    mark_mailed(self.settings, name, moment)
                done.append(MailedReport(name, moment, mailed))
            except (EngageError, ConfigurationError) as error:
                done.append(MailedReport(name, moment, error=str(error)))
        return done


_FILTERS = (
    "channels",
    "statuses",
    "delivery_types",
    "labels",
    "text",
    "date_from",
    "date_to",
    "last_days",
    "sort",
    "descending",
)
