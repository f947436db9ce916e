"""Whether distilled images carry over, from hand-made results, with pencil and paper."""

from __future__ import annotations

import pytest
from reporting.hand_made import sets, write_of

from lgm_core.reporting.blocks import Compared
from lgm_core.reporting.carried import carried_blocks, carried_told, cross_model_table, rivals
from lgm_core.reporting.results import Results

TWO = Compared(("a", "b"))


@pytest.fixture
def known(two: Results) -> Results:
    """What a distils beats every real set on b; what b distils loses to the Centroids of a."""
    own_a = sets([90.0, 91.0, 92.0], centroids=[80.0], neighbors=[1.0], random=[20.0, 30.0])
    own_b = sets([70.0], centroids=[40.0, 42.0], neighbors=[1.0], random=[10.0, 14.0])
    a_on_b = sets([50.0, 51.0, 52.0], centroids=[45.0], neighbors=[1.0], random=[0.0])
    b_on_a = sets([26.0, 27.0, 28.0], centroids=[27.0], neighbors=[1.0], random=[0.0])
    write_of(
        two.layout.cell("pets", "a"),
        "probe",
        {"targets": {"a": own_a, "b": a_on_b}},
    )
    write_of(
        two.layout.cell("pets", "b"),
        "probe",
        {"targets": {"b": own_b, "a": b_on_a}},
    )
    return two


def test_distilled_images_are_compared_with_the_targets_random_and_with_both_models_centroids(
    known: Results,
) -> None:
    found = rivals(known, "pets", "a", "b")
    assert {name: value.mean for name, value in found.items()} == {
        "over_random": 12.0,
        "over_source_centroids": 45.0,
        "over_own_centroids": 41.0,
    }


def test_leads_on_other_models_have_the_error_of_the_difference(known: Results) -> None:
    (block,) = carried_blocks(known, "pets", TWO)
    assert {row: cells["b"].mean for row, cells in block.cells.items()} == {
        "over_random": 39.0,
        "over_source_centroids": 6.0,
        "over_own_centroids": 10.0,
    }
    assert block.cells["over_random"]["a"].mean == 2.0
    assert block.cells["over_random"]["b"].std == pytest.approx((1 / 3 + 8 / 2) ** 0.5)
    assert block.cells["over_source_centroids"]["b"].std == pytest.approx((1 / 3) ** 0.5)
    assert block.cells["over_own_centroids"]["average"].mean == pytest.approx((10.0 - 53.0) / 2)


def test_an_average_takes_the_distillations_run_by_run(known: Results) -> None:
    (block,) = carried_blocks(known, "pets", TWO)
    # a on b and b on a rise together, so that their mean has the spread of either.
    assert block.cells["over_source_centroids"]["average"].std == pytest.approx((1 / 3) ** 0.5)


def test_pairs_beyond_two_standard_errors_are_counted_both_ways(known: Results) -> None:
    assert carried_told(known, "pets", TWO) == (
        "pets: in 2 ordered pairs of different models, distilled images beat the target's Random in 1 "
        "(lose in 0), the source's Centroids in 1 (lose in 0), the target's own Centroids in 1 (lose in 1), "
        "by more than two standard errors."
    )


def test_one_model_has_nobody_to_carry_over_to(known: Results) -> None:
    alone = Compared(("a",))
    assert len(cross_model_table(known, "pets", alone)) == 1
    assert carried_told(known, "pets", alone) == ""
