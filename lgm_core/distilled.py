"""A distilled set: its images, what they are of, what made them; in memory and on disk.

images.safetensors     images [n, 3, r, r] in [0, 1], labels [n]; class names and facts as metadata
images/<class>/<k>.png the same, rounded to 8 bits, for any reader of image folders
grid.png               all of them at a glance
history.csv            loss before every step
settings.json          what made it, class names, names of the pictures, a fingerprint of images.safetensors
time_lapse.json        after how many steps snapshots were kept, where they were
time_lapse/<class>/<k>.webp  the snapshots of that image side by side, reduced where they are large
again/<n>/             the same of further distillations
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional

from lgm_core.foundation.animations import WEBP, read_strip, write_strip
from lgm_core.foundation.belonging import address, content_of
from lgm_core.foundation.errors import DamagedFileError, InputError, MissingFileError
from lgm_core.foundation.layout import AGAIN, Cell
from lgm_core.foundation.store import (
    IMAGE_SUFFIXES,
    read_json,
    read_tensors,
    replacing_folder,
    write_json,
    write_png,
    write_tensors,
    write_text,
)
from lgm_core.images import decode_file, pixels_of

TENSORS = "images.safetensors"
_TIME_LAPSE = "time_lapse.json"
EXPORTED_IMAGES = "train"
"""Folder of an exported set's class folders, named as hubs name a split."""

_UNSAFE = str.maketrans({"/": "_", "\\": "_", "\0": "_"})
_GAP = 2
_SHOWN_SIDE = 128
_WIDEST = 20


@dataclass(frozen=True)
class TimeLapse:
    """Snapshots of a distillation.

    Attributes:
        steps: after how many steps each of the k was kept.
        frames: [k, n, 3, s, s], bytes, the images in the order of their set.
    """

    steps: tuple[int, ...]
    frames: UInt8[Tensor, "k n 3 s s"]


@dataclass(frozen=True)
class DistilledSet:
    """A distilled set.

    Attributes:
        images: [n, 3, r, r], values in [0, 1], class by class.
        labels: [n], positions in `classes`.
        classes: class names.
        facts: JSON-like values that say what made it, as far as that is known.
        losses: loss before every step, where it was made here.
        time_lapse: snapshots, where they were kept in a distillation made here; :func:`load_time_lapse`
            reads those of a set on disk.
    """

    images: Float[Tensor, "n 3 r r"]
    labels: Int[Tensor, " n"]
    classes: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    losses: tuple[float, ...] = ()
    time_lapse: TimeLapse | None = None

    def labels_in(self, classes: tuple[str, ...]) -> Int[Tensor, " n"]:
        """The labels as positions in a data set's classes, which are matched by name, in whatever order.

        A class may also be named as its folder in an export is, `3_dog`.

        Raises:
            InputError: if the classes differ, or a class has no image.
        """
        absent = sorted({*range(len(self.classes))} - {*self.labels.tolist()})
        if absent:
            raise InputError(f"The set has no image of {self.classes[absent[0]]!r}; it needs one per class.")
        if self.classes == classes:
            return self.labels
        folders = class_folders(classes)
        names = folders if {*self.classes} == {*folders} else list(classes)
        only_here = sorted({*self.classes} - {*names})
        only_there = sorted({*names} - {*self.classes})
        if only_here or only_there:
            raise InputError(
                f"The set has {len(self.classes)} classes, the data set {len(classes)}; only in the set: "
                f"{only_here[:5]}, only in the data set: {only_there[:5]}. Classes are matched by name, so "
                "the names have to agree."
            )
        return torch.tensor([names.index(name) for name in self.classes])[self.labels]

    def pictures(self) -> list[str]:
        """Name of the picture of every image below the set's folder."""
        return picture_names(self.classes, self.labels.tolist())

    def write_exact(self, folder: Path) -> None:
        """Write the exact images, with class names and facts."""
        metadata = {"classes": list(self.classes), "facts": self.facts}
        write_tensors(folder / TENSORS, {"images": self.images, "labels": self.labels}, metadata)

    def save(self, folder: str | Path) -> None:
        """Write the set as a result, whole or not at all.

        Args:
            folder: replaced if it exists.
        """
        save_distilled(Path(folder), [self])

    def _write(self, new: Path) -> None:
        pictures = self.pictures()
        self.write_exact(new)
        for image, picture in zip(self.images, pictures, strict=True):
            write_png(new / picture, image)
        write_png(new / "grid.png", image_grid(self.images))
        rows = [f"{step},{loss:.6f}" for step, loss in enumerate(self.losses)]
        write_text(new / "history.csv", "\n".join(["step,loss", *rows]) + "\n")
        made = {"content": content_of([new / TENSORS])}
        settings = {**self.facts, **made, "classes": list(self.classes), "pictures": pictures}
        write_json(new / "settings.json", settings)
        if self.time_lapse is not None:
            for number, picture in enumerate(pictures):
                write_strip(new / strip_name(picture), self.time_lapse.frames[:, number])
            write_json(new / _TIME_LAPSE, {"steps": list(self.time_lapse.steps)})


