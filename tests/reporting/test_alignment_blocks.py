"""Transfer beside alignment, from hand-made results, with pencil and paper."""

from __future__ import annotations

import pytest
from reporting.hand_made import MODELS, VARIANTS, probed, write_of

from lgm_core.reporting.alignment_blocks import (
    alignment_told,
    matrix_blocks,
    normalized_transfer,
    pair_blocks,
    pairs,
)
from lgm_core.reporting.blocks import Compared
from lgm_core.reporting.results import Results, Value

THREE = Compared(MODELS, VARIANTS)


def test_pairs_are_all_ordered_pairs(three: Results) -> None:
    (block,) = pair_blocks(three, "pets", THREE)
    assert block.rows == ("a/b", "a/c", "b/a", "b/c", "c/a", "c/b")
    assert [tuple(row.split("/")) for row in block.rows] == pairs(MODELS)
    assert block.cells["b/a"] == {
        "alignment": Value(0.4, digits=3), "transfer": Value(60.0, 2.0), "normalized": Value(75.0),
    }  # fmt: skip


def test_matrices_normalise_by_the_columns_own_accuracy(three: Results) -> None:
    raw, transfer, probed_, alignment, found, _ = matrix_blocks(three, "pets", THREE)
    assert raw.cells["a"]["b"] == Value(30.0)
    assert {row: {c: v.mean for c, v in transfer.cells[row].items()} for row in MODELS} == {
        "a": {"a": 100.0, "b": 50.0, "c": 50.0},
        "b": {"a": 75.0, "b": 100.0, "c": 25.0},
        "c": {"a": 25.0, "b": 25.0, "c": 100.0},
    }
    assert transfer.cells == normalized_transfer(three, "pets", MODELS)
    # Probes have the mean of 1-NN in these results.
    assert probed_.cells == transfer.cells
    assert alignment.cells["a"]["c"] == Value(0.2, digits=3)
    # Transfer 50 50 75 25 25 25 against alignment .4 .2 .4 .3 .2 .3, in the order of the pairs.
    assert found.cells["overall"]["pairs"].mean == 6
    assert found.cells["overall"]["r"].mean == pytest.approx(0.3**0.5)
    assert found.cells["overall"]["r_squared"].mean == pytest.approx(0.3)
    assert found.cells["overall"]["spearman"].mean == pytest.approx(8 / 240**0.5)


def test_two_pairs_have_no_correlation(three: Results) -> None:
    *_, found, by_probe = matrix_blocks(three, "pets", THREE)
    assert by_probe.cells["a"] == found.cells["a"] == {"pairs": Value(2, digits=0)}


def test_matrices_tint_a_row_from_its_lowest_to_its_highest(three: Results) -> None:
    _, transfer, _, alignment, *_ = matrix_blocks(three, "pets", THREE)
    assert transfer.tints["b"] == {"a": 1.0, "c": 0.0}
    assert transfer.tints["a"] == {"b": 0.0, "c": 0.0}
    assert alignment.tints["c"] == {"a": 0.0, "b": 1.0}


def test_a_model_that_recognises_none_of_its_own_images_leaves_its_column_empty(three: Results) -> None:
    found = probed("c", 0)
    found["targets"]["c"]["distilled"]["nearest_neighbor"] = [[0.0]]
    write_of(three.layout.cell("pets", "c"), "probe", found)
    _, transfer, *_, correlations, _ = matrix_blocks(three, "pets", THREE)
    assert set(transfer.cells["a"]) == {"a", "b"}
    assert correlations.cells["overall"]["pairs"].mean == 4
    assert "normalized" not in pair_blocks(three, "pets", THREE)[0].cells["a/c"]


def test_the_originals_pairs_correlate_as_their_table_says(three: Results) -> None:
    *_, found, by_probe = matrix_blocks(three, "pets", THREE)
    published = found.cells["published"]
    assert published["pairs"].mean == 12
    assert published["r"].mean == pytest.approx(0.83, abs=0.005)
    assert published["r_squared"].mean == pytest.approx(0.68, abs=0.005)
    assert "published" not in by_probe.cells


def test_what_alignment_was_measured_with_is_told(three: Results) -> None:
    assert alignment_told(three, "pets", Compared(("a",))) == (
        "Alignment on pets: mutual k-NN with k = 2 of n = 1,001 test images; chance is 0.002."
    )
