"""The real training images nearest to distilled ones: a baseline, and what they are looked at beside.

features.safetensors   features [n, F] of the distilled images' centre views
images/<class>/<k>.png the nearest real image of the distilled image of that name
further/<class>/<k>/…  the next nearest ones, where they are kept
neighbors.json         which images these are, and their cosine similarities
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
from lgm_core.evaluation.selection import nearest_of_class
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
        numbers: of the nearest training images of the same class, [n, m], the nearest first.
        similarities: cosines between the two, [n, m].
    """

    features: Float[Tensor, "n f"]
    numbers: Int[Tensor, "n m"]
    similarities: Float[Tensor, "n m"]

    @property
    def nearest(self) -> list[int]:
        """Number of the nearest training image of each."""
        return self.numbers[:, 0].tolist()


def find_neighbors(
    members: Sequence[tuple[FrozenBackbone, FeatureCache]],
    images: Float[Tensor, "n 3 r r"],
    labels: Int[Tensor, " n"],
    input_size: int,
    count: int = 1,
) -> Neighbors:
    """Find the training images of the same class with the highest cosine similarities, for every image.

    Args:
        members: the distilling backbones, in whose feature spaces it is decided what is near, each with its
            features of the data set; of several the mean similarity counts.
        images: distilled, values in [0, 1].
        labels: their classes.
        input_size: side in pixels of what the backbones see.
        count: of training images for each; fewer where a class has fewer.

    Returns:
        Numbers and similarities; the features are the first member's.
    """
    views = center_crop(images, input_size)
    seen = [backbone.embed(views, exact=True).cpu() for backbone, _ in members]
    caches = [cache for _, cache in members]
    pairs = [(own, cache.train) for own, cache in zip(seen, caches, strict=True)]
    numbers = nearest_of_class(pairs, labels, caches[0].train_labels, count)
    similar = [functional.cosine_similarity(own[:, None], real[numbers], dim=2) for own, real in pairs]
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
    pictures = picture_names(train.classes, labels.tolist())
    rows = [_row(picture, train, found, place) for place, picture in enumerate(pictures)]
    entries = [{**nearest, "further": further} for nearest, *further in rows]
    names = [near["picture"] for row in rows for near in row]
    with replacing_folder(folder) as new:
        write_tensors(new / FEATURES_FILE, {"features": found.features, "labels": labels}, facts)
        for name, image in zip(names, squares(train, found.numbers.flatten().tolist(), side), strict=True):
            write_png(new / name, image)
        write_json(new / INDEX_FILE, {**facts, "neighbors": entries})


def _row(picture: str, train: ImageSet, found: Neighbors, place: int) -> list[dict[str, Any]]:
    """Picture, name and similarity of the real images nearest to one distilled image, the nearest first."""
    folder = f"further{picture.removeprefix('images').removesuffix('.png')}"
    return [
        {
            "picture": f"{folder}/{rank}.png" if rank else picture,
            "name": train.names[number],
            "similarity": round(similarity, 6),
        }
        for rank, (number, similarity) in enumerate(
            zip(found.numbers[place].tolist(), found.similarities[place].tolist(), strict=True)
        )
    ]
