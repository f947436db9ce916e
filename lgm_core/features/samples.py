"""Sample pictures of a data set, kept beside its features, so that no figure opens the data folder.

samples/<split>/<label>/<k>.png  some images of every class that figures show
samples/mean/<label>.png         the mean of up to 64 training images of the class
samples/samples.json             split → class → pictures; `mean` → class → picture
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lgm_core.foundation.store import write_json, write_png
from lgm_core.images import ImageSet, square
from lgm_core.settings.shown import shown_classes

SAMPLES = "samples"
_SHARES = (0.3, 0.6)
"""Which images of a class stand for it, by their place among all of its images."""
_AVERAGED = 64
MEAN = "mean"


def save_samples(folder: Path, splits: dict[str, ImageSet], side: int, facts: Mapping[str, Any]) -> None:
    """Write the sample pictures of every split.

    Args:
        folder: of the features.
        splits: images by name of the split, the training images' first.
        side: of the pictures in pixels.
        facts: what they are of.
    """
    index: dict[str, dict[str, list[str]]] = {}
    for split, images in splits.items():
        index[split] = {}
        for label in shown_classes(len(images.classes)):
            members = (images.labels == label).nonzero().flatten().tolist()
            pictures = index[split][images.classes[label]] = []
            for place, share in enumerate(_SHARES if members else ()):  # a test set may lack a class
                name = f"{split}/{label}/{place}.png"
                pixels = square(images.decode(members[int(share * len(members))]), side)
                write_png(folder / SAMPLES / name, pixels.to(torch.float32) / 255)
                pictures.append(name)
    means = _save_means(folder, next(iter(splits.values())), side)
    write_json(folder / SAMPLES / "samples.json", {**facts, **index, MEAN: means})


def _save_means(folder: Path, images: ImageSet, side: int) -> dict[str, str]:
    """Write the mean image of every shown class, of up to 64 images evenly spaced in it; class → picture."""
    written = {}
    for label in shown_classes(len(images.classes)):
        members = (images.labels == label).nonzero().flatten().tolist()
        if not members:
            continue
        count = min(len(members), _AVERAGED)
        total = torch.zeros(3, side, side, dtype=torch.float64)
        for number in range(count):
            total += square(images.decode(members[number * len(members) // count]), side)
        name = f"{MEAN}/{label}.png"
        write_png(folder / SAMPLES / name, (total / count / 255).to(torch.float32))
        written[images.classes[label]] = name
    return written
