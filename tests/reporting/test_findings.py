"""Findings and their verdicts, and what the report opens with, of hand-made numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from reporting.hand_made import MODELS, VARIANTS, shown_settings
from reporting.whole_report import CLASSES

from lgm_core.reporting.blocks import AVERAGE, Block
from lgm_core.reporting.findings import (
    CONFIRMED,
    CONTRADICTED,
    IN_PART,
    OPEN,
    UNTOLD,
    Finding,
    findings,
    verdict_of,
)
from lgm_core.reporting.opening import headlines, main_dataset, opening_strip
from lgm_core.reporting.results import Results, Value
from lgm_core.reporting.tables import Table
from lgm_core.settings.params import Params

HIGH, LOW, NEAR = (Value(mean, 1.0, runs=(mean,) * 4) for mean in (60.0, 50.0, 50.5))


@pytest.mark.parametrize(
    ("compared", "verdict"),
    [
        ([(HIGH, LOW)], CONFIRMED),
        ([(HIGH, LOW), (NEAR, LOW)], IN_PART),
        ([(HIGH, LOW), (LOW, HIGH)], IN_PART),
        ([(NEAR, LOW)], OPEN),
        ([(LOW, HIGH), (NEAR, LOW)], CONTRADICTED),
    ],
)
def test_a_verdict_counts_what_exceeds_two_standard_errors(
    compared: list[tuple[Value, Value]], verdict: str
) -> None:
    assert verdict_of(compared, 3) == verdict
    assert verdict_of(compared, 1) == UNTOLD


@pytest.fixture
def several(suite: dict[str, Any]) -> Params:
    """Three models on two data sets, distilled twice; no ensembles, no rounds."""
    return replace(shown_settings(suite, "pets", "biased", MODELS, VARIANTS), distillations=2)


def named(found: list[Finding], word: str) -> Finding:
    (one,) = [finding for finding in found if word in finding.claim]
    return one


def test_images_are_compared_with_the_best_real_ones_of_every_model(three: Results, several: Params) -> None:
    """80, 60 and 40 with the model's own images, against 50 with random ones, on both data sets."""
    found = named(findings(three, several, []), "beat as many real ones")
    assert found.verdict == IN_PART
    assert found.measured.startswith("resolved in 4 of 6 ")
    assert "a resolved loss in 2; +10.0 points" in found.measured


def test_images_are_compared_with_random_ones_on_other_models(three: Results, several: Params) -> None:
    """30, 20, 60, 10, 20 and 15 against 50."""
    found = named(findings(three, several, []), "carry over to models")
    assert found.verdict == IN_PART
    assert "resolved in 2 of 12 " in found.measured
    assert "a resolved loss in 10; -24.2 points" in found.measured


def test_a_part_of_the_method_is_judged_on_other_models(three: Results, several: Params) -> None:
    """The mean of the six pairs is 25.8, 10 and 20 less without a part."""
    found = findings(three, several, [])
    assert named(found, "The pyramid").verdict == CONFIRMED
    assert "25.8 ± 2.0 against 15.8 ± 2.0: +10.0 ± 1.6" in named(found, "The pyramid").measured
    assert "against 5.8 ± 2.0" in named(found, "Augmentation").measured


def test_one_distillation_tells_nothing(three: Results, several: Params) -> None:
    found = findings(three, replace(several, distillations=1), [])
    assert {finding.verdict for finding in found} == {UNTOLD}
    assert "higher in 4 of 6" in named(found, "beat as many real ones").measured


def test_transfer_and_alignment_have_a_correlation_with_its_interval(three: Results, several: Params) -> None:
    x = [0.4, 0.2, 0.4, 0.3, 0.2, 0.3]
    y = [30 / 60, 20 / 40, 60 / 80, 10 / 40, 20 / 80, 15 / 60]
    r = float(np.corrcoef(x, y)[0, 1])
    margin = 1.96 / np.sqrt(3)
    low, high = np.tanh(np.arctanh(r) - margin), np.tanh(np.arctanh(r) + margin)
    found = named(findings(three, several, []), "aligned")
    assert found.measured == f"pets, 6 ordered pairs: r = {r:.2f}, 95 % from {low:.2f} to {high:.2f}"
    assert found.verdict == UNTOLD


def test_the_lead_on_fine_grained_classes_is_the_last_row_of_its_table(
    three: Results, several: Params
) -> None:
    for gap, verdict in (
        (Value(3.0, 1.0), CONFIRMED),
        (Value(-1.0, 1.0), OPEN),
        (Value(-3, 1), CONTRADICTED),
    ):
        block = Block("woof", "gap", "", ("woof", "gap"), (AVERAGE,), {"woof": {}, "gap": {AVERAGE: gap}})
        table = Table("table5", "", (block,), ())
        assert named(findings(three, several, [table]), "fine-grained").verdict == verdict


# The opening, of the hand-made report: 51.0 ± 1.0 everywhere


def test_the_opening_says_what_a_set_reaches_and_how_it_carries_over(
    whole: Results, settings: Params
) -> None:
    first, other, common = headlines(whole, settings)
    assert first.number.startswith("51.0")
    assert "one distilled image per class, mean of 2 models" in first.told
    assert "All 2,345 images: 65.0 %." in first.told
    assert other.number.startswith("51.0")
    assert "mean of 2 ordered pairs" in other.told
    assert common.number.startswith("+0.0")
    assert "all 2 models together" in common.told


def test_the_opening_strip_has_a_column_for_every_class(whole: Results, settings: Params) -> None:
    strip = opening_strip(whole, settings)
    assert (strip.dataset, strip.classes) == (main_dataset(settings), list(CLASSES))
    assert [row.title for row in strip.rows] == ["real images", "a", "b", "all together"]
    assert all(path is not None and path.is_file() for row in strip.rows for path in row.pictures)
    assert strip.rows[1].pictures[1] == next(
        path for path in sorted(whole.layout.cell("pets", "a").distilled.glob("images/*/*.png"))
        if "odd" in str(path)
    )  # fmt: skip


def test_an_opening_without_a_second_model_or_an_ensemble_is_shorter(
    whole: Results, settings: Params
) -> None:
    alone = replace(settings, backbones={"a": settings.backbones["a"]}, ensembles={})
    (only,) = headlines(whole, alone)
    assert "mean of" not in only.told
    assert [row.title for row in opening_strip(whole, alone).rows] == ["real images", "a"]
