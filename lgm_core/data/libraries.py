"""Data sets of other libraries, through timm's data-set factory: torchvision's and the Hugging Face hub's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.network import hub_asked_once
from lgm_core.foundation.sources import DatasetSource
from lgm_core.images import decode

HUB_KEYS = ("train_split", "test_split", "image_key", "label_key")


@dataclass(frozen=True)
class Collection:
    """One split of another library's data set.

    Attributes:
        classes: class names; a label is a position in them.
        labels: one for every image.
        names: one for every image.
        decode: image number → RGB picture.
    """

    classes: tuple[str, ...]
    labels: tuple[int, ...]
    names: tuple[str, ...]
    decode: Callable[[int], Image.Image]


def read_torchvision(kind: str, split: str, root: Path) -> Collection:
    """A data set that torchvision knows and has on disk; nothing is downloaded."""
    from timm.data.dataset_factory import create_dataset

    try:
        content: Any = create_dataset(kind, root=str(root), split=split if split == "train" else "val")
    except Exception as error:  # whatever the library's own loader raises
        raise InputError(
            f"Data set {kind}: torchvision finds no {split} split below {root} ({_first_line(error)}). "
            "Download it there with torchvision.datasets, or name its folder as in torch/cifar10:<folder>."
        ) from error
    if not hasattr(content, "targets") or not hasattr(content, "classes"):
        raise InputError(f"Data set {kind} has no list of labels and classes; export it as folder:<path>.")
    labels = tuple(int(label) for label in content.targets)
    # ImageNet's classes are tuples of synonyms.
    classes = tuple(name if isinstance(name, str) else name[0] for name in content.classes)
    names = tuple(f"{kind}/{split}/{number}" for number in range(len(labels)))
    return Collection(classes, labels, names, partial(_decode_item, content))


def _decode_item(content: Any, index: int) -> Image.Image:
    return content[index][0].convert("RGB")


def read_hub(kind: str, split: str, root: Path | None, source: DatasetSource) -> Collection:
    """A data set of the Hugging Face hub, through its cache or the folder given."""
    from timm.data.dataset_factory import create_dataset

    label_key = source.label_key or "label"
    name = (source.train_split if split == "train" else source.test_split) or split
    try:
        with hub_asked_once():
            content: Any = create_dataset(
                kind,
                root=None if root is None else str(root),
                split=name,
                input_key=source.image_key or "image",
                target_key=label_key,
            )
    except Exception as error:  # whatever the library's own loader raises
        raise InputError(
            f"Data set {kind}: its split {name!r} could not be read ({_first_line(error)}). It needs the "
            "package datasets (python -m pip install datasets), a network or a filled cache, and the right "
            f"names: {', '.join(HUB_KEYS)} beside the source."
        ) from error
    raw = list(content.reader.dataset[label_key])
    known = content.reader.class_to_idx or {label: number for number, label in enumerate(sorted(set(raw)))}
    classes = tuple(str(label) for label in sorted(known, key=known.__getitem__))
    labels = tuple(label if isinstance(label, int) else known[label] for label in raw)
    names = tuple(f"{kind}/{name}/{number}" for number in range(len(raw)))
    # The factory's data set would put another image in the place of one that it cannot read; its reader not.
    return Collection(classes, labels, names, partial(_decode_opened, content.reader, names))


def _decode_opened(reader: Any, names: tuple[str, ...], index: int) -> Image.Image:
    return decode(reader[index][0], names[index])


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
