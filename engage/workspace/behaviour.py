"""What people do, and what campaigns made them do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import polars as pl

from engage.access.roles import Right
from engage.analysis.active_users import active_users, stickiness
from engage.analysis.event_counts import event_counts, suggested_steps
from engage.analysis.events import Selector
from engage.analysis.funnel import funnel, funnel_segment, funnel_times, funnel_users
from engage.analysis.lift import Lift, lift, lift_table
from engage.analysis.paths import paths
from engage.analysis.population import chosen_events
from engage.analysis.rfm import rfm, rfm_users
from engage.analysis.trends import trends
from engage.analysis.uninstalls import uninstalls, uninstalls_after
from engage.analysis.week import Week, latest_event, week
from engage.workspace.asking import asks
from engage.workspace.base import Base, Time
from engage.workspace.guarding import guarded

__all__ = ["BehaviourFace"]


class BehaviourFace(Base):
    """What measures behaviour."""

    def week(self, as_of: Time = None) -> Week | None:
        """The last seven days there is anything of, and the seven before; see :func:`engage.analysis.week.week`."""
        return week(self.engine, as_of=self.moment(as_of))

    def latest_event(self, as_of: Time = None) -> datetime | None:
        """When the last event happened; None where the lake is empty."""
        return latest_event(self.engine, as_of=self.moment(as_of))

    def event_counts(self, days: int = 90, *, as_of: Time = None) -> pl.DataFrame:
        """Which events there are; see :func:`engage.analysis.event_counts.event_counts`."""
        return event_counts(self.engine, days, as_of=self.moment(as_of))

    def suggest_funnel(self, *, as_of: Time = None) -> list[str]:
        """A funnel worth a first look; see :func:`engage.analysis.event_counts.suggested_steps`."""
        return suggested_steps(self.event_counts(as_of=as_of))

    def lift(
        self,
        campaign: str,
        metric: str = "revenue",
        within: str = "14 days",
        as_of: Time = None,
        *,
        goal: str = "Charged",
        control_share: float | None = None,
    ) -> Lift:
        """What one campaign caused, against its control group; see :func:`engage.analysis.lift.lift`."""
        return lift(self.engine, campaign, metric, within, self.moment(as_of), goal=goal, control_share=control_share)

    def lift_table(self, metric: str = "revenue", within: str = "14 days", as_of: Time = None) -> pl.DataFrame:
        """The lift of every campaign; see :func:`engage.analysis.lift.lift_table`."""
        return lift_table(self.engine, metric, within, self.moment(as_of))

    @asks(funnel)
    def funnel(
        self, steps: Sequence[Selector], within: str = "7 days", *, as_of: Time = None, **question: Any
    ) -> pl.DataFrame:
        """Count the users who reached each step; see :func:`engage.analysis.funnel.funnel`.

        Args:
            steps: 2 to 10 events.
            within: The time an attempt has, from its first step.
            as_of: See only what happened before then.
            question: `order`, `exclude`, `where`, `segment`, `label`, `campaign`, `breakdown`, `start`, `end`.

        Returns:
            `step`, `event_name`, `users`, `rate`, `median_seconds`: one row a step.
        """
        return funnel(self.engine, steps, within=within, as_of=self.moment(as_of), **question)

    @guarded(Right.ANALYSE)
    @asks(funnel_users, funnel)
    def funnel_users(
        self, steps: Sequence[Selector], step: int, within: str = "7 days", *, as_of: Time = None, **question: Any
    ) -> pl.DataFrame:
        """Tell who reached a step, or dropped before it; see :func:`engage.analysis.funnel.funnel_users`."""
        return funnel_users(self.engine, steps, step, within=within, as_of=self.moment(as_of), **question)

    @asks(funnel_segment, funnel, without=("as_of",))
    def funnel_segment(self, steps: Sequence[Selector], step: int, within: str = "7 days", **question: Any) -> str:
        """Make SQL of who reached a step, or dropped before it, to be kept with :meth:`save_segment`; see
        :func:`engage.analysis.funnel.funnel_segment`.
        """
        return funnel_segment(self.engine, steps, step, within=within, **question)

    @asks(funnel_times, funnel)
    def funnel_times(
        self,
        steps: Sequence[Selector],
        step: int | None = None,
        within: str = "7 days",
        *,
        as_of: Time = None,
        **question: Any,
    ) -> pl.DataFrame:
        """Tell how the time to a step is spread; see :func:`engage.analysis.funnel.funnel_times`."""
        return funnel_times(self.engine, steps, step, within=within, as_of=self.moment(as_of), **question)

    @asks(trends, chosen_events)
    def trends(self, events: Selector | Sequence[Selector], *, as_of: Time = None, **question: Any) -> pl.DataFrame:
        """How often, to how many people, or for how much, period by period; see :func:`engage.analysis.trends.trends`.

        Args:
            events: One or more events.
            as_of: See only what happened before then.
            question: `measure`, `amount`, `period`, `breakdown`, `top`, `where`, `segment`, `label`, `campaign` …

        Returns:
            `event_name`, `period`, `value`, `is_complete`: one row an event and period.
        """
        return trends(self.engine, events, as_of=self.moment(as_of), **question)

    @asks(active_users, chosen_events)
    def active_users(self, *, as_of: Time = None, **question: Any) -> pl.DataFrame:
        """Daily, weekly and monthly active users; see :func:`engage.analysis.active_users.active_users`."""
        return active_users(self.engine, as_of=self.moment(as_of), **question)

    @asks(stickiness, chosen_events, without=("start",))
    def stickiness(self, *, as_of: Time = None, **question: Any) -> pl.DataFrame:
        """In how many periods users were active; see :func:`engage.analysis.active_users.stickiness`."""
        return stickiness(self.engine, as_of=self.moment(as_of), **question)

    @asks(paths)
    def paths(self, event: Selector, *, as_of: Time = None, **question: Any) -> pl.DataFrame:
        """What people do after an event, or did before it; see :func:`engage.analysis.paths.paths`."""
        return paths(self.engine, event, as_of=self.moment(as_of), **question)

    @asks(rfm, rfm_users, chosen_events)
    def rfm(self, *, as_of: Time = None, **question: Any) -> pl.DataFrame:
        """Customers by recency and frequency, in 25 cells; see :func:`engage.analysis.rfm.rfm`."""
        return rfm(self.engine, as_of=self.moment(as_of), **question)

    @guarded(Right.ANALYSE)
    @asks(rfm_users, chosen_events)
    def rfm_users(self, *, as_of: Time = None, **question: Any) -> pl.DataFrame:
        """Every customer's scores; see :func:`engage.analysis.rfm.rfm_users`."""
        return rfm_users(self.engine, as_of=self.moment(as_of), **question)

    @asks(uninstalls, chosen_events)
    def uninstalls(self, *, as_of: Time = None, **question: Any) -> pl.DataFrame:
        """Uninstalls beside installs, by period; see :func:`engage.analysis.uninstalls.uninstalls`."""
        return uninstalls(self.engine, as_of=self.moment(as_of), **question)

    @asks(uninstalls_after)
    def uninstalls_after(self, by: str = "label", *, as_of: Time = None, **question: Any) -> pl.DataFrame:
        """Who uninstalled soon after a message; see :func:`engage.analysis.uninstalls.uninstalls_after`."""
        return uninstalls_after(self.engine, by, as_of=self.moment(as_of), **question)
