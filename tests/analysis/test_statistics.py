"""Intervals and tests against published tables and figures."""

import math
from statistics import fmean, variance

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage.analysis.statistics import (
    chi_square_p,
    difference_of_means,
    difference_of_proportions,
    newcombe_interval,
    normal_quantile,
    student_t_p,
    student_t_quantile,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("degrees", "probability", "value"),
    [  # NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2, critical values of Student's t
        (1, 0.975, 12.706),
        (2, 0.975, 4.303),
        (5, 0.95, 2.015),
        (10, 0.975, 2.228),
        (10, 0.999, 4.144),
        (30, 0.995, 2.750),
        (100, 0.975, 1.984),
        (math.inf, 0.975, 1.960),
    ],
)
def test_student_t_agrees_with_the_published_table(degrees, probability, value):
    assert student_t_quantile(probability, degrees) == pytest.approx(value, abs=6e-4)
    assert student_t_p(value, degrees) == pytest.approx(2 * (1 - probability), rel=3e-3)


@pytest.mark.parametrize(
    ("statistic", "p"),
    [(2.706, 0.10), (3.841, 0.05), (6.635, 0.01), (10.828, 0.001)],  # NIST 1.3.6.7.4, one degree of freedom
)
def test_chi_square_agrees_with_the_published_table(statistic, p):
    assert chi_square_p(statistic) == pytest.approx(p, rel=2e-3)


def test_student_t_becomes_the_normal_distribution():
    assert student_t_p(2.5, 1e7) == pytest.approx(student_t_p(2.5, math.inf), rel=1e-5)
    assert normal_quantile(0.975) == pytest.approx(1.959963984540054)


def test_t_with_one_degree_of_freedom_is_cauchy():
    for t in (0.1, 1.0, 7.5, 300.0):
        assert student_t_p(t, 1) == pytest.approx(1 - 2 / math.pi * math.atan(t), rel=1e-9)


def test_welch_p_value_is_the_area_under_student_t():
    """Two small samples, unequal variances; the area under the density by Simpson's rule is a second road."""
    a = [27.5, 21.0, 19.0, 23.6, 17.0, 17.9]
    b = [27.1, 22.0, 20.8, 23.4, 23.4, 23.5]
    part_a, part_b = variance(a) / 6, variance(b) / 6
    error = math.sqrt(part_a + part_b)
    degrees = (part_a + part_b) ** 2 / (part_a**2 / 5 + part_b**2 / 5)
    scale = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(degrees * math.pi)

    def density(x):
        return scale * (1 + x * x / degrees) ** (-(degrees + 1) / 2)

    found = difference_of_means(6, fmean(a), variance(a), 6, fmean(b), variance(b))
    t = abs(fmean(a) - fmean(b)) / error
    width = t / 2000
    weights = [1 if i in (0, 2000) else 4 if i % 2 else 2 for i in range(2001)]
    area = sum(weight * density(i * width) for i, weight in enumerate(weights)) * width / 3
    assert found.standard_error == pytest.approx(error)
    assert found.p_value == pytest.approx(1 - 2 * area, rel=1e-9)
    assert found.ci_high - found.ci_low == pytest.approx(2 * student_t_quantile(0.975, degrees) * error)


def test_fieller_has_no_bound_when_the_control_mean_may_be_zero():
    found = difference_of_means(100, 5.0, 4.0, 10, 0.1, 4.0)
    assert found.relative == pytest.approx(49.0)
    assert found.relative_ci_low is None
    assert found.relative_ci_high is None


@given(
    st.floats(1, 100), st.floats(0.01, 50), st.integers(50, 5000),
    st.floats(1, 100), st.floats(0.01, 5), st.integers(500, 5000),
)  # fmt: skip
def test_fieller_agrees_with_the_test_it_inverts(mean1, var1, n1, mean0, var0, n0):
    """The ends of the relative interval are the ratios that a t-test of mean1 − ratio × mean0 just does not reject."""
    found = difference_of_means(n1, mean1, var1, n0, mean0, var0)
    if found.relative_ci_low is None:
        return
    degrees = (var1 / n1 + var0 / n0) ** 2 / ((var1 / n1) ** 2 / (n1 - 1) + (var0 / n0) ** 2 / (n0 - 1))
    for end in (found.relative_ci_low, found.relative_ci_high):
        ratio = 1 + end
        t = (mean1 - ratio * mean0) / math.sqrt(var1 / n1 + ratio**2 * var0 / n0)
        assert abs(t) == pytest.approx(student_t_quantile(0.975, degrees), rel=1e-6)
    assert found.relative_ci_low <= found.relative <= found.relative_ci_high


def test_wilson_interval_agrees_with_published_figures():
    """Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    for successes, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert wilson_interval(successes, n) == pytest.approx((low, high), abs=5e-5)
    assert wilson_interval(0, 0) is None


def test_newcombe_interval_agrees_with_published_figures():
    """Newcombe, Statistics in Medicine 17 (1998), page 873, table II, method 10."""
    for group, low, high in (
        ((70, 56, 80, 48), 0.0524, 0.3339),
        ((10, 9, 10, 3), 0.1705, 0.8090),
        ((7, 6, 7, 2), 0.0582, 0.8062),
        ((56, 5, 29, 0), -0.0381, 0.1926),
        ((10, 0, 20, 0), -0.1611, 0.2775),
        ((10, 10, 10, 0), 0.6075, 1.0000),
    ):
        assert newcombe_interval(*group) == pytest.approx((low, high), abs=5e-5)
    assert newcombe_interval(5, 1, 0, 0) is None


def test_groups_too_small_to_compare_give_nulls():
    assert difference_of_means(0, 0.0, 0.0, 5, 1.0, 1.0).difference is None
    alone = difference_of_means(1, 3.0, 0.0, 5, 1.0, 1.0)
    assert (alone.difference, alone.standard_error, alone.ci_low) == (2.0, None, None)
    same = difference_of_proportions(10, 10, 10, 10)
    assert (same.difference, same.standard_error, same.p_value) == (0.0, 0.0, None)
