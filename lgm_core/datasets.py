"""Where images come from: procedural sets, scikit-learn's digits, folders of one's own.

A source is one word in the params file: `toy:<name>`, `digits`, or `folder:<path>`. Whatever the source, the
rest of the library sees an :class:`ImageSet`: class names, labels, a stable name for every image, and a way
to decode image number i as RGB.
"""

from __future__ import annotations

import logging
import os
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from lgm_core import toydata
from lgm_core.errors import InputError
from lgm_core.seeds import derive_seed

logger = logging.getLogger(__name__)

SPLITS = ("train", "test")
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff", ".gif"})
_LARGEST_16_BIT = 2**16 - 1


@dataclass(frozen=True)
class ImageSet:
    """One split of a data set.

    Attributes:
        classes: class names; a label is a position in them.
        labels: [N].
        names: a stable name for every image, such as its path below the data set's folder.
        decode: image number → RGB picture of any size; can be pickled, for processes that decode.
        root: folder that the names are paths below; None where images are no files.
    """

    classes: tuple[str, ...]
    labels: Int[Tensor, " n"]
    names: tuple[str, ...]
    decode: Callable[[int], Image.Image]
    root: Path | None = None

    def __len__(self) -> int:
        return len(self.names)


def load_images(source: dict[str, Any], split: str, data_root: Path) -> ImageSet:
    """Open one split of a data set.

    Args:
        source: `{"source": …}` as the params file gives it.
        split: `train` or `test`.
        data_root: folder that relative paths start from.

    Raises:
        InputError: if the source is unknown, or its data are missing or incomplete.
    """
    unknown = set(source) - {"source"}
    if unknown:
        raise InputError(f"params.yaml: a data set has no key {', '.join(sorted(unknown))}.")
    kind, _, place = source["source"].partition(":")
    reader = _READERS.get(kind)
    if reader is None:
        raise InputError(
            f"params.yaml: data set source {source['source']!r} is unknown; allowed: "
            f"{', '.join(f'toy:{name}' for name in toydata.ROWS)}, digits, folder:<path>."
        )
    return reader(place, split, data_root)


def load_splits(source: dict[str, Any], data_root: Path) -> tuple[ImageSet, ImageSet]:
    """Train and test split, with the same classes in the same order.

    Raises:
        InputError: naming the classes that only one split has.
    """
    train, test = (load_images(source, split, data_root) for split in SPLITS)
    check_class_names(train.classes, source["source"])
    if sorted(train.classes) == sorted(test.classes) and train.classes != test.classes:
        raise InputError(
            f"Data set {source['source']}: train and test name the same classes in another order "
            f"({train.classes[:5]} …, {test.classes[:5]} …), so their labels would not agree."
        )
    if train.classes != test.classes:
        only_train = sorted(set(train.classes) - set(test.classes))
        only_test = sorted(set(test.classes) - set(train.classes))
        raise InputError(
            f"Data set {source['source']}: the classes of train and test differ "
            f"(only in train: {only_train[:5]}, only in test: {only_test[:5]}). Both need the same folders."
        )
    return train, test


def check_class_names(classes: tuple[str, ...], source: str) -> None:
    """Refuse names that are the same to a file system, or to a reader, that ignores case and outer spaces.

    Raises:
        InputError: naming them.
    """
    known: dict[str, str] = {}
    for name in classes:
        other = known.setdefault(unicodedata.normalize("NFC", name).strip().casefold(), name)
        if other is not name:
            raise InputError(
                f"Data set {source}: the classes {other!r} and {name!r} have the same name but for case, "
                "spaces or accents' encoding. Join or rename them."
            )


def _read_toy(place: str, split: str, data_root: Path) -> ImageSet:
    row = toydata.ROWS.get(place)
    if row is None:
        raise InputError(
            f"params.yaml: toy data set {place!r} is unknown; allowed: {', '.join(toydata.ROWS)}."
        )
    labels = toydata.toy_labels(row, split)
    classes = tuple(row.shapes)
    names = tuple(
        f"{split}/{classes[label]}/{index % row.per_class[split]}" for index, label in enumerate(labels)
    )
    return ImageSet(classes, torch.tensor(labels), names, partial(toydata.toy_image, place, split))


_DIGITS_TEST_SHARE = 0.3