def save_distilled(folder: Path, sets: Sequence[DistilledSet]) -> None:
    """Write distillations of the same data set, all of them or none.

    Args:
        folder: of the first, replaced if it exists; the others lie below it in `again/1`, `again/2`, ….
        sets: at least one.
    """
    with replacing_folder(folder) as new:
        for number, one in enumerate(sets):
            one._write(new / AGAIN / str(number) if number else new)


def strip_name(picture: str) -> str:
    """Name of the snapshots of the image whose picture has a name, `images/<class>/<k>.png`."""
    _, _, rest = picture.partition("/")
    return f"time_lapse/{rest.removesuffix('.png')}{WEBP}"


def snapshot_numbers(folder: Path) -> tuple[int, ...]:
    """After how many steps each snapshot of a set on disk was kept; none where there are none."""
    path = folder / _TIME_LAPSE
    return tuple(read_json(path)["steps"]) if path.is_file() else ()


def load_time_lapse(path: str | Path) -> TimeLapse | None:
    """Read the snapshots of a distilled set; None where none were kept.

    Args:
        path: the folder of a result.

    Raises:
        InputError: if they are damaged.
    """
    folder = Path(path)
    steps = snapshot_numbers(folder)
    if not steps:
        return None
    pictures = read_json(folder / "settings.json")["pictures"]
    strips = [read_strip(folder / strip_name(picture)) for picture in pictures]
    for picture, strip in zip(pictures, strips, strict=True):
        if len(strip) != len(steps) or strip.shape != strips[0].shape:
            raise DamagedFileError(folder / strip_name(picture), f"does not hold {len(steps)} snapshots")
    return TimeLapse(steps, torch.stack(strips, dim=1))


def load_distilled(path: str | Path) -> DistilledSet:
    """Read a distilled set: a result or an export, or bare class folders of images.

    Args:
        path: the folder.

    Returns:
        Images in 32 bits, of which a file may hold 16, labels, class names and facts. Bare class folders
        are numbered in sorted order; :meth:`DistilledSet.labels_in` finds them by name.

    Raises:
        InputError: if there is no set, or it is damaged.
    """
    folder = Path(path)
    if not folder.exists():
        raise MissingFileError(folder)
    if (folder / TENSORS).is_file() or (folder / "settings.json").is_file():
        tensors, metadata = read_tensors(folder / TENSORS)
        images = tensors["images"].float()
        labels = tensors["labels"]
        classes = tuple(metadata["classes"])
        sound = images.ndim == 4 and len(images) == len(labels) > 0
        if not (sound and 0 <= images.min() <= images.max() <= 1 and labels.min() >= 0):
            raise DamagedFileError(folder / TENSORS, "holds no labelled images with values in [0, 1]")
        if labels.max() >= len(classes):
            raise DamagedFileError(folder / TENSORS, f"has labels beyond its {len(classes)} classes")
        return DistilledSet(images, labels, classes, metadata["facts"])
    return _load_folders(folder)


def sets_behind(*cells: Cell) -> dict[str, str]:
    """What a result says that was made from the distilled sets of cells: address → fingerprint.

    Raises:
        FileError: if a file is missing or damaged.
    """
    return {address(cell, cell.distilled): content_of([cell.distilled / TENSORS]) for cell in cells}


def _load_folders(folder: Path) -> DistilledSet:
    parts = [folder / name for name in (EXPORTED_IMAGES, "images") if (folder / name).is_dir()]
    base = parts[0] if parts else folder
    files = sorted(path for path in base.glob("*/*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise InputError(f"{folder} holds no distilled set: neither {TENSORS} nor <class>/<image> folders.")
    classes = tuple(sorted({file.parent.name for file in files}))
    images = [pixels_of(decode_file(file)).float() / 255 for file in files]
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        raise InputError(f"{folder}: the images have different sizes: {sorted(shapes)[:3]}.")
    labels = torch.tensor([classes.index(file.parent.name) for file in files])
    return DistilledSet(torch.stack(images), labels, classes)


def class_folders(classes: Sequence[str]) -> list[str]:
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


def picture_names(classes: Sequence[str], labels: Sequence[int], folder: str = "images") -> list[str]:
    """`<folder>/<class>/<k>.png` for the k-th image of every class, in the order of `labels`."""
    folders = class_folders(classes)
    seen: dict[int, int] = {}
    names = []
    for label in labels:
        number = seen[label] = seen.get(label, -1) + 1
        names.append(f"{folder}/{folders[label]}/{number}.png")
    return names


def image_grid(
    images: Float[Tensor, "n 3 h w"], columns: int | None = None, side: int = _SHOWN_SIDE
) -> Float[Tensor, "3 H W"]:
    """Images side by side on white, small ones enlarged to be looked at.

    Args:
        images: values in [0, 1].
        columns: images in a row; by default all, up to 20.
        side: in pixels, up to which small ones are enlarged, each pixel to a square.
    """
    scale = max(1, side // images.shape[-1])
    shown = functional.interpolate(images, scale_factor=scale, mode="nearest")
    count, _, height, width = shown.shape
    across = columns or min(count, _WIDEST)
    down = math.ceil(count / across)
    canvas = torch.ones(3, down * (height + _GAP) - _GAP, across * (width + _GAP) - _GAP)
    for index, image in enumerate(shown):
        top = index // across * (height + _GAP)
        left = index % across * (width + _GAP)
        canvas[:, top : top + height, left : left + width] = image
    return canvas
