"""Real images chosen to stand for their class: the baselines of Table 1 (write-up §4), and further ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from lgm_core.features.cache import FeatureCache
from lgm_core.features.clusters import class_members, cluster_classes
from lgm_core.foundation.seeds import named_generator


def select_random(
    labels: Int[Tensor, " n"], classes: tuple[str, ...], ipc: int, generator: torch.Generator
) -> Int[Tensor, " k"]:
    """`ipc` different images of every class, class by class."""
    chosen = [
        found[torch.randperm(len(found), generator=generator)[:ipc]]
        for found in class_members(labels, classes, ipc)
    ]
    return torch.cat(chosen)


def select_centroids(
    features: Float[Tensor, "n f"], labels: Int[Tensor, " n"], classes: tuple[str, ...], ipc: int
) -> Int[Tensor, " k"]:
    """The `ipc` images of every class whose features are nearest (Euclidean) to the class mean."""
    chosen = []
    for found in class_members(labels, classes, ipc):
        own = features[found].double()
        distance = (own - own.mean(dim=0)).norm(dim=1)
        chosen.append(found[distance.argsort(stable=True)[:ipc]])
    return torch.cat(chosen)


def nearest_of_class(
    pairs: Sequence[tuple[Tensor, Tensor]],
    synthetic_labels: Int[Tensor, " k"],
    labels: Int[Tensor, " n"],
    count: int = 1,
) -> Int[Tensor, "k m"]:
    """For every synthetic image the real images of its class with the highest mean cosine similarities.

    Args:
        pairs: features of the synthetic and of the real images, [k, F] and [N, F], under every backbone.
        synthetic_labels: [k].
        labels: [N].
        count: of images for each; fewer where a class has fewer.

    Returns:
        Positions among the real images, the nearest first; of equals the one that stands first.
    """
    unit = [(functional.normalize(a, dim=1), functional.normalize(b, dim=1)) for a, b in pairs]
    present = synthetic_labels.unique()
    count = min(count, int(labels.bincount(minlength=int(present.max()) + 1)[present].min()))
    nearest = synthetic_labels.new_empty(len(synthetic_labels), count)
    for label in present:  # a class at a time: memory for all pairs grows with its square
        own, real = ((given == label).nonzero().flatten() for given in (synthetic_labels, labels))
        similar = torch.stack([a[own] @ b[real].T for a, b in unit]).mean(dim=0)
        nearest[own] = real[similar.argsort(dim=1, descending=True, stable=True)[:, :count]]
    return nearest


def select_herding(
    features: Float[Tensor, "n f"], labels: Int[Tensor, " n"], classes: tuple[str, ...], ipc: int
) -> Int[Tensor, " k"]:
    """Images of every class whose mean stays near the class mean, one after another (Welling 2009).

    With w = μ at first: the image with the largest ⟨w, z⟩ that is not chosen yet, then w ← w + μ - z.
    Features are taken as they are cached.
    """
    chosen = []
    for found in class_members(labels, classes, ipc):
        own = features[found].double()
        mean = own.mean(dim=0)
        wanted = mean.clone()
        free = torch.ones(len(own), dtype=torch.bool, device=own.device)
        for _ in range(ipc):
            best = int((own @ wanted).masked_fill(~free, -torch.inf).argmax())
            free[best] = False
            wanted += mean - own[best]
            chosen.append(found[best])
    return torch.stack(chosen)


def select_k_center(
    features: Float[Tensor, "n f"], labels: Int[Tensor, " n"], classes: tuple[str, ...], ipc: int
) -> Int[Tensor, " k"]:
    """Images of every class that leave none far away (Euclidean): greedy k-center (Sener & Savarese 2018).

    The first is the one nearest to the class mean, then always the one farthest from all that are chosen.
    """
    chosen = []
    for found in class_members(labels, classes, ipc):
        own = features[found].double()
        best = int((own - own.mean(dim=0)).norm(dim=1).argmin())
        nearest = torch.full((len(own),), torch.inf, dtype=own.dtype, device=own.device)
        for _ in range(ipc):
            chosen.append(found[best])
            nearest = nearest.minimum((own - own[best]).norm(dim=1))
            nearest[best] = -1.0
            best = int(nearest.argmax())
    return torch.stack(chosen)


def select_further(cache: FeatureCache, ipc: int, *, seed: int) -> dict[str, list[list[int]]]:
    """Image numbers of the selections that people compare with beside Table 1's.

    Args:
        cache: features that they are made in.
        ipc: images of every class.
        seed: of k-means, the root of :func:`lgm_core.features.clusters.cluster_classes`.

    Returns:
        `herding`, `medoids`, the images nearest to the centres of k-means, and `k_center`; one set each.
    """
    how = (cache.train, cache.train_labels, cache.classes, ipc)
    medoids = cluster_classes(*how[:2], ipc, seed=seed, classes=cache.classes).medoids
    found = {"herding": select_herding(*how), "medoids": medoids, "k_center": select_k_center(*how)}
    return {name: [numbers.tolist()] for name, numbers in found.items()}


def select_baselines(cache: FeatureCache, ipc: int, *, draws: int, seed: int) -> dict[str, list[list[int]]]:
    """Image numbers of the baselines that need no distilled set: `centroids`, and `draws` times `random`."""
    labels = cache.train_labels
    classes = cache.classes
    random = [
        select_random(labels, classes, ipc, named_generator(seed, "draw", number)) for number in range(draws)
    ]
    centroids = select_centroids(cache.train, labels, classes, ipc)
    return {"centroids": [centroids.tolist()], "random": [draw.tolist() for draw in random]}