def _read_digits(place: str, split: str, data_root: Path) -> ImageSet:
    """scikit-learn's 1,797 handwritten digits, 8 × 8 pixels, split 70 : 30 within each class."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits: Any = load_digits()
    parts = train_test_split(
        range(len(digits.target)),
        test_size=_DIGITS_TEST_SHARE,
        stratify=digits.target,
        random_state=derive_seed(0, "digits") % 2**32,
    )
    chosen = sorted(parts[SPLITS.index(split)])

    pixels = (digits.images[chosen] * (255 / 16)).round().astype("uint8")
    labels = torch.tensor([int(digits.target[number]) for number in chosen])
    names = tuple(f"digits/{number}" for number in chosen)
    return ImageSet(tuple(str(digit) for digit in range(10)), labels, names, partial(_digit, pixels))


def _digit(pixels: Any, index: int) -> Image.Image:
    return Image.fromarray(pixels[index]).convert("RGB")


def _read_folder(place: str, split: str, data_root: Path) -> ImageSet:
    """`<path>/{train,test}/<class>/<image>`; `val` serves as the test split where there is no `test`."""
    root = Path(place) if Path(place).is_absolute() else data_root / place
    candidates = [root / "train"] if split == "train" else [root / "test", root / "val"]
    folder = next((path for path in candidates if path.is_dir()), None)
    if not place or folder is None:
        raise InputError(
            f"Data set folder:{place} has no {split} split: looked for "
            f"{' and '.join(str(path) for path in candidates)}. Expected {root}/{{train,test}}/<class>/"
            "<image>. Relative paths start at the folder that LGM_DATA names (default: data)."
        )
    classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    files = {name: _image_files(folder / name) for name in classes}
    empty = [name for name in classes if not files[name]]
    if not classes or empty:
        what = f"class folders without an image: {', '.join(empty[:10])}" if empty else "no class folders"
        raise InputError(f"{folder} has {what}. Add images or remove the folders.")
    paths = [path for name in classes for path in files[name]]
    labels = [label for label, name in enumerate(classes) for _ in files[name]]
    return ImageSet(
        tuple(classes),
        torch.tensor(labels),
        tuple(str(path.relative_to(root)) for path in paths),
        partial(_decode_number, paths),
        root,
    )


def _decode_number(paths: list[Path], index: int) -> Image.Image:
    return decode_file(paths[index])


def _image_files(folder: Path) -> list[Path]:
    """Image files at any depth, links followed; what has no image's suffix is left out and counted aloud."""
    files = sorted(Path(place) / name for place, _, names in _walk(folder) for name in names)
    others = [path for path in files if path.suffix.lower() not in IMAGE_SUFFIXES]
    if others:
        logger.warning(
            "%d files in %s are no images by their names, such as %s", len(others), folder, others[0]
        )
    return [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]


def _walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """`os.walk` through linked folders too, each folder once."""
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield place, folders, names


def decode_file(path: Path) -> Image.Image:
    """Read an image file as RGB, upright.

    Raises:
        InputError: naming the file, if it cannot be decoded.
    """
    try:
        with Image.open(path) as opened:
            return _as_rgb(ImageOps.exif_transpose(opened))
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be decoded as an image ({error}). Replace or remove it.") from error


def _as_rgb(image: Image.Image) -> Image.Image:
    """Any mode as RGB; 16 bits are scaled to 8, not cut off, and transparency is dropped.

    Raises:
        ValueError: for numbers that have no agreed range.
    """
    if image.mode not in {"I", "F"} and not image.mode.startswith("I;16"):
        return image.convert("RGB")
    values = np.asarray(image)
    if image.mode == "F" or values.max() > _LARGEST_16_BIT or values.min() < 0:
        raise ValueError("32-bit values have no agreed range; save it with 8 or 16 bits")
    return Image.fromarray((values // (_LARGEST_16_BIT // 255)).astype(np.uint8)).convert("RGB")


_READERS: dict[str, Callable[[str, str, Path], ImageSet]] = {
    "toy": _read_toy,
    "digits": _read_digits,
    "folder": _read_folder,
}


def shrink(image: Image.Image, side: int) -> Image.Image:
    """Resize the shorter side to `side` (bicubic); an image that has it already is returned as it is."""
    scale = side / min(image.size)
    width, height = (max(side, round(length * scale)) for length in image.size)
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.BICUBIC)


def square(
    image: Image.Image, side: int, generator: torch.Generator | None = None
) -> UInt8[Tensor, "3 {side} {side}"]:
    """Resize the shorter side to `side` (bicubic) and cut a square out of the middle, or at random.

    Args:
        image: RGB.
        side: pixels.
        generator: where the window lies along the longer side; None: in the middle.

    Returns:
        uint8 pixels.
    """
    image = shrink(image, side)
    width, height = image.size
    shares = (0.5, 0.5) if generator is None else torch.rand(2, generator=generator).tolist()
    left, top = int((width - side) * shares[0]), int((height - side) * shares[1])
    window = image.crop((left, top, left + side, top + side))
    flat = torch.frombuffer(bytearray(window.tobytes()), dtype=torch.uint8)
    return flat.reshape(side, side, 3).permute(2, 0, 1).contiguous()


def squares(images: ImageSet, indices: list[int], side: int) -> Tensor:
    """Some images as floats in [0, 1], [n, 3, side, side], centre crop."""
    return torch.stack([square(images.decode(index), side) for index in indices]).float() / 255
