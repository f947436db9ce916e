"""Ridge regression on features: what a linear model in closed form reaches."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lgm_core.foundation.seeds import named_generator

_SCORES_AT_ONCE = 2**25
"""Bound on test samples × classes of one product."""
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
    """Centred ridge: W = (ZᵀZ/n + λ tr/F I)⁻¹ ZᵀY/n; one-hot Y is never made, for it has n · C numbers.

    Features that do not vary, as those of a single image, tell nothing: W is 0, every sample is given the
    most frequent class.
    """
    mean = train.mean(dim=0)
    centred = (train - mean).double()
    shares = labels.bincount(minlength=classes).double() / len(train)
    sums = centred.new_zeros(classes, centred.shape[1]).index_add_(0, labels, centred)
    gram = centred.T @ centred / len(train)
    identity = torch.eye(gram.shape[0], dtype=gram.dtype, device=gram.device)
    spread = gram.diagonal().mean()
    # Without any spread the matrix would be zero and have no inverse; with 1 in its place W is 0.
    spread = torch.where(spread > torch.finfo(gram.dtype).tiny, spread, torch.ones_like(spread))
    weights = torch.linalg.solve(
        gram + penalty * spread * identity,
        # Zᵀ(Y - shares): the sum over every class, less what the centred features leave by rounding.
        (sums - shares[:, None] * centred.sum(dim=0)).T / len(train),
    )
    parts = (test - mean).split(max(1, _SCORES_AT_ONCE // classes))
    found = torch.cat([(part.double() @ weights + shares).argmax(dim=1) for part in parts])
    return (found == test_labels).double().mean().item()
