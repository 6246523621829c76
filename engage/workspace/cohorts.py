"""Cohorts: who came back."""

from __future__ import annotations

from typing import Any

import polars as pl

from engage.analysis.label_retention import label_retention
from engage.analysis.retention import retention
from engage.analysis.retention_lift import retention_lift
from engage.workspace.asking import asks
from engage.workspace.base import Base, Time

__all__ = ["CohortFace"]


class CohortFace(Base):
    """What answers questions about cohorts."""

    @asks(retention)
    def retention(self, *, as_of: Time = None, **question: Any) -> pl.DataFrame:
        """Count, for each cohort, the users who came back; see :func:`engage.analysis.retention.retention`.

        Args:
            as_of: See only what happened before then.
            question: `start_event`, `return_event`, `period`, `periods`, `date_to`, `kind`, `segment`, `label` …

        Returns:
            `cohort`, `size`, `period`, `users`, `rate`: one row a cohort and period.
        """
        return retention(self.engine, as_of=self.moment(as_of), **question)

    def label_retention(self, label: str, days: int = 30, *, group: str = "sent", as_of: Time = None) -> pl.DataFrame:
        """Follow people from their own first message with a label, day by day.

        Args:
            label: The message label.
            days: How many days to follow.
            group: ``sent``, ``held_out`` or ``rest``; see :func:`engage.analysis.label_retention.label_retention`.
            as_of: See only what happened before then.

        Returns:
            `day`, `people`, `back`, `rate`: one row a day.
        """
        return label_retention(self.engine, label, days, group=group, as_of=self.moment(as_of))

    def retention_lift(self, label: str, days: int = 30, *, as_of: Time = None) -> pl.DataFrame:
        """Compare those sent a label with its control group, day by day.

        Args:
            label: The message label.
            days: How many days to follow.
            as_of: See only what happened before then.

        Returns:
            `day`, `people`, `back`, `rate`, `held_out`, `held_out_back`, `held_out_rate`, `difference`,
            `difference_low`, `difference_high`: one row a day; see
            :func:`engage.analysis.retention_lift.retention_lift`.
        """
        return retention_lift(self.engine, label, days, as_of=self.moment(as_of))
