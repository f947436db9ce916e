"""IOR, HLR and LRS by hand."""

from __future__ import annotations

import math

import pytest

from lgm_core.reporting.judges import ranked
from lgm_core.reporting.measures import (
    hard_label_recovery,
    improvement_over_random,
    label_robust_score,
)


def test_differences_have_the_sign_that_their_names_say() -> None:
    assert improvement_over_random(50.0, 30.0) == 20.0
    assert hard_label_recovery(50.0, 70.0) == 20.0


@pytest.mark.parametrize(
    ("improvement", "recovery", "score"),
    [
        (100.0, -100.0, 1.0),
        (-100.0, 100.0, 0.0),
        # α = 0: (1 - e⁻¹) / (e - e⁻¹) = 0.632121 / 2.350402.
        (20.0, 20.0, 0.268941),
        # α = (0.4 - 0.1) / 2 = 0.15: (1.161834 - 0.367879) / 2.350402.
        (40.0, 10.0, 0.337795),
    ],
)
def test_label_robust_score_by_hand(improvement: float, recovery: float, score: float) -> None:
    assert label_robust_score(improvement, recovery) == pytest.approx(score, abs=1e-6)


def test_a_sets_line_among_the_judges() -> None:
    found = ranked(accuracy=60.0, random=30.0, full=75.0, whole=80.0)
    assert {name: value.mean for name, value in found.items()} == pytest.approx(
        {
            "share": 75.0,
            "ior": 30.0,
            "hlr": 15.0,
            "lrs": (math.exp(0.075) - math.exp(-1)) / (math.e - math.exp(-1)),
        }
    )
    assert "share" not in ranked(accuracy=60.0, random=30.0, full=0.0, whole=0.0)
