"""Correlations are those of the definition, and are absent where they mean nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from lgm_core.reporting.correlation import LEAST_POINTS, Correlation, correlation


def defined(x: list[float], y: list[float]) -> float:
    """r = Σ (x - x̄)(y - ȳ) / √(Σ (x - x̄)² Σ (y - ȳ)²)."""
    mean_x, mean_y = math.fsum(x) / len(x), math.fsum(y) / len(y)
    away_x, away_y = [value - mean_x for value in x], [value - mean_y for value in y]
    spread = math.sqrt(math.fsum(a * a for a in away_x) * math.fsum(b * b for b in away_y))
    return math.fsum(a * b for a, b in zip(away_x, away_y, strict=True)) / spread


def ranks(values: list[float]) -> list[float]:
    """Positions in ascending order from 1; equal values share the mean of theirs."""
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2
        for value in values
    ]


@pytest.mark.parametrize("count", [3, 6, 12, 50])
def test_correlations_are_those_of_the_definition_and_of_scipy(count: int) -> None:
    generator = np.random.default_rng(count)
    x = generator.normal(size=count)
    y = 0.5 * x + generator.normal(size=count)
    found = correlation(x.tolist(), y.tolist())
    assert found.count == count
    assert found.pearson == pytest.approx(defined(x.tolist(), y.tolist()))
    assert found.pearson == pytest.approx(scipy.stats.pearsonr(x, y).statistic)
    assert found.spearman == pytest.approx(defined(ranks(x.tolist()), ranks(y.tolist())))
    assert found.spearman == pytest.approx(scipy.stats.spearmanr(x, y).statistic)
    assert found.r_squared == pytest.approx(scipy.stats.linregress(x, y).rvalue ** 2)


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), max_size=12))
def test_ties_are_counted_as_the_definition_counts_them(points: list[tuple[int, int]]) -> None:
    x, y = [float(one) for one, _ in points], [float(other) for _, other in points]
    found = correlation(x, y)
    if len(points) < LEAST_POINTS or len(set(x)) == 1 or len(set(y)) == 1:
        assert found == Correlation(len(points), None, None, None)
        return
    assert found.pearson == pytest.approx(defined(x, y), abs=1e-12)
    assert found.r_squared == pytest.approx(defined(x, y) ** 2, abs=1e-12)
    assert found.spearman == pytest.approx(defined(ranks(x), ranks(y)), abs=1e-12)


def test_ties_share_their_ranks() -> None:
    values, other = [3.0, 1.0, 3.0, 2.0, 3.0, 1.0], [1.0, 2.0, 2.0, 5.0, 4.0, 0.0]
    assert ranks(values) == scipy.stats.rankdata(values).tolist() == [5, 1.5, 5, 3, 5, 1.5]
    expected = scipy.stats.spearmanr(values, other).statistic
    assert correlation(values, other).spearman == pytest.approx(expected)
    assert correlation(values, other).spearman == pytest.approx(defined(ranks(values), ranks(other)))


def test_a_straight_line_and_a_monotone_curve_by_hand() -> None:
    assert correlation([1, 2, 4], [10, 8, 4]).pearson == pytest.approx(-1)
    curve = correlation([1, 2, 3, 4], [1, 10, 100, 1000])
    assert curve.spearman == pytest.approx(1)
    assert curve.pearson is not None
    assert curve.pearson < 0.9


def test_two_points_and_a_constant_have_no_correlation() -> None:
    assert correlation([1, 2], [3, 5]) == Correlation(2, None, None, None)
    assert correlation([1, 1, 1], [1, 2, 3]) == Correlation(3, None, None, None)
    assert correlation([1, 2, 3], [1, 1, 1]) == Correlation(3, None, None, None)
    assert correlation([], []) == Correlation(0, None, None, None)


def test_the_papers_table_7_gives_the_correlation_of_its_twelve_pairs() -> None:
    transfer = [69.5, 72.3, 46.6, 77.2, 95.5, 91.7, 66.1, 86.1, 70.2, 57.2, 87.4, 76.8]
    alignment = [0.21, 0.26, 0.18, 0.21, 0.39, 0.31, 0.26, 0.39, 0.30, 0.18, 0.31, 0.30]
    found = correlation(alignment, transfer)
    assert found.pearson == pytest.approx(0.83, abs=0.005)
    assert found.r_squared == pytest.approx(0.68, abs=0.01)
