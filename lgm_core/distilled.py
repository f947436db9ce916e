"""A distilled set on disk: the exact images as floats, PNGs any image-folder reader takes, and the history.

images.safetensors     images [n, 3, r, r] in [0, 1], labels [n]; class names and settings as metadata
images/<class>/<k>.png the same, rounded to 8 bits
grid.png               all of them at a glance
history.csv            loss before every step
settings.json          what made it, and how long it took
"""

from __future__ import annotations

import platform
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lgm_core.errors import InputError
from lgm_core.pictures import image_grid
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
_UNSAFE = str.maketrans({"/": "_", "\\": "_", "\0": "_"})


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
        facts: further JSON-like values, such as data set, backbone, seconds.
    """
    settings = {"method": asdict(method), **facts, "versions": versions()}
    with replacing_folder(folder) as new:
        write_tensors(
            new / _TENSORS,
            {"images": result.images, "labels": result.labels},
            {"classes": list(classes), "method": asdict(method)},
        )
        folders = class_folders(classes)
        numbers: dict[int, int] = {}
        for image, label in zip(result.images, result.labels.tolist(), strict=True):
            number = numbers[label] = numbers.get(label, -1) + 1
            write_png(new / "images" / folders[label] / f"{number}.png", image)
        write_png(new / "grid.png", image_grid(result.images))
        rows = [f"{step},{loss:.6f}" for step, loss in enumerate(result.losses)]
        write_text(new / "history.csv", "\n".join(["step,loss", *rows]) + "\n")
        write_json(new / "settings.json", settings)


def class_folders(classes: tuple[str, ...]) -> list[str]:
    """A folder name for every class: the class's own where that is a safe and new one."""
    folders: list[str] = []
    for label, name in enumerate(classes):
        plain = name.translate(_UNSAFE)
        folders.append(f"{plain}_{label}" if plain in {"", ".", "..", *folders} else plain)
    return folders


def load_distilled(
    folder: Path, classes: tuple[str, ...], *, made_by: str
) -> tuple[Float[Tensor, "n 3 r r"], Int[Tensor, " n"]]:
    """Read a distilled set for a data set with the given classes.

    Raises:
        InputError: if it is missing or damaged, or its classes differ in content or order.
    """
    tensors, metadata = read_tensors(folder / _TENSORS, made_by=made_by)
    stored = tuple(metadata["classes"])
    if stored != classes:
        raise InputError(
            f"{folder} was distilled for the classes {list(stored[:5])} …, the data set has "
            f"{list(classes[:5])} … in this order. Distil again with: {made_by}"
        )
    return tensors["images"], tensors["labels"]


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    from importlib.metadata import version

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": version("timm"),
    }
