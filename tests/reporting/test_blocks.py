"""The blocks of every kind of table, from hand-made results, with pencil and paper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from reporting.hand_made import MODELS, VARIANTS, baselines, sets, write_of

from lgm_core.foundation.errors import InputError
from lgm_core.reporting.alignment_blocks import pair_blocks
from lgm_core.reporting.blocks import (
    Block,
    Compared,
    cross_model_blocks,
    lead_gap,
    same_model_blocks,
    spurious_blocks,
)
from lgm_core.reporting.results import Results, Value, summarize
from lgm_core.reporting.table_formats import best_rows
from lgm_core.reporting.variant_blocks import ablation_blocks

TWO, THREE = Compared(("a", "b")), Compared(MODELS, VARIANTS, varied=MODELS)

# Linear probes on the same model


def test_same_model_takes_each_backbones_own_sets(two: Results) -> None:
    (pets,) = same_model_blocks(two, "pets", TWO)
    (cars,) = same_model_blocks(two, "cars", TWO)
    assert (pets.dataset, cars.dataset) == ("pets", "cars")
    assert pets.cells["distilled"] == {
        "a": Value(85.0, 5.0),
        "b": Value(62.0, 1.0),
        "average": Value(73.5, 3.0),
    }
    assert pets.cells["full"]["average"] == Value(87.5, 0.5)
    assert pets.cells["ridge"] == {"a": Value(91.0), "b": Value(71.5), "average": Value(81.25)}
    assert pets.cells["random"]["a"] == summarize([40.0, 50.0, 60.0])
    assert cars.cells["distilled"]["a"] == Value(75.0, 5.0)


def test_the_lead_is_over_the_best_real_set_with_the_error_of_the_difference(two: Results) -> None:
    (pets,) = same_model_blocks(two, "pets", TWO)
    assert (pets.cells["lead"]["a"].mean, pets.cells["lead"]["b"].mean) == (0.0, -23.0)
    assert pets.cells["lead"]["a"].std == pytest.approx(5 / 3**0.5)
    found = sets([80.0, 81.0, 82.0], centroids=[70.0, 72.0, 74.0], neighbors=[60.0], random=[1.0, 2.0])
    write_of(two.layout.cell("pets", "a"), "probe", {"targets": {"a": found}})
    (alone,) = same_model_blocks(two, "pets", Compared(("a",)))
    assert alone.cells["lead"]["a"].mean == 9.0
    assert alone.cells["lead"]["a"].std == pytest.approx((1 / 3 + 4 / 3) ** 0.5)


def test_same_model_has_the_papers_rows_and_the_ceilings(two: Results) -> None:
    (block,) = same_model_blocks(two, "pets", TWO)
    assert block.rows == (
        "distilled", "neighbors", "centroids", "random", "lead", "full", "nearest_class_mean", "ridge",
    )  # fmt: skip
    assert block.columns == ("a", "b", "average")
    assert set(block.cells) == set(block.rows)


@pytest.mark.parametrize("make", [same_model_blocks, cross_model_blocks])
def test_columns_are_the_given_backbones_in_their_order(
    two: Results, make: Callable[..., tuple[Block, ...]]
) -> None:
    (block,) = make(two, "pets", Compared(("b", "a")))
    assert block.columns == ("b", "a", "average")


def test_one_backbone_is_its_own_average(two: Results) -> None:
    (alone,) = cross_model_blocks(two, "pets", Compared(("b",)))
    assert alone.columns == ("b", "average")
    assert alone.rows == ("b", "centroids/b", "random", "full", "ridge")
    assert alone.cells["b"] == {"b": Value(62.0, 1.0), "average": Value(62.0, 1.0)}


def test_the_best_small_training_set_of_a_column_is_the_best(two: Results, three: Results) -> None:
    (pets,) = same_model_blocks(two, "pets", TWO)
    # Centroids tie with the distilled images at 85.0 in a; the full data set is no contender.
    assert best_rows(pets, "a") == {"distilled", "centroids"}
    assert best_rows(pets, "b") == {"centroids"}
    (block,) = same_model_blocks(three, "pets", THREE)
    assert block.cells["random"]["b"] == Value(50.0)
    assert block.cells["ridge"]["average"] == Value(65.0)
    assert best_rows(block, "a") == {"distilled"}
    assert best_rows(block, "c") == {"random"}


# Cross-model


def test_cross_model_rows_distil_and_columns_evaluate(two: Results) -> None:
    (pets,) = cross_model_blocks(two, "pets", TWO)
    assert pets.cells["a"] == {
        "a": Value(85.0, 5.0),
        "b": Value(40.0, 10.0),
        "average": Value(62.5, 7.5),
    }
    assert pets.cells["b"]["a"] == Value(20.0, 0.0)
    assert pets.cells["full"] == {
        "a": Value(95.0, 1.0),
        "b": Value(80.0, 0.0),
        "average": Value(87.5, 0.5),
    }
    assert best_rows(pets, "a") == {"a", "centroids/a"}
    assert best_rows(pets, "b") == {"centroids/b"}


def test_real_images_that_a_model_chose_are_seen_by_every_model(two: Results) -> None:
    (pets,) = cross_model_blocks(two, "pets", TWO)
    assert pets.rows == ("a", "b", "centroids/a", "centroids/b", "random", "full", "ridge")
    assert pets.cells["centroids/a"] == {
        "a": Value(85.0, 0.0),
        "b": Value(30.0, 0.0),
        "average": Value(57.5, 0.0),
    }
    assert pets.cells["random"] == dict.fromkeys(("a", "b", "average"), Value(50.0, 10.0))
    assert pets.cells["ridge"]["b"] == Value(71.5)


def test_cross_model_shares_are_of_the_better_of_the_full_probe_and_ridge(two: Results) -> None:
    (block,) = cross_model_blocks(two, "pets", TWO)
    assert block.shares["a"] == pytest.approx({"a": 100 * 85 / 95, "b": 50.0, "average": 100 * 62.5 / 87.5})
    assert set(block.shares) == {"a", "b", "centroids/a", "centroids/b", "random"}
    assert block.tints["a"] == pytest.approx({"a": 85 / 95, "b": 0.5, "average": 62.5 / 87.5})
    write_of(
        two.layout.cell("pets", "a"),
        "baselines",
        baselines([94.0, 96.0], ridge=97.0),
    )
    (block,) = cross_model_blocks(two, "pets", TWO)
    assert block.shares["a"]["a"] == pytest.approx(100 * 85 / 97)


def test_of_an_accuracy_of_zero_there_is_no_share(two: Results) -> None:
    write_of(two.layout.cell("pets", "a"), "baselines", baselines([0.0], ridge=0.0))
    (block,) = cross_model_blocks(two, "pets", TWO)
    assert "a" not in block.shares["a"]
    assert block.shares["a"]["b"] == 50.0


def test_a_share_of_more_than_everything_is_tinted_as_everything(two: Results) -> None:
    write_of(two.layout.cell("pets", "a"), "baselines", baselines([50.0], ridge=40.0))
    (block,) = cross_model_blocks(two, "pets", TWO)
    assert block.shares["a"]["a"] == 170.0
    assert block.tints["a"]["a"] == 1


# Ablation


def test_ablation_same_is_the_diagonal_and_cross_the_mean_of_the_others(three: Results) -> None:
    same, cross = ablation_blocks(three, "pets", THREE)
    assert same.cells["method"] == {
        "a": Value(80.0, 2.0), "b": Value(60.0, 2.0), "c": Value(40.0, 2.0), "average": Value(60.0, 2.0),
    }  # fmt: skip
    assert cross.cells["method"] == {
        "a": Value(25.0, 2.0), "b": Value(35.0, 2.0), "c": Value(17.5, 2.0), "average": Value(77.5 / 3, 2.0),
    }  # fmt: skip
    assert same.cells["no_augment"]["b"] == Value(40.0, 2.0)
    assert cross.cells["no_pyramid"]["c"] == Value(7.5, 2.0)
    assert same.rows == ("method", "no_pyramid", "no_augment", "full")
    assert cross.rows == ("method", "no_pyramid", "no_augment")
    assert best_rows(same, "a") == {"method"}


def test_ablation_of_one_backbone_is_probed_on_all_others(three: Results) -> None:
    same, cross = ablation_blocks(three, "pets", replace(THREE, varied=("b",)))
    assert same.columns == cross.columns == ("b",)
    assert same.cells["full"]["b"] == three.full("pets", "b")
    assert cross.cells["method"]["b"] == Value(35.0, 2.0)


def test_ablation_needs_another_model(three: Results) -> None:
    with pytest.raises(InputError, match="two backbones"):
        ablation_blocks(three, "pets", Compared(("a",), VARIANTS))


# Spurious correlations


def test_spurious_shows_three_measures(three: Results) -> None:
    top1, balanced, worst = spurious_blocks(three, "biased", THREE)
    assert [block.measure for block in (top1, balanced, worst)] == ["top1", "balanced", "worst_group"]
    assert {block.dataset for block in (top1, balanced, worst)} == {"biased"}
    assert top1.cells["distilled"]["a"] == Value(80.0, 2.0)
    assert balanced.cells["distilled"]["a"] == Value(70.0, 2.0)
    assert worst.cells["centroids"]["c"] == Value(20.0)
    assert [block.cells["majority"]["a"].mean for block in (top1, balanced, worst)] == [70.0, 50.0, 0.0]
    assert worst.cells["full"]["average"] == Value(70.0, 2.0)


# Where a number comes from


def test_a_value_knows_its_file(three: Results) -> None:
    (block,), layout = pair_blocks(three, "pets", THREE), three.layout
    assert block.cells["a/b"]["transfer"].origin == layout.cell("pets", "a").probe
    assert block.cells["a/b"]["normalized"].origin == layout.cell("pets", "a").probe
    assert block.cells["a/b"]["alignment"].origin == layout.cell("pets").alignment
    ablation = ablation_blocks(three, "pets", THREE)[0]
    origin = ablation.cells["no_pyramid"]["b"].origin
    assert origin == layout.cell("pets", "b", "ablation/no_pyramid").probe
    assert ablation.cells["no_pyramid"]["average"].origin is None


def test_the_gap_is_the_difference_of_mean_leads(two: Results) -> None:
    def block(dataset: str, *leads: Value) -> Block:
        cells = {"lead": dict(zip(("a", "average"), leads, strict=True))}
        return Block(dataset, "top1", "", ("lead",), ("a", "average"), cells)

    own = (block("dogs", Value(6.0, 3.0), Value(1.0, 0.0)), block("cub", Value(2.0, 4.0), Value(1.0, 0.0)))
    gap = lead_gap(own, [block("all", Value(1.0, 6.0), Value(5.0, 1.0))], "table1")
    assert gap.rows == ("table1/all", "dogs", "cub", "gap")
    assert gap.cells["table1/all"]["a"] == Value(1.0, 6.0)
    # The mean of 6 ± 3 and 2 ± 4 is 4 ± 2.5; less 1 ± 6 it is 3 ± 6.5.
    assert gap.cells["gap"] == {"a": Value(3.0, 6.5), "average": Value(-4.0, 1.0)}
