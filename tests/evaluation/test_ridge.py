"""Ridge regression equals scikit-learn's, and its penalty is chosen without the test set."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from evaluation.clusters import CLASSES, clusters
from sklearn.linear_model import Ridge
from torch import Tensor
from torch.nn import functional

from lgm_core.evaluation import ridge
from lgm_core.evaluation.ridge import ridge_percent
from lgm_core.foundation.seeds import named_generator


def _ridge_model(train: Tensor, labels: Tensor, penalty: float) -> Ridge:
    """scikit-learn's ridge with the penalty on its scale: λ n tr(ZᵀZ/n) / F."""
    centred = (train - train.mean(dim=0)).double()
    alpha = penalty * centred.square().sum().item() / train.shape[1]
    targets = functional.one_hot(labels, CLASSES).double()
    return Ridge(alpha=alpha).fit(train.double().numpy(), targets.numpy())


@pytest.mark.parametrize("penalty", [1e-4, 1e-2, 1.0, 100.0])
def test_ridge_with_a_fixed_penalty_equals_sklearn(penalty: float) -> None:
    train, train_labels = clusters(40, spread=3)
    test, labels = clusters(80, seed=1, spread=3)
    predicted = _ridge_model(train, train_labels, penalty).predict(test.double().numpy()).argmax(axis=1)
    arguments = (train, train_labels, test)
    assert ridge._ridge_accuracy(*arguments, torch.from_numpy(predicted), CLASSES, penalty) == 1
    expected = float(np.mean(predicted == labels.numpy()))
    assert 0 < expected < 1
    assert ridge._ridge_accuracy(*arguments, labels, CLASSES, penalty) == pytest.approx(expected)


def test_ridge_chooses_its_penalty_on_training_samples_alone() -> None:
    train, train_labels = clusters(60, spread=3, width=30)
    test, labels = clusters(80, seed=1, spread=3, width=30)
    order = torch.randperm(60, generator=named_generator(4, "ridge"))
    fit, check = order[12:], order[:12]
    penalties = [10.0**power for power in range(-4, 5)]

    def accuracy(penalty: float, fitted: tuple[Tensor, Tensor], tried: tuple[Tensor, Tensor]) -> float:
        model = _ridge_model(*fitted, penalty)
        right = model.predict(tried[0].double().numpy()).argmax(axis=1) == tried[1].numpy()
        return float(np.mean(right))

    held = [
        accuracy(penalty, (train[fit], train_labels[fit]), (train[check], train_labels[check]))
        for penalty in penalties
    ]
    expected = accuracy(penalties[int(np.argmax(held))], (train, train_labels), (test, labels)) * 100
    found = ridge_percent(train, train_labels, test, labels, seed=4, holdout=0.2)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        (torch.tensor([[1.0, 0.0], [0.0, 1.0]]), 100.0),  # one is held out: a single image is fitted
        (torch.full((6, 2), 0.5), 50.0),
        (torch.zeros(6, 2), 50.0),
        (torch.tensor([[1e-160, 0.0], [0.0, 1e-160]], dtype=torch.float64), None),
    ],
)
def test_few_images_and_features_that_do_not_vary_have_a_result(
    train: Tensor, expected: float | None
) -> None:
    labels = torch.arange(len(train)) % 2
    test = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=train.dtype)
    found = ridge_percent(train, labels, test, torch.tensor([0, 1]), seed=0, holdout=0.2)
    assert 0 <= found <= 100
    assert expected is None or found == expected
