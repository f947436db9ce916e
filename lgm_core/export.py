"""Distilled sets that other people's tools read: class folders of PNGs, the exact tensors, and a data card.

train/<class>/<k>.png  for torchvision's ImageFolder, timm and `load_dataset("imagefolder", data_dir=…)`
images.safetensors     images [n, 3, r, r] in [0, 1] and labels [n], before rounding to 8 bits
README.md              the data card: what it is, how it was made, what it reaches, under which licence
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lgm_core.datasets import IMAGE_SUFFIXES, decode_file
from lgm_core.errors import InputError
from lgm_core.store import read_json, read_tensors, replacing_folder, write_png, write_tensors, write_text

_TENSORS = "images.safetensors"
_IMAGES = "train"
_CARD = "data_card.md"
_UNSAFE = str.maketrans({"/": "_", "\\": "_", "\0": "_"})


@dataclass(frozen=True)
class DistilledSet:
    """A distilled set by itself.

    Attributes:
        images: [n, 3, r, r], values in [0, 1].
        labels: [n], positions in `classes`.
        classes: class names.
        facts: what made it, where that is known: `dataset`, `backbone`, `settings`.
    """

    images: Float[Tensor, "n 3 r r"]
    labels: Int[Tensor, " n"]
    classes: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)

    def labels_in(self, classes: tuple[str, ...]) -> Int[Tensor, " n"]:
        """The labels as positions in a data set's classes.

        Raises:
            InputError: if the classes differ; their order may only where the set came as bare folders, which
                have none.
        """
        if self.classes == classes:
            return self.labels
        only_here, only_there = sorted({*self.classes} - {*classes}), sorted({*classes} - {*self.classes})
        if only_here or only_there or self.facts:
            raise InputError(
                f"The set has the classes {list(self.classes[:5])} …, the data set {list(classes[:5])} …; "
                f"only in the set: {only_here[:5]}, only in the data set: {only_there[:5]}. "
                "Content and order have to agree."
            )
        places = torch.tensor([classes.index(name) for name in self.classes])
        return places[self.labels]


def class_folders(classes: tuple[str, ...]) -> list[str]:
    """A folder name for every class, such that readers that sort folders number the classes as we do."""
    plain = [name.translate(_UNSAFE) for name in classes]
    by_number = sorted(plain, key=_natural)
    if plain == sorted(plain) == by_number and len({*plain}) == len(plain) and not {"", ".", ".."} & {*plain}:
        return plain
    digits = len(str(len(classes) - 1))
    return [f"{label:0{digits}}_{name}" for label, name in enumerate(plain)]


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """timm's order: runs of digits as numbers, letters without case."""
    parts = re.split(r"(\d+)", name.lower())
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def export_distilled(folder: Path, distilled: DistilledSet, card: str) -> None:
    """Write a set and its data card, whole or not at all.

    Args:
        folder: must not exist yet, or be an export that is replaced.
        distilled: what to write.
        card: the text of README.md.

    Raises:
        InputError: if the folder holds something else.
    """
    if folder.exists() and not (folder / _TENSORS).is_file() and any(folder.iterdir()):
        raise InputError(f"{folder} exists and is no exported set; give a new folder.")
    folders = class_folders(distilled.classes)
    seen: dict[int, int] = {}
    with replacing_folder(folder) as new:
        metadata = {"classes": list(distilled.classes), "facts": distilled.facts}
        write_tensors(new / _TENSORS, {"images": distilled.images, "labels": distilled.labels}, metadata)
        for image, label in zip(distilled.images, distilled.labels.tolist(), strict=True):
            number = seen[label] = seen.get(label, -1) + 1
            write_png(new / _IMAGES / folders[label] / f"{number}.png", image)
        write_text(new / "README.md", card)


def load_distilled(path: str | Path) -> DistilledSet:
    """Read a distilled set: an export, a result folder of the pipeline, or bare class folders of images.

    Args:
        path: the folder.

    Returns:
        Images, labels and class names. Bare class folders are numbered in sorted order.

    Raises:
        InputError: if there is no set, or it is damaged.
    """
    folder = Path(path)
    if (folder / _TENSORS).is_file():
        tensors, metadata = read_tensors(folder / _TENSORS, made_by="the export or distill stage")
        facts = metadata.get("facts") or _result_facts(folder / "settings.json")
        return DistilledSet(tensors["images"], tensors["labels"], tuple(metadata["classes"]), facts)
    base = folder / _IMAGES if (folder / _IMAGES).is_dir() else folder
    files = sorted(path for path in base.glob("*/*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise InputError(f"{folder} holds no distilled set: neither {_TENSORS} nor <class>/<image> folders.")
    classes = tuple(sorted({file.parent.name for file in files}))
    images = [_to_tensor(file) for file in files]
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        raise InputError(f"{folder}: the images have different sizes: {sorted(shapes)[:3]}.")
    labels = torch.tensor([classes.index(file.parent.name) for file in files])
    return DistilledSet(torch.stack(images), labels, classes)


def _result_facts(path: Path) -> dict[str, Any]:
    """What a result folder of the pipeline says of itself."""
    if not path.is_file():
        return {"settings": {}}
    found = read_json(path, made_by="the distill stage")
    return {key: found.get(key, "") for key in ("dataset", "backbone")} | {
        "settings": found.get("method", {})
    }


def _to_tensor(path: Path) -> Float[Tensor, "3 h w"]:
    picture = decode_file(path)
    flat = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    return flat.reshape(picture.height, picture.width, 3).permute(2, 0, 1).float() / 255


def data_card(
    distilled: DistilledSet,
    accuracies: dict[str, dict[str, list[float]]],
    *,
    image_terms: str,
    weight_terms: str,
) -> str:
    """The README of an export, with the header that data hubs read.

    Args:
        distilled: the set; its facts name `dataset`, `backbone` and `settings`.
        accuracies: evaluating backbone → measure → percent of every run.
        image_terms: licence of the data set distilled.
        weight_terms: licence of the backbone's weights.
    """
    text = resources.files("lgm_core").joinpath("templates", _CARD).read_text(encoding="utf-8")
    facts = distilled.facts
    rows = [
        f"| {backbone} | {_mean(runs['top1'])} | {_mean(runs['nearest_neighbor'])} |"
        for backbone, runs in accuracies.items()
    ]
    return string.Template(text).substitute(
        dataset=facts["dataset"],
        backbone=facts["backbone"],
        count=len(distilled.images),
        side=distilled.images.shape[-1],
        classes=len(distilled.classes),
        accuracies="\n".join(rows),
        settings="\n".join(f"| {key} | `{value}` |" for key, value in sorted(facts["settings"].items())),
        image_terms=image_terms,
        weight_terms=weight_terms,
    )


def _mean(runs: list[float]) -> str:
    values = torch.tensor(runs, dtype=torch.float64)
    spread = f" ± {values.std(unbiased=False):.1f}" if len(runs) > 1 else ""
    return f"{values.mean():.1f}{spread}"
