"""Alignment of two representations by their shared neighbours (Huh et al., Platonic Representation, 2024)."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from lgm_core.foundation.errors import InputError, SettingError
from lgm_core.foundation.seeds import named_generator
from lgm_core.settings.evaluation import AlignmentSettings

_SAMPLES_AT_ONCE = 2048
"""Bound on the samples that are compared with all others at once."""


def nearest_neighbors(features: Float[Tensor, "n f"], count: int) -> Int[Tensor, "n {count}"]:
    """The `count` nearest others of every sample, by inner product of l2-normalised features."""
    unit = functional.normalize(features.double(), dim=1)
    found = []
    for first in range(0, len(unit), _SAMPLES_AT_ONCE):
        similarity = unit[first : first + _SAMPLES_AT_ONCE] @ unit.T
        similarity[:, first:].fill_diagonal_(float("-inf"))
        found.append(similarity.topk(count, dim=1).indices)
    return torch.cat(found)


def mutual_knn(a: Float[Tensor, "n f"], b: Float[Tensor, "n g"], count: int) -> float:
    """mean_i |N_A(i) ∩ N_B(i)| / k, in [0, 1]; chance is k / (n - 1).

    Args:
        a, b: features of the same n samples under two backbones, in the same order.
        count: k.

    Raises:
        InputError: if k does not leave a neighbour out.
    """
    if not 1 <= count < len(a):
        raise SettingError("alignment.neighbors", count, f"1 to {len(a) - 1}, for there are {len(a)} samples")
    ours = nearest_neighbors(a, count)
    theirs = nearest_neighbors(b, count)
    shared = (ours[:, :, None] == theirs[:, None, :]).any(dim=2)
    return shared.double().mean().item()


def alignment_matrix(features: dict[str, Tensor], spec: AlignmentSettings) -> dict[str, Any]:
    """Mutual k-NN of every pair of backbones on the same samples.

    Args:
        features: test features [n, F] by backbone, samples in the same order.
        spec: neighbours, number of samples, seed of their choice.

    Returns:
        `matrix` name → name → alignment, and the settings it was measured with.
    """
    lengths = {name: len(one) for name, one in features.items()}
    if len(set(lengths.values())) != 1:
        raise InputError(f"Backbones were shown different numbers of test images: {lengths}.")
    count = next(iter(lengths.values()))
    used = min(spec.samples, count)
    chosen = torch.randperm(count, generator=named_generator(spec.seed, "alignment"))[:used]
    matrix = {
        a: {b: mutual_knn(features[a][chosen], features[b][chosen], spec.neighbors) for b in features}
        for a in features
    }
    return {
        "matrix": matrix,
        "neighbors": spec.neighbors,
        "seed": spec.seed,
        "samples": used,
        "chance": spec.neighbors / (used - 1),
    }
