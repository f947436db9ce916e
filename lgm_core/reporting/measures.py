"""Measures by which distilled sets are ranked beside their accuracy (DD-Ranking, 2025)."""

from __future__ import annotations

import math

_PERCENT = 100.0


def improvement_over_random(accuracy: float, random: float) -> float:
    """IOR: what a set reaches more than random images of the same number, in percentage points."""
    return accuracy - random


def hard_label_recovery(accuracy: float, full: float) -> float:
    """HLR: what a set leaves to all images, in percentage points; 0 is best."""
    return full - accuracy


def label_robust_score(improvement: float, recovery: float) -> float:
    """LRS = (e^α - e^-1) / (e - e^-1) with α = ½ · IOR - ½ · HLR, both as fractions of 1.

    1 for IOR = 1 and HLR = -1, 0 for the opposite. Source: DD-Ranking, whose public code puts percent into
    the exponential and takes accuracies at the epoch that the test images choose; neither is done here.

    Args:
        improvement: IOR in percentage points.
        recovery: HLR in percentage points.
    """
    alpha = (improvement - recovery) / 2 / _PERCENT
    return (math.exp(alpha) - math.exp(-1)) / (math.e - math.exp(-1))
