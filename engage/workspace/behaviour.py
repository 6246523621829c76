"""What people do, and what campaigns made them do."""

from __future__ import annotations

import polars as pl

from engage.analysis.lift import Lift, lift, lift_table
from engage.workspace.base import Base, Time

__all__ = ["BehaviourFace"]


class BehaviourFace(Base):
    """What measures behaviour."""

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
