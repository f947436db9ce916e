"""Real images chosen to stand for their class: the baselines of Table 1 (write-up §4)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from lgm_core.features.cache import FeatureCache
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.seeds import named_generator


def _members(labels: Int[Tensor, " n"], classes: tuple[str, ...], ipc: int) -> list[Tensor]:
    """Image numbers of every class.

    Raises:
        InputError: if a class has fewer than `ipc` images.
    """
    members = [(labels == label).nonzero().flatten() for label in range(len(classes))]
    short = [
        f"{name} ({len(found)})" for name, found in zip(classes, members, strict=True) if len(found) < ipc
    ]
    if short:
        raise InputError(
            f"{ipc} images per class were asked for (ipc), but these classes have fewer: "
            f"{', '.join(short[:10])}."
        )
    return members


def select_random(
    labels: Int[Tensor, " n"], classes: tuple[str, ...], ipc: int, generator: torch.Generator
) -> Int[Tensor, " k"]:
    """`ipc` different images of every class, class by class."""
    chosen = [
        found[torch.randperm(len(found), generator=generator)[:ipc]]
        for found in _members(labels, classes, ipc)
    ]
    return torch.cat(chosen)


def select_centroids(
    features: Float[Tensor, "n f"], labels: Int[Tensor, " n"], classes: tuple[str, ...], ipc: int
) -> Int[Tensor, " k"]:
    """The `ipc` images of every class whose features are nearest (Euclidean) to the class mean."""
    chosen = []
    for found in _members(labels, classes, ipc):
        own = features[found].double()
        distance = (own - own.mean(dim=0)).norm(dim=1)
        chosen.append(found[distance.argsort(stable=True)[:ipc]])
    return torch.cat(chosen)


def select_neighbors(
    synthetic: Float[Tensor, "k f"],
    synthetic_labels: Int[Tensor, " k"],
    features: Float[Tensor, "n f"],
    labels: Int[Tensor, " n"],
) -> Int[Tensor, " k"]:
    """For every synthetic image the real image of its class with the highest cosine similarity."""
    similarity = functional.normalize(synthetic, dim=1) @ functional.normalize(features, dim=1).T
    similarity = similarity.masked_fill(synthetic_labels[:, None] != labels[None, :], -torch.inf)
    return similarity.argmax(dim=1)


def select_baselines(cache: FeatureCache, ipc: int, *, draws: int, seed: int) -> dict[str, list[list[int]]]:
    """Image numbers of the baselines that need no distilled set: `centroids`, and `draws` times `random`."""
    labels = cache.train_labels
    classes = cache.classes
    random = [
        select_random(labels, classes, ipc, named_generator(seed, "draw", number)) for number in range(draws)
    ]
    centroids = select_centroids(cache.train, labels, classes, ipc)
    return {"centroids": [centroids.tolist()], "random": [draw.tolist() for draw in random]}
