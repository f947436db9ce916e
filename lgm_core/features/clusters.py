"""Clusters of a class's real images, each with the image nearest to its centre (k-means)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.seeds import derive_seed

_STARTS = 4
"""Of k-means++, of which the one with the least spread counts."""
_SEEDS = 2**32
"""scikit-learn takes seeds below this."""


@dataclass(frozen=True)
class Clusters:
    """Clusters of all classes.

    Attributes:
        slots: [N], the cluster of every image: class · count + its number in the class, larger ones first.
        medoids: [C · count], the image of every slot that is nearest (Euclidean) to the slot's mean.
    """

    slots: Int[Tensor, " n"]
    medoids: Int[Tensor, " k"]


def class_members(labels: Int[Tensor, " n"], classes: tuple[str, ...], fewest: int) -> list[Tensor]:
    """Image numbers of every class.

    Raises:
        InputError: naming classes that have fewer than `fewest` images.
    """
    members = [(labels == label).nonzero().flatten() for label in range(len(classes))]
    short = [
        f"{name} ({len(found)})" for name, found in zip(classes, members, strict=True) if len(found) < fewest
    ]
    if short:
        raise InputError(
            f"{fewest} images per class were asked for (ipc), but these classes have fewer: "
            f"{', '.join(short[:10])}."
        )
    return members


def cluster_classes(
    features: Float[Tensor, "n f"],
    labels: Int[Tensor, " n"],
    count: int,
    *,
    seed: int,
    classes: tuple[str, ...],
) -> Clusters:
    """Cut every class into `count` clusters of its features.

    Args:
        features: [N, F].
        labels: [N].
        count: clusters of a class; with one it is the class.
        seed: root of k-means's draws.
        classes: class names.

    Raises:
        InputError: if a class has fewer images than clusters.
    """
    slots = torch.empty_like(labels)
    medoids = []
    for label, members in enumerate(class_members(labels, classes, count)):
        own = features[members].double().cpu()
        parts = _parts(own, count, derive_seed(seed, "clusters", label) % _SEEDS)
        for number, part in enumerate(parts):
            slots[members[part]] = label * count + number
            distances = (own[part] - own[part].mean(dim=0)).norm(dim=1)
            medoids.append(int(members[part[int(distances.argmin())]]))
    return Clusters(slots, torch.tensor(medoids))


def _parts(features: Float[Tensor, "n f"], count: int, seed: int) -> list[Int[Tensor, " m"]]:
    """Positions of the members of every cluster, none of them empty; larger clusters first."""
    different, owner = features.unique(dim=0, return_inverse=True)
    if count == 1:
        return [torch.arange(len(features))]
    if len(different) > count:
        from sklearn.cluster import KMeans

        means = KMeans(count, n_init=_STARTS, random_state=seed)  # pyright: ignore[reportArgumentType]
        found = means.fit(different.numpy())
        # Images that are equal count once for the centres, so that no cluster is empty.
        owner = torch.from_numpy(found.labels_).long()[owner]
    parts = [(owner == number).nonzero().flatten() for number in range(int(owner.max()) + 1)]
    while len(parts) < count:
        # Fewer different images than clusters: the largest cluster, all of one kind, is cut.
        largest = max(range(len(parts)), key=lambda number: len(parts[number]))
        parts += [parts[largest][1:]]
        parts[largest] = parts[largest][:1]
    return sorted(parts, key=lambda part: (-len(part), int(part[0])))
