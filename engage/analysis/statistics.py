"""Interval estimates and tests for comparing two groups of people.

Written out because the package does not depend on scipy; each function names its source, and the tests hold them
against published tables.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

__all__ = [
    "Difference",
    "chi_square_p",
    "difference_of_means",
    "difference_of_proportions",
    "newcombe_interval",
    "normal_quantile",
    "student_t_p",
    "student_t_quantile",
    "wilson_interval",
]


@dataclass(frozen=True, slots=True)
class Difference:
    """How much a treated group's mean differs from a control group's.

    Args:
        difference: Treated mean less control mean, in the metric's unit.
        standard_error: Of the difference; null with fewer than two people in a group.
        ci_low: Lower end of the interval of the difference.
        ci_high: Upper end of it.
        p_value: Two-sided, of the hypothesis that the means are equal; null where neither group varies.
        relative: The difference as a share of the control mean; null where that is zero.
        relative_ci_low: Lower end of the interval of `relative`; null where it has no bound.
        relative_ci_high: Upper end of it.
    """

    difference: float | None = None
    standard_error: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    p_value: float | None = None
    relative: float | None = None
    relative_ci_low: float | None = None
    relative_ci_high: float | None = None


def difference_of_means(
    n1: int, mean1: float, var1: float, n0: int, mean0: float, var0: float, *, confidence: float = 0.95
) -> Difference:
    """Compare two means by Welch's t-test, which does not take the variances for equal.

    Args:
        n1: People in the treated group.
        mean1: Their mean.
        var1: Their sample variance (divisor n − 1).
        n0: People in the control group.
        mean0: Their mean.
        var0: Their sample variance.
        confidence: Of the intervals, between 0 and 1.

    Returns:
        The difference, treated less control, with its interval and p-value.

    Source: B. L. Welch, Biometrika 34 (1947), with Satterthwaite's degrees of freedom. For large groups the
    t-distribution is the normal one.
    """
    if n1 < 1 or n0 < 1:
        return Difference()
    if n1 < 2 or n0 < 2:
        return _estimate(mean1, mean0, None, None, math.inf, confidence)
    part1, part0 = var1 / n1, var0 / n0
    total = part1 + part0
    degrees = total**2 / (part1**2 / (n1 - 1) + part0**2 / (n0 - 1)) if total > 0 else math.inf
    return _estimate(mean1, mean0, part1, part0, degrees, confidence)


def difference_of_proportions(
    n1: int, successes1: int, n0: int, successes0: int, *, confidence: float = 0.95
) -> Difference:
    """Compare two proportions by their difference, with the unpooled normal interval.

    Args:
        n1: People in the treated group.
        successes1: How many of them did it.
        n0: People in the control group.
        successes0: How many of them did it.
        confidence: Of the intervals, between 0 and 1.

    Returns:
        The difference, treated less control, with its interval and p-value.

    Source: Wald's interval, p₁ − p₀ ± z·√(p₁q₁/n₁ + p₀q₀/n₀); it wants about ten successes and ten failures in
    each group.
    """
    if n1 < 1 or n0 < 1:
        return Difference()
    p1, p0 = successes1 / n1, successes0 / n0
    return _estimate(p1, p0, p1 * (1 - p1) / n1, p0 * (1 - p0) / n0, math.inf, confidence)


def _estimate(
    mean1: float, mean0: float, part1: float | None, part0: float | None, degrees: float, confidence: float
) -> Difference:
    difference = mean1 - mean0
    relative = difference / mean0 if mean0 else None
    if part1 is None or part0 is None:
        return Difference(difference=difference, relative=relative)
    error = math.sqrt(part1 + part0)
    quantile = student_t_quantile((1 + confidence) / 2, degrees)
    low, high = _fieller(mean1, mean0, part1, part0, quantile)
    return Difference(
        difference=difference,
        standard_error=error,
        ci_low=difference - quantile * error,
        ci_high=difference + quantile * error,
        p_value=student_t_p(difference / error, degrees) if error > 0 else None,
        relative=relative,
        relative_ci_low=low,
        relative_ci_high=high,
    )


def _fieller(
    mean1: float, mean0: float, part1: float, part0: float, quantile: float
) -> tuple[float | None, float | None]:
    """Interval of mean1 / mean0 − 1 by Fieller's theorem (E. C. Fieller, JRSS B 16, 1954).

    Unlike the delta method it stays right when the control mean is near zero, and says so by having no bound.
    """
    a = mean0**2 - quantile**2 * part0
    if a <= 0:
        return None, None
    b = mean1 * mean0
    c = mean1**2 - quantile**2 * part1
    spread = math.sqrt(max(b**2 - a * c, 0.0))
    ends = sorted(((b - spread) / a - 1, (b + spread) / a - 1))
    return ends[0], ends[1]


def wilson_interval(successes: int, n: int, *, confidence: float = 0.95) -> tuple[float, float] | None:
    """Interval of one proportion that stays inside 0 to 1 and holds for small groups.

    Args:
        successes: How many did it.
        n: Of how many people.
        confidence: Between 0 and 1.

    Returns:
        Lower and upper end, or null for nobody.

    Source: E. B. Wilson, JASA 22 (1927).
    """
    if n < 1:
        return None
    z = normal_quantile((1 + confidence) / 2)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == n else centre + half)


def newcombe_interval(
    n1: int, successes1: int, n0: int, successes0: int, *, confidence: float = 0.95
) -> tuple[float, float] | None:
    """Interval of the difference of two proportions that holds for small groups and few successes.

    Args:
        n1: People in the treated group.
        successes1: How many of them did it.
        n0: People in the control group.
        successes0: How many of them did it.
        confidence: Between 0 and 1.

    Returns:
        Its lower and upper end, of treated less control; None where a group is empty.

    Source: R. G. Newcombe, Statistics in Medicine 17 (1998), method 10: both groups' Wilson intervals put together.
    """
    first = wilson_interval(successes1, n1, confidence=confidence)
    second = wilson_interval(successes0, n0, confidence=confidence)
    if first is None or second is None:
        return None
    p1, p0 = successes1 / n1, successes0 / n0
    low = p1 - p0 - math.hypot(p1 - first[0], second[1] - p0)
    high = p1 - p0 + math.hypot(first[1] - p1, p0 - second[0])
    return low, high


def normal_quantile(probability: float) -> float:
    """The value below which a standard normal variable falls with this probability."""
    return NormalDist().inv_cdf(probability)


def chi_square_p(statistic: float) -> float:
    """The chance of a chi-square variable with one degree of freedom being this large or larger."""
    return math.erfc(math.sqrt(statistic / 2))


def student_t_p(t: float, degrees: float) -> float:
    """The two-sided p-value of Student's t; infinite degrees of freedom give the normal distribution."""
    if math.isinf(degrees):
        return math.erfc(abs(t) / math.sqrt(2))
    return _incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t))


def student_t_quantile(probability: float, degrees: float) -> float:
    """The value below which Student's t falls with this probability, 0.5 < probability < 1."""
    normal = normal_quantile(probability)
    if math.isinf(degrees):
        return normal
    low, high = normal, normal
    while student_t_p(high, degrees) > 2 * (1 - probability):
        low, high = high, high * 2
    for _ in range(60):  # bisection: halves an interval no wider than its lower end
        middle = (low + high) / 2
        if student_t_p(middle, degrees) > 2 * (1 - probability):
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularised incomplete beta function, by its continued fraction (Abramowitz & Stegun 26.5.8)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast on the other side only
        return 1 - front * _beta_fraction(b, a, 1 - x) / b
    return front * _beta_fraction(a, b, x) / a


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Evaluate the continued fraction by Lentz's method."""
    tiny = 1e-300
    c, d = 1.0, 1 / ((1 - (a + b) * x / (a + 1)) or tiny)
    value = d
    for m in range(1, 10_000):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / ((1 + step * d) or tiny)
            c = (1 + step / c) or tiny
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            return value
    raise ArithmeticError(f"the incomplete beta function did not converge for a={a}, b={b}, x={x}")
