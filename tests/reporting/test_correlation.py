"""Correlations agree with scipy, and are absent where they mean nothing."""

from __future__ import annotations

import pytest
import scipy.stats
import torch

from lgm_core.reporting.correlation import Correlation, correlation, pearson, ranks


@pytest.mark.parametrize("count", [3, 6, 12, 50])
def test_correlations_agree_with_scipy(count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    x = torch.randn(count, generator=generator, dtype=torch.float64)
    y = 0.5 * x + torch.randn(count, generator=generator, dtype=torch.float64)
    found = correlation(x.tolist(), y.tolist())
    assert found.count == count
    assert found.pearson == pytest.approx(scipy.stats.pearsonr(x.numpy(), y.numpy()).statistic)
    assert found.spearman == pytest.approx(scipy.stats.spearmanr(x.numpy(), y.numpy()).statistic)
    assert found.r_squared == pytest.approx(scipy.stats.linregress(x.numpy(), y.numpy()).rvalue ** 2)


def test_ties_share_their_ranks_as_in_scipy() -> None:
    values = [3.0, 1.0, 3.0, 2.0, 3.0, 1.0]
    assert ranks(values) == scipy.stats.rankdata(values).tolist() == [5, 1.5, 5, 3, 5, 1.5]
    other = [1.0, 2.0, 2.0, 5.0, 4.0, 0.0]
    expected = scipy.stats.spearmanr(values, other).statistic
    assert correlation(values, other).spearman == pytest.approx(expected)


def test_a_straight_line_and_a_monotone_curve_by_hand() -> None:
    assert correlation([1, 2, 4], [10, 8, 4]).pearson == pytest.approx(-1)
    curve = correlation([1, 2, 3, 4], [1, 10, 100, 1000])
    assert curve.spearman == pytest.approx(1)
    assert curve.pearson is not None
    assert curve.pearson < 0.9


def test_two_points_and_a_constant_have_no_correlation() -> None:
    assert correlation([1, 2], [3, 5]) == Correlation(2, None, None, None)
    assert pearson([1, 1, 1], [1, 2, 3]) is None
    assert correlation([], []) == Correlation(0, None, None, None)


def test_the_papers_table_7_gives_the_correlation_of_its_twelve_pairs() -> None:
    transfer = [69.5, 72.3, 46.6, 77.2, 95.5, 91.7, 66.1, 86.1, 70.2, 57.2, 87.4, 76.8]
    alignment = [0.21, 0.26, 0.18, 0.21, 0.39, 0.31, 0.26, 0.39, 0.30, 0.18, 0.31, 0.30]
    found = correlation(alignment, transfer)
    assert found.pearson == pytest.approx(0.83, abs=0.005)
    assert found.r_squared == pytest.approx(0.68, abs=0.01)
