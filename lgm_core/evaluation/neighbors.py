"""The real training images nearest to distilled ones: a baseline, and what they are looked at beside.

features.safetensors   features [n, F] of the distilled images' centre views
images/<class>/<k>.png the nearest real image of the distilled image of that name
neighbors.json         which image that is, and its cosine similarity
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    backbone: FrozenBackbone,
    cache: FeatureCache,
    images: Float[Tensor, "n 3 r r"],
    labels: Int[Tensor, " n"],
    input_size: int,
) -> Neighbors:
    """Find the training image of the same class with the highest cosine similarity, for every image.

    Args:
        backbone: the distilling one, whose feature space decides what is near.
        cache: its features of the data set.
        images: distilled, values in [0, 1].
        labels: their classes.
        input_size: side in pixels of what the backbone sees.
    """
    features = backbone.embed(center_crop(images, input_size), exact=True).cpu()
    numbers = select_neighbors(features, labels, cache.train, cache.train_labels)
    return Neighbors(features, numbers, functional.cosine_similarity(features, cache.train[numbers], dim=1))


def save_neighbors(
    folder: Path, found: Neighbors, train: ImageSet, labels: Int[Tensor, " n"], side: int
) -> None:
    """Write features, pictures and index, whole or not at all.

    Args:
        folder: replaced if it exists.
        found: what :func:`find_neighbors` returned.
        train: the training images.
        labels: classes of the distilled images.
        side: of the pictures in pixels.
    """
    numbers = found.numbers.tolist()
    pictures = picture_names(train.classes, labels.tolist())
    entries: list[dict[str, Any]] = [
        {"picture": picture, "name": train.names[number], "similarity": round(similarity, 6)}
        for picture, number, similarity in zip(pictures, numbers, found.similarities.tolist(), strict=True)
    ]
    with replacing_folder(folder) as new:
        write_tensors(new / FEATURES_FILE, {"features": found.features, "labels": labels}, {})
        for picture, image in zip(pictures, squares(train, numbers, side), strict=True):
            write_png(new / picture, image)
        write_json(new / INDEX_FILE, {"neighbors": entries})
