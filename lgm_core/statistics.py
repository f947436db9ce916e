"""Correlation of two measurements of the same pairs."""

from __future__ import annotations

import math
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


def pearson(x: list[float], y: list[float]) -> float | None:
    """r = Σ (x - x̄)(y - ȳ) / √(Σ (x - x̄)² Σ (y - ȳ)²), or None where it is undefined."""
    if len(x) < LEAST_POINTS:
        return None
    mean_x, mean_y = math.fsum(x) / len(x), math.fsum(y) / len(y)
    away_x, away_y = [value - mean_x for value in x], [value - mean_y for value in y]
    spread = math.sqrt(math.fsum(a * a for a in away_x) * math.fsum(b * b for b in away_y))
    if spread == 0:
        return None
    return math.fsum(a * b for a, b in zip(away_x, away_y, strict=True)) / spread


def ranks(values: list[float]) -> list[float]:
    """Positions in ascending order from 1; equal values share the mean of theirs."""
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2
        for value in values
    ]


def correlation(x: list[float], y: list[float]) -> Correlation:
    """Pearson's r, r² and Spearman's ρ of the pairs (x_i, y_i)."""
    r = pearson(x, y)
    return Correlation(len(x), r, None if r is None else r * r, pearson(ranks(x), ranks(y)))
