"""Data sets in miniature, as files on disk, and what is read from them."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from pathlib import Path

from PIL import Image

from lgm_core.data.sources import load_splits
from lgm_core.foundation.sources import DatasetSource
from lgm_core.images import ImageSet


@cache
def _encoded(shade: int) -> bytes:
    content = BytesIO()
    Image.new("RGB", (6, 5), (shade, shade, shade)).save(content, format="PNG")
    return content.getvalue()


def picture(path: Path, shade: int = 0) -> None:
    """An image file of 6 × 5 pixels in one shade."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_encoded(shade))


def read(source: str, root: Path) -> tuple[ImageSet, ImageSet]:
    """Both splits of an incomplete copy."""
    return load_splits(DatasetSource(source, partial=True), root)


def summary(images: ImageSet) -> list[tuple[str, str]]:
    """(name, class) of every image."""
    return [
        (name, images.classes[label])
        for name, label in zip(images.names, images.labels.tolist(), strict=True)
    ]


def groups(images: ImageSet) -> list[str]:
    """The name of every image's group."""
    assert images.groups is not None
    return [images.group_names[group] for group in images.groups.tolist()]


def lay_out_classes(root: Path, classes: tuple[str, ...] = ("one", "two")) -> None:
    for split in ("train", "test"):
        for name in classes:
            picture(root / f"{split}/{name}/0.png")
