"""Balanced, worst-group and majority accuracy, worked out by hand."""

from __future__ import annotations

import pytest
import torch

from lgm_core.evaluation.accuracies import accuracies, group_accuracies, majority_accuracies

# Class 0 has six images in groups 0 (4) and 1 (2), class 1 two images in groups 2 and 3.
LABELS = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1])
GROUPS = torch.tensor([0, 0, 0, 0, 1, 1, 2, 3])


def test_groups_count_alike_however_large() -> None:
    predicted = torch.tensor([0, 0, 0, 1, 0, 1, 1, 0])
    found = group_accuracies(predicted, LABELS, GROUPS)
    assert found == {"balanced": pytest.approx((100 * 4 / 6 + 50) / 2), "worst_group": 0.0}
    better = group_accuracies(torch.tensor([0, 0, 0, 1, 0, 1, 1, 1]), LABELS, GROUPS)
    assert better == {"balanced": pytest.approx((100 * 4 / 6 + 100) / 2), "worst_group": 50.0}


def test_always_the_majority_has_its_share_half_of_the_balance_and_no_worst_group() -> None:
    train = torch.tensor([1, 0, 0, 0, 1])
    found = majority_accuracies(train, LABELS, GROUPS)
    assert found == {"top1": 75.0, "balanced": 50.0, "worst_group": 0.0}


def test_the_majority_is_the_training_sets() -> None:
    assert majority_accuracies(torch.tensor([1, 1, 0]), LABELS, None)["top1"] == 25.0


def test_heads_are_measured_by_group_where_there_are_groups() -> None:
    # One feature; the first head answers 1 where it is positive, the second always 0.
    features = torch.tensor([[-1.0], [-1.0], [-1.0], [1.0], [-1.0], [1.0], [1.0], [-1.0]])
    heads = torch.tensor([[[0.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]]])
    found = accuracies(heads, features, LABELS, GROUPS)
    assert found["top1"] == pytest.approx([100 * 5 / 8, 75.0])
    assert found["balanced"] == pytest.approx([(100 * 4 / 6 + 50) / 2, 50.0])
    assert found["worst_group"] == pytest.approx([0.0, 0.0])


def test_without_groups_each_class_is_one() -> None:
    predicted = torch.tensor([0, 0, 0, 1, 0, 1, 1, 0])
    found = group_accuracies(predicted, LABELS, None)
    assert found == group_accuracies(predicted, LABELS, LABELS)
    assert found["worst_group"] == 50.0
