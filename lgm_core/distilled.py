"""A distilled set on disk: the exact images as floats, PNGs any image-folder reader takes, and the history.

images.safetensors     images [n, 3, r, r] in [0, 1], labels [n]; class names and settings as metadata
images/<class>/<k>.png the same, rounded to 8 bits
grid.png               all of them at a glance
history.csv            loss before every step
settings.json          what made it, class names, names of the pictures
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxtyping import Float, Int
from torch import Tensor

from lgm_core.errors import InputError
from lgm_core.layout import picture_names
from lgm_core.pictures import image_grid
from lgm_core.provenance import versions
from lgm_core.store import (
    read_tensors,
    replacing_folder,
    write_json,
    write_png,
    write_tensors,
    write_text,
)

if TYPE_CHECKING:
    from lgm_core.distill import Distilled
    from lgm_core.specs import MethodSpec

_TENSORS = "images.safetensors"
_IMAGE_DIMENSIONS = 4


def save_distilled(
    folder: Path,
    result: Distilled,
    classes: tuple[str, ...],
    method: MethodSpec,
    facts: dict[str, Any],
) -> None:
    """Write a distilled set, whole or not at all.

    Args:
        folder: replaced if it exists.
        result: images, labels, losses.
        classes: names, by label.
        method: the settings used.
        facts: further JSON-like values: data set, backbone, seed.
    """
    pictures = picture_names(classes, result.labels.tolist())
    settings = {"method": asdict(method), **facts, "versions": versions()}
    with replacing_folder(folder) as new:
        write_tensors(
            new / _TENSORS,
            {"images": result.images, "labels": result.labels},
            {"classes": list(classes), "method": asdict(method)},
        )
        for image, picture in zip(result.images, pictures, strict=True):
            write_png(new / picture, image)
        write_png(new / "grid.png", image_grid(result.images))
        rows = [f"{step},{loss:.6f}" for step, loss in enumerate(result.losses)]
        write_text(new / "history.csv", "\n".join(["step,loss", *rows]) + "\n")
        write_json(new / "settings.json", {**settings, "classes": list(classes), "pictures": pictures})


def load_distilled(
    folder: Path, classes: tuple[str, ...], *, made_by: str
) -> tuple[Float[Tensor, "n 3 r r"], Int[Tensor, " n"]]:
    """Read a distilled set for a data set with the given classes.

    Raises:
        InputError: if it is missing or damaged, its classes differ in content or order, or its images and
            labels are not such a set.
    """
    tensors, metadata = read_tensors(folder / _TENSORS, made_by=made_by)
    stored = tuple(metadata["classes"])
    if stored != classes:
        raise InputError(
            f"{folder} was distilled for the classes {list(stored[:5])} …, the data set has "
            f"{list(classes[:5])} … in this order. Distil again with: {made_by}"
        )
    images, labels = tensors["images"], tensors["labels"]
    complete = labels.unique().tolist() == list(range(len(classes))) and len(images) == len(labels)
    if not complete or not (images.ndim == _IMAGE_DIMENSIONS and images.min() >= 0 and images.max() <= 1):
        found = f"{len(images)} images with {len(labels)} labels from {labels.unique().tolist()[:5]} …"
        raise InputError(
            f"{folder} holds {found}; expected at least one image with values in [0, 1] for each of "
            f"{len(classes)} classes. Distil again with: {made_by}"
        )
    return images, labels
