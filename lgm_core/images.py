"""Images: files become upright 8-bit RGB whatever they hold, an :class:`ImageSet` names and labels them, and
what a backbone is shown is a square of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from lgm_core.foundation.errors import InputError

_UNREADABLE = (
    OSError,
    UnidentifiedImageError,
    ValueError,
    SyntaxError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def decode_file(path: Path) -> Image.Image:
    """Read an image file as RGB, upright.

    Raises:
        InputError: naming the file, if it cannot be decoded.
    """
    return decode(path, str(path))


def decode(content: Path | BufferedReader | BytesIO, name: str) -> Image.Image:
    """Read a file or an opened one, which is closed, as an upright RGB image.

    Args:
        content: the file.
        name: what the message calls it.

    Raises:
        InputError: if it cannot be decoded, or claims more pixels than any photograph has.
    """
    try:
        with (
            warnings.catch_warnings(),
            nullcontext(content) if isinstance(content, Path) else content as place,
        ):
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(place) as opened:
                return _to_rgb(ImageOps.exif_transpose(opened))
    except _UNREADABLE as error:
        raise InputError(f"{name} cannot be decoded as an image ({error}). Replace or remove it.") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    """RGB of 8 bits; of 16-bit grey values the upper half, where Pillow itself would cut them off at 255.

    Raises:
        ValueError: for 32-bit values, which have no agreed range.
    """
    if image.mode in {"I", "F"}:
        raise ValueError("32-bit values have no agreed range; save it with 8 or 16 bits")
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    return image.convert("RGB")


@dataclass(frozen=True)
class ImageSet:
    """One split of a data set.

    Attributes:
        classes: class names; a label is a position in them.
        labels: [N].
        names: a stable name for every image, such as its path below the data set's folder.
        decode: image number → RGB picture of any size; can be pickled, for processes that decode.
        groups: [N], positions in `group_names`, where the set has groups such as class × background;
            worst-group accuracy is over those of the test set.
        group_names: names of the groups; empty where there are none.
        root: folder that the names are paths below; None where images are no files.
    """

    classes: tuple[str, ...]
    labels: Int[Tensor, " n"]
    names: tuple[str, ...]
    decode: Callable[[int], Image.Image]
    groups: Int[Tensor, " n"] | None = None
    group_names: tuple[str, ...] = ()
    root: Path | None = None

    def __len__(self) -> int:
        return len(self.names)

    def none(self) -> ImageSet:
        """The same classes without an image."""
        groups = None if self.groups is None else self.groups[:0]
        return replace(self, labels=self.labels[:0], names=(), groups=groups)

    @classmethod
    def of(cls, samples: Any, classes: Sequence[str] = ()) -> ImageSet:
        """A torch data set, or any other sequence of (image, label).

        Args:
            samples: `samples[i]` is an image and its class number: a PIL image, or a tensor [3, h, w] of
                bytes or of values in [0, 1]. Labels are read from `samples.targets` where there is such a
                list.
            classes: class names; by default `samples.classes`, or else the numbers.

        Raises:
            InputError: if there is no image, or a label is no position in the classes.
        """
        count = len(samples)
        if count == 0:
            raise InputError("There is no image in the data set.")
        targets = getattr(samples, "targets", None)
        labels = torch.tensor(
            [int(label) for label in targets]
            if targets is not None
            else [int(samples[number][1]) for number in range(count)]
        )
        given = classes or getattr(samples, "classes", ())
        # ImageNet's classes are tuples of synonyms.
        names = tuple(name[0] if isinstance(name, tuple) else str(name) for name in given)
        names = names or tuple(str(number) for number in range(int(labels.max()) + 1))
        if not 0 <= int(labels.min()) <= int(labels.max()) < len(names):
            raise InputError(
                f"Labels are {int(labels.min())} to {int(labels.max())} for {len(names)} classes."
            )
        return cls(names, labels, tuple(str(number) for number in range(count)), partial(_sample, samples))


def _sample(samples: Any, index: int) -> Image.Image:
    image = samples[index][0]
    if isinstance(image, Image.Image):
        return image.convert("RGB")
    pixels = image if image.dtype == torch.uint8 else (image.clamp(0, 1) * 255).round().byte()
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy()).convert("RGB")


def shrink(image: Image.Image, side: int) -> Image.Image:
    """Resize the shorter side to `side`; an image that has it already is returned as it is.

    Bilinear, over all pixels that become one where an image gets smaller (Pillow's antialiasing), and sizes
    cut down to whole pixels: torchvision's `Resize` as the published code uses it.
    """
    width, height = (int(side * length / min(image.size)) for length in image.size)
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.BILINEAR)


def square(
    image: Image.Image, side: int, generator: torch.Generator | None = None
) -> UInt8[Tensor, "3 {side} {side}"]:
    """Resize the shorter side to `side` (see :func:`shrink`) and cut a square out of it.

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
    left = int((width - side) * shares[0])
    top = int((height - side) * shares[1])
    window = image.crop((left, top, left + side, top + side))
    return pixels_of(window).contiguous()


def pixels_of(image: Image.Image) -> UInt8[Tensor, "3 h w"]:
    """The bytes of an RGB image."""
    flat = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return flat.reshape(image.height, image.width, 3).permute(2, 0, 1)


def squares(images: ImageSet, indices: list[int], side: int) -> Tensor:
    """Some images as floats in [0, 1], [n, 3, side, side], centre crop."""
    return torch.stack([square(images.decode(index), side) for index in indices]).float() / 255
