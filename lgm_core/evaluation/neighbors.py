"""The real training images nearest to distilled ones: a baseline, and what they are looked at beside.

features.safetensors   features [n, F] of the distilled images' centre views
images/<class>/<k>.png the nearest real image of the distilled image of that name
neighbors.json         which image that is, and its cosine similarity
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from lgm_core.distilled import picture_names
from lgm_core.evaluation.selection import select_neighbors
from lgm_core.features.augment import center_crop
from lgm_core.features.cache import FeatureCache
from lgm_core.foundation.store import replacing_folder, write_json, write_png, write_tensors
from lgm_core.images import ImageSet, squares
from lgm_core.models.frozen import FrozenBackbone

FEATURES_FILE = "features.safetensors"
INDEX_FILE = "neighbors.json"


@dataclass(frozen=True)
class Neighbors:
    """Nearest real images of a distilled set.

    Attributes:
        features: of the distilled images, [n, F].
        numbers: of the nearest training image of the same class, [n].
        similarities: cosines between the two, [n].
    """

    features: Float[Tensor, "n f"]
    numbers: Int[Tensor, " n"]
    similarities: Float[Tensor, " n"]


def find_neighbors(
    members: Sequence[tuple[FrozenBackbone, FeatureCache]],
    images: Float[Tensor, "n 3 r r"],
    labels: Int[Tensor, " n"],
    input_size: int,
) -> Neighbors:
    """Find the training image of the same class with the highest cosine similarity, for every image.

    Args:
        members: the distilling backbones, in whose feature spaces it is decided what is near, each with its
            features of the data set; of several the mean similarity counts.
        images: distilled, values in [0, 1].
        labels: their classes.
        input_size: side in pixels of what the backbones see.

    Returns:
        Numbers and similarities; the features are the first member's.
    """
    views = center_crop(images, input_size)
    seen = [backbone.embed(views, exact=True).cpu() for backbone, _ in members]
    caches = [cache for _, cache in members]
    pairs = [(own, cache.train) for own, cache in zip(seen, caches, strict=True)]
    numbers = select_neighbors(pairs, labels, caches[0].train_labels)
    similar = [functional.cosine_similarity(own, real[numbers], dim=1) for own, real in pairs]
    return Neighbors(seen[0], numbers, torch.stack(similar).mean(dim=0))


def save_neighbors(
    folder: Path,
    found: Neighbors,
    train: ImageSet,
    labels: Int[Tensor, " n"],
    side: int,
    facts: Mapping[str, Any],
) -> None:
    """Write features, pictures and index, whole or not at all.

    Args:
        folder: replaced if it exists.
        found: what :func:`find_neighbors` returned.
        train: the training images.
        labels: classes of the distilled images.
        side: of the pictures in pixels.
        facts: what they are of.
    """
    numbers = found.numbers.tolist()
    pictures = picture_names(train.classes, labels.tolist())
    entries: list[dict[str, Any]] = [
        {"picture": picture, "name": train.names[number], "similarity": round(similarity, 6)}
        for picture, number, similarity in zip(pictures, numbers, found.similarities.tolist(), strict=True)
    ]
    with replacing_folder(folder) as new:
        write_tensors(new / FEATURES_FILE, {"features": found.features, "labels": labels}, facts)
        for picture, image in zip(pictures, squares(train, numbers, side), strict=True):
            write_png(new / picture, image)
        write_json(new / INDEX_FILE, {**facts, "neighbors": entries})
