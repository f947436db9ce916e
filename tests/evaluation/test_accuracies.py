"""The measures equal those of scikit-learn; balanced, worst-group and majority accuracy by hand."""

from __future__ import annotations

import pytest
import torch
from evaluation.clusters import CLASSES, WIDTH, clusters, random_heads
from sklearn.metrics import top_k_accuracy_score
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from torch.nn import functional

from lgm_core.evaluation.accuracies import (
    accuracies,
    group_accuracies,
    majority_accuracies,
    nearest_class_mean_percent,
    nearest_neighbor_percent,
    predict,
    scores,
    top_k_percent,
)

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


# Ranks and neighbours


def test_scores_are_those_of_a_linear_layer() -> None:
    heads, (features, _) = random_heads(), clusters(7)
    expected = torch.stack([functional.linear(features, head[:, :-1], head[:, -1]) for head in heads])
    torch.testing.assert_close(scores(heads, features), expected)
    assert torch.equal(predict(heads, features), expected.argmax(dim=-1))


def test_top_k_by_hand() -> None:
    head = torch.eye(4, 5)[None]  # class scores are the features themselves
    features = torch.tensor([[4.0, 3, 2, 1], [1, 4, 3, 2], [2, 1, 4, 3], [3, 2, 1, 4]])
    labels = torch.tensor([0, 2, 0, 2])  # ranks 1, 2, 3, 4
    assert [top_k_percent(head, features, labels, k) for k in (1, 2, 3, 4)] == [[25], [50], [75], [100]]


@pytest.mark.parametrize("k", [1, 2])
def test_top_k_equals_sklearn(k: int) -> None:
    heads, (features, labels) = random_heads(), clusters(50)
    expected = [
        top_k_accuracy_score(labels, one.numpy(), k=k, labels=range(CLASSES)) * 100
        for one in scores(heads, features)
    ]
    assert top_k_percent(heads, features, labels, k) == pytest.approx(expected)


@pytest.mark.parametrize(("classes", "measures"), [(2, {"top1"}), (4, {"top1"}), (5, {"top1", "top5"})])
def test_top_5_is_measured_from_five_classes_on(classes: int, measures: set[str]) -> None:
    generator = torch.Generator().manual_seed(0)
    heads = torch.randn(3, classes, WIDTH + 1, generator=generator)
    features = torch.randn(20, WIDTH, generator=generator)
    labels = torch.randint(classes, (20,), generator=generator)
    found = accuracies(heads, features, labels)
    assert found.keys() == measures | {"balanced", "worst_group"}
    assert found["top1"] == top_k_percent(heads, features, labels, 1)
    if "top5" in found:
        assert found["top5"] == [100.0] * 3


def test_nearest_neighbour_equals_sklearn() -> None:
    gallery, gallery_labels = clusters(12, spread=2)
    queries, labels = clusters(80, seed=1, spread=2)
    model = KNeighborsClassifier(1, metric="cosine").fit(gallery.numpy(), gallery_labels.numpy())
    predicted = torch.from_numpy(model.predict(queries.numpy()))
    assert nearest_neighbor_percent(gallery, gallery_labels, queries, predicted) == 100
    expected = model.score(queries.numpy(), labels.numpy()) * 100
    assert 0 < expected < 100
    assert nearest_neighbor_percent(gallery, gallery_labels, queries, labels) == pytest.approx(expected)


def test_nearest_neighbour_by_hand() -> None:
    gallery, gallery_labels = torch.tensor([[100.0, 0.0], [0.1, 0.1]]), torch.tensor([0, 1])
    queries = torch.tensor([[1.0, 0.2], [5.0, 4.0], [1.0, 1.1]])
    assert nearest_neighbor_percent(gallery, gallery_labels, queries, torch.tensor([0, 1, 1])) == 100
    assert nearest_neighbor_percent(gallery, gallery_labels, queries, torch.tensor([0, 0, 0])) == (
        pytest.approx(100 / 3)
    )


def test_nearest_class_mean_equals_sklearn() -> None:
    train, train_labels = clusters(30, spread=3)
    test, labels = clusters(80, seed=1, spread=3)
    model = NearestCentroid().fit(train.numpy(), train_labels.numpy())
    predicted = torch.from_numpy(model.predict(test.numpy()))
    assert nearest_class_mean_percent(train, train_labels, test, predicted) == 100
    expected = model.score(test.numpy(), labels.numpy()) * 100
    assert 0 < expected < 100
    assert nearest_class_mean_percent(train, train_labels, test, labels) == pytest.approx(expected)
