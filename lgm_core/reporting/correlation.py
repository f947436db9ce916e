"""Correlation of two measurements of the same pairs."""

from __future__ import annotations

from dataclasses import dataclass

# Two points always lie on a line.
LEAST_POINTS = 3


@dataclass(frozen=True)
class Correlation:
    """Correlation of n pairs; None where it is undefined: fewer than three pairs, or one side constant.

    Attributes:
        count: n.
        pearson: r.
        r_squared: r², the share of variance that a straight line explains.
        spearman: r of the ranks.
    """

    count: int
    pearson: float | None
    r_squared: float | None
    spearman: float | None


def correlation(x: list[float], y: list[float]) -> Correlation:
    """Pearson's r, r² and Spearman's ρ of the pairs (x_i, y_i)."""
    from scipy import stats

    if len(x) < LEAST_POINTS or len(set(x)) == 1 or len(set(y)) == 1:
        return Correlation(len(x), None, None, None)
    r, _ = stats.pearsonr(x, y)
    rho, _ = stats.spearmanr(x, y)
    return Correlation(len(x), float(r), float(r) ** 2, float(rho))  # pyright: ignore[reportArgumentType]
