"""The campaign report as somebody looks at it: filtered, sorted, with the columns chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from engage.errors import ConfigurationError

__all__ = ["FIRST_COLUMNS", "ReportView"]

FIRST_COLUMNS = (
    "campaign", "channel", "status", "delivery_type", "labels", "last_sent_at", "sent", "held_out", "delivered",
    "viewed", "clicked", "converted", "revenue", "conversion_rate", "lift", "lift_low", "lift_high", "unsubscribed",
    "failed", "cost",
)  # fmt: skip
"""The columns people ask for first."""


@dataclass(frozen=True, slots=True)
class ReportView:
    """What of the campaign report is shown; empty filters let everything through.

    Args:
        channels: Campaigns that went over one of these channels.
        statuses: Campaigns in one of these states.
        delivery_types: ``one_time``, ``recurring``, ….
        labels: Campaigns whose messages carried one of these labels.
        text: Campaigns whose name or id contains this, in any case.
        date_from: Campaigns that sent on this day or later.
        date_to: Campaigns that sent on this day or earlier.
        last_days: Instead of `date_from`: campaigns that sent in so many days up to the report's moment.
        columns: Columns shown, in this order; all by default.
        sort: The column it is sorted by; the latest sent first by default.
        descending: The largest first.
    """

    channels: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    delivery_types: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    text: str = ""
    date_from: date | None = None
    date_to: date | None = None
    last_days: int | None = None
    columns: tuple[str, ...] = ()
    sort: str = ""
    descending: bool = True

    @classmethod
    def read(cls, values: Mapping[str, Any], where: str = "report") -> ReportView:
        """Read a view from a TOML table or keyword arguments.

        Args:
            values: Any of the fields above; a list where it takes several, or one alone.
            where: Where it stands, for errors.

        Raises:
            ConfigurationError: A field is not known or not of its kind.
        """
        known = {field.name: field for field in fields(cls)}
        if unknown := sorted(set(values) - set(known)):
            raise ConfigurationError(
                f"{unknown[0]!r} is no filter", where=where, hint=f"there are: {', '.join(sorted(known))}"
            )
        given: dict[str, Any] = {}
        for name, value in values.items():
            if str(known[name].type).startswith("tuple"):
                given[name] = (value,) if isinstance(value, str) else tuple(map(str, value or ()))
            elif name.startswith("date_"):
                given[name] = _day(value, name, where)
            else:
                given[name] = value
        if (days := given.get("last_days")) is not None and (isinstance(days, bool) or not isinstance(days, int)):
            raise ConfigurationError(f"last_days = {days!r} is not a number of days", where=where)
        return cls(**given)

    def apply(self, report: pl.DataFrame, *, now: datetime, timezone: str = "UTC") -> pl.DataFrame:
        """Show this of a report.

        Args:
            report: What :func:`engage.analysis.campaign_report.campaign_report` returns.
            now: The moment of the report, for `last_days`.
            timezone: IANA name of the zone days are counted in.

        Returns:
            One row a campaign, with the chosen columns.

        Raises:
            ConfigurationError: A column is not one of the report's.
        """
        kept = report
        for column, words in (("status", self.statuses), ("delivery_type", self.delivery_types)):
            if words:
                kept = kept.filter(pl.col(column).is_in(words))
        if self.channels:
            kept = kept.filter(
                pl.col("channel").str.split(", ").list.set_intersection(list(self.channels)).list.len() > 0
            )
        if self.labels:
            kept = kept.filter(pl.col("labels").list.set_intersection(list(self.labels)).list.len() > 0)
        if self.text:
            wanted = self.text.lower()
            kept = kept.filter(
                pl.any_horizontal(
                    pl.col(name).str.to_lowercase().str.contains(wanted, literal=True)
                    for name in ("campaign", "campaign_id")
                )
            )
        zone = ZoneInfo(timezone)
        first = now.astimezone(zone).date() - timedelta(days=self.last_days - 1) if self.last_days else self.date_from
        if first:
            kept = kept.filter(pl.col("last_sent_at") >= datetime.combine(first, time(), zone))
        if self.date_to:
            after = datetime.combine(self.date_to + timedelta(days=1), time(), zone)
            kept = kept.filter(pl.col("first_sent_at") < after)
        if wrong := [
            name for name in (*self.columns, *([self.sort] if self.sort else [])) if name not in report.columns
        ]:
            raise ConfigurationError(
                f"the report has no column {wrong[0]!r}", where="report", hint=f"it has: {', '.join(report.columns)}"
            )
        if self.sort:
            kept = kept.sort(self.sort, descending=self.descending, nulls_last=True, maintain_order=True)
        return kept.select(self.columns) if self.columns else kept

    def words(self) -> str:
        """What is shown, as a reader would say it; empty where everything is."""
        said = [
            f"{name}: {', '.join(values)}"
            for name, values in (
                ("channel", self.channels),
                ("status", self.statuses),
                ("type", self.delivery_types),
                ("label", self.labels),
            )
            if values
        ]
        said += [f"name contains {self.text!r}"] if self.text else []
        said += [f"sent in the last {self.last_days} days"] if self.last_days else []
        said += [f"sent from {self.date_from}"] if self.date_from and not self.last_days else []
        said += [f"sent to {self.date_to}"] if self.date_to else []
        return "; ".join(said)


def _day(value: object, name: str, where: str) -> date | None:
    if isinstance(value, datetime):
        return value.date()
    if value is None or isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError as error:
        raise ConfigurationError(f"{name} = {value!r} is not a day", where=where, hint="write 2026-01-31") from error
