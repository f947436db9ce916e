"""Memory is bounded whatever the number of classes: in parts everything is what it is at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lgm_core.evaluation import accuracies as measures
from lgm_core.evaluation import alignment, probe, ridge, small_sets
from lgm_core.evaluation.accuracies import accuracies, nearest_class_mean_percent, nearest_neighbor_percent
from lgm_core.evaluation.alignment import mutual_knn, nearest_neighbors
from lgm_core.evaluation.probe import TrainingViews, train_heads
from lgm_core.evaluation.ridge import ridge_percent
from lgm_core.evaluation.selection import nearest_of_class
from lgm_core.evaluation.small_sets import LabeledImages, evaluate_sets
from lgm_core.features.cache import FeatureCache
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.params import Params

CLASSES, WIDTH = 7, 5


@pytest.fixture
def draw() -> Callable[..., Tensor]:
    """`draw(3, 4)`: random numbers, others at every call."""
    generator = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(*shape, generator=generator)


def labels(count: int) -> Tensor:
    """Every class in turn."""
    return torch.arange(count) % CLASSES


@pytest.mark.parametrize("bound", [1, 20, 2**26])
def test_accuracies_in_parts(
    monkeypatch: pytest.MonkeyPatch, draw: Callable[..., Tensor], bound: int
) -> None:
    heads, features, gallery = draw(3, CLASSES, WIDTH + 1), draw(50, WIDTH), draw(14, WIDTH)

    def found() -> list[object]:
        return [
            accuracies(heads, features, labels(50)),
            nearest_neighbor_percent(gallery, labels(14), features, labels(50)),
            nearest_class_mean_percent(gallery, labels(14), features, labels(50)),
        ]

    expected = found()
    monkeypatch.setattr(measures, "_SCORES_AT_ONCE", bound)
    assert found() == expected


@pytest.mark.parametrize("bound", [1, 2 * CLASSES * (WIDTH + 1), 2**26])
@pytest.mark.parametrize("patience", [0, 3])
def test_heads_in_parts(
    monkeypatch: pytest.MonkeyPatch,
    params: Callable[..., Params],
    draw: Callable[..., Tensor],
    bound: int,
    patience: int,
) -> None:
    spec = replace(params().probe, batch_size=4, patience=patience)
    sets = [TrainingViews(draw(3, CLASSES, WIDTH), labels(CLASSES)) for _ in range(3)]
    validation = probe.Validation(draw(20, WIDTH), labels(20)) if patience else None

    def heads() -> Tensor:
        given = [sets[0], sets[0], *sets[1:], sets[1]]
        return train_heads(given, CLASSES, spec, epochs=9, seeds=[5, 6, 7, 8, 9], validation=validation)

    expected = heads()
    monkeypatch.setattr(probe, "_WEIGHTS_AT_ONCE", bound)
    torch.testing.assert_close(heads(), expected, rtol=1e-4, atol=1e-6)


def test_sets_in_parts(
    monkeypatch: pytest.MonkeyPatch,
    params: Callable[..., Params],
    tiny_backbone: Callable[..., FrozenBackbone],
    draw: Callable[..., Tensor],
) -> None:
    backbone = tiny_backbone()
    width = backbone.width(8)
    train, test = draw(30, width), draw(40, width)
    cache = FeatureCache(tuple("abcdefg"), train, labels(30), test, labels(40), train[None], train[None])
    spec = replace(params().probe, epochs=4, seeds=2, view_rounds=4)
    sets = {
        name: [LabeledImages(draw(CLASSES, 3, 8, 8).sigmoid(), labels(CLASSES)) for _ in range(count)]
        for name, count in (("distilled", 2), ("random", 3), ("centroids", 1))
    }

    def found() -> object:
        return evaluate_sets(backbone, cache, sets, spec, input_size=8, seed=1, draws=("random",))

    expected = found()
    for bound in (0, 2 * CLASSES * width):
        monkeypatch.setattr(small_sets, "_NUMBERS_AT_ONCE", bound)
        assert found() == expected


def test_neighbours_in_parts(monkeypatch: pytest.MonkeyPatch, draw: Callable[..., Tensor]) -> None:
    a, b = draw(50, WIDTH), draw(50, WIDTH)
    expected = nearest_neighbors(a, 4), mutual_knn(a, b, 4)
    for bound in (1, 7, 50):
        monkeypatch.setattr(alignment, "_SAMPLES_AT_ONCE", bound)
        assert torch.equal(nearest_neighbors(a, 4), expected[0])
        assert mutual_knn(a, b, 4) == expected[1]


def test_the_nearest_real_image_is_of_the_same_class(draw: Callable[..., Tensor]) -> None:
    """Against all pairs at once, under one backbone and under two."""
    pairs = [(draw(9, WIDTH), draw(40, WIDTH)), (draw(9, 3), draw(40, 3))]
    for given in (pairs[:1], pairs):
        similar = torch.stack([functional.cosine_similarity(a[:, None], b[None], dim=2) for a, b in given])
        other = labels(9)[:, None] != labels(40)[None]
        expected = similar.mean(dim=0).masked_fill(other, -torch.inf).argmax(dim=1)
        assert torch.equal(nearest_of_class(given, labels(9), labels(40))[:, 0], expected)


def one_hot_ridge(train: Tensor, test: Tensor, penalty: float) -> Tensor:
    """Predictions with all targets written out."""
    mean = train.mean(dim=0)
    centred = (train - mean).double()
    targets = functional.one_hot(labels(len(train)), CLASSES).double()
    gram = centred.T @ centred / len(train)
    grown = gram + penalty * gram.diagonal().mean() * torch.eye(WIDTH, dtype=torch.float64)
    weights = torch.linalg.solve(grown, centred.T @ (targets - targets.mean(dim=0)) / len(train))
    return ((test - mean).double() @ weights + targets.mean(dim=0)).argmax(dim=1)


@pytest.mark.parametrize("bound", [1, 2**25])
def test_ridge_without_targets_written_out(
    monkeypatch: pytest.MonkeyPatch, draw: Callable[..., Tensor], bound: int
) -> None:
    means = draw(CLASSES, WIDTH)
    train, test = (draw(count, WIDTH) + means[labels(count)] for count in (210, 90))
    monkeypatch.setattr(ridge, "_SCORES_AT_ONCE", bound)
    monkeypatch.setattr(ridge, "_RIDGE_PENALTIES", (0.1,))
    found = ridge_percent(train, labels(210), test, labels(90), seed=0, holdout=0.1)
    right = one_hot_ridge(train, test, 0.1) == labels(90)
    assert found == pytest.approx(right.double().mean().item() * 100, abs=1e-9)
