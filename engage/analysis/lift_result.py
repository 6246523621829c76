"""What a comparison with a control group came to, and the arithmetic of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from engage.analysis.statistics import (
    Difference,
    chi_square_p,
    difference_of_means,
    difference_of_proportions,
)

__all__ = ["LIFT_SCHEMA", "Lift", "lift_from_counts", "lift_from_moments", "sample_ratio_p"]


@dataclass(frozen=True, slots=True)
class Lift(Difference):
    """The difference a campaign made, with how sure that is.

    Args:
        campaign: The campaign's id.
        metric: What was measured: ``revenue``, ``conversion`` or the name of an event.
        within: How long after being sent (or held out) it was counted.
        treated_n: People assigned to the message.
        control_n: People held out.
        treated_mean: Mean of the metric over the treated; a share, for conversion and events.
        control_mean: The same over the control group.
        warnings: What a reader must know before trusting the figures, one sentence each.
    """

    campaign: str = ""
    metric: str = ""
    within: str = ""
    treated_n: int = 0
    control_n: int = 0
    treated_mean: float | None = None
    control_mean: float | None = None
    warnings: tuple[str, ...] = ()

    def frame(self) -> pl.DataFrame:
        """One row: every field a column, `warnings` a list of strings."""
        return pl.DataFrame([{**asdict(self), "warnings": list(self.warnings)}], schema=LIFT_SCHEMA)

    def __str__(self) -> str:
        title = f"{self.campaign} · " if self.campaign else ""
        within = f" within {self.within}" if self.within else ""
        lines = [
            f"{title}{self.metric or 'lift'}{within}",
            f"  treated     {_number(self.treated_mean)} ({self.treated_n:,} people)",
            f"  control     {_number(self.control_mean)} ({self.control_n:,} people)",
            f"  difference  {_number(self.difference, '+')} (95 % interval {_number(self.ci_low)} to "
            f"{_number(self.ci_high)}, standard error {_number(self.standard_error)}, "
            f"p {_number(self.p_value, digits=2)})",
        ]
        if self.relative is not None:
            ends = "no bound"
            if self.relative_ci_low is not None and self.relative_ci_high is not None:
                ends = f"95 % interval {self.relative_ci_low:+.1%} to {self.relative_ci_high:+.1%}"
            lines.append(f"  relative    {self.relative:+.1%} ({ends})")
        return "\n".join(lines + [f"  note        {warning}" for warning in self.warnings])


LIFT_SCHEMA: dict[str, Any] = {
    "campaign": pl.String,
    "metric": pl.String,
    "within": pl.String,
    "treated_n": pl.Int64,
    "control_n": pl.Int64,
    "treated_mean": pl.Float64,
    "control_mean": pl.Float64,
    "difference": pl.Float64,
    "standard_error": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "p_value": pl.Float64,
    "relative": pl.Float64,
    "relative_ci_low": pl.Float64,
    "relative_ci_high": pl.Float64,
    "warnings": pl.List(pl.String),
}


def _number(value: float | None, sign: str = "", digits: int = 6) -> str:
    return "–" if value is None else f"{value:{sign}.{digits}g}"


def lift_from_moments(n1: int, mean1: float, var1: float, n0: int, mean0: float, var0: float) -> Lift:
    """Lift of a mean from each group's size, mean and sample variance (Welch's t).

    Args:
        n1: People treated.
        mean1: Their mean.
        var1: Their sample variance (divisor n − 1).
        n0: People held out.
        mean0: Their mean.
        var0: Their sample variance.

    Returns:
        The lift, with 95 % intervals.
    """
    return _lift(difference_of_means(n1, mean1, var1, n0, mean0, var0), n1, mean1, n0, mean0)


def lift_from_counts(n1: int, successes1: int, n0: int, successes0: int) -> Lift:
    """Lift of a proportion from each group's size and successes (unpooled normal interval).

    Args:
        n1: People treated.
        successes1: How many of them did it.
        n0: People held out.
        successes0: How many of them did it.

    Returns:
        The lift, with 95 % intervals.
    """
    difference = difference_of_proportions(n1, successes1, n0, successes0)
    return _lift(difference, n1, successes1 / n1 if n1 else None, n0, successes0 / n0 if n0 else None)


def _lift(difference: Difference, n1: int, mean1: float | None, n0: int, mean0: float | None) -> Lift:
    return Lift(**asdict(difference), treated_n=n1, control_n=n0, treated_mean=mean1, control_mean=mean0)


def sample_ratio_p(treated_n: int, control_n: int, control_share: float) -> float:
    """How likely a split at least this uneven is, if people were held out with this probability.

    Args:
        treated_n: People treated.
        control_n: People held out.
        control_share: Planned share of the control group, between 0 and 1.

    Returns:
        The p-value of the chi-square test with one degree of freedom.
    """
    total = treated_n + control_n
    expected = total * control_share
    if not 0 < expected < total:
        return 1.0
    surplus = (control_n - expected) ** 2
    return chi_square_p(surplus / expected + surplus / (total - expected))
