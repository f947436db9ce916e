"""Ridge regression on features: what a linear model in closed form reaches."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from lgm_core.foundation.seeds import named_generator

_RIDGE_PENALTIES = tuple(10.0**power for power in range(-4, 5))


def ridge_percent(
    train: Float[Tensor, "n f"],
    train_labels: Int[Tensor, " n"],
    test: Float[Tensor, "t f"],
    test_labels: Int[Tensor, " t"],
    *,
    seed: int,
    holdout: float,
) -> float:
    """Accuracy in percent of ridge regression on one-hot targets; its penalty is chosen on held-out
    training samples, then all of them are used."""
    shuffled = torch.randperm(len(train), generator=named_generator(seed, "ridge")).to(train.device)
    held = max(1, int(len(train) * holdout))
    classes = int(train_labels.max()) + 1
    fit = shuffled[held:]
    check = shuffled[:held]
    accuracies = [
        _ridge_accuracy(train[fit], train_labels[fit], train[check], train_labels[check], classes, penalty)
        for penalty in _RIDGE_PENALTIES
    ]
    best = _RIDGE_PENALTIES[max(range(len(accuracies)), key=accuracies.__getitem__)]
    return _ridge_accuracy(train, train_labels, test, test_labels, classes, best) * 100


def _ridge_accuracy(
    train: Tensor, labels: Tensor, test: Tensor, test_labels: Tensor, classes: int, penalty: float
) -> float:
    """Centred ridge: W = (ZᵀZ/n + λ tr/F I)⁻¹ ZᵀY/n."""
    mean = train.mean(dim=0)
    centred = (train - mean).double()
    targets = functional.one_hot(labels, classes).double()
    gram = centred.T @ centred / len(train)
    identity = torch.eye(gram.shape[0], dtype=gram.dtype, device=gram.device)
    weights = torch.linalg.solve(
        gram + penalty * gram.diagonal().mean() * identity,
        centred.T @ (targets - targets.mean(dim=0)) / len(train),
    )
    logits = (test - mean).double() @ weights + targets.mean(dim=0)
    return (logits.argmax(dim=1) == test_labels).double().mean().item()
