"""Images: files become upright 8-bit RGB whatever they hold, an :class:`ImageSet` names and labels them, and
what a backbone is shown is a square of them."""

from __future__ import annotations

import errno
import stat
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
from PIL import ExifTags, Image
from torch import Tensor

from lgm_core.foundation.errors import InputError

MOST_PIXELS = 89_478_485
"""Pixels of the largest image that is decoded: Pillow's own limit, 256 MiB of RGB."""
LONGEST_SIDES = 100
"""How many times as long as its shorter side an image may be: strips that are longer take gigabytes."""
_NO_FAULT_OF_THE_FILE = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO}
_UNTURNED = "orientation unknown"
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF's orientation → what turns the pixels upright."""


def decode_file(path: Path) -> Image.Image:
    """Read an image file as RGB, upright.

    Raises:
        InputError: naming the file, if it cannot be decoded.
    """
    return decode(path, str(path))


def decode(content: Path | BufferedReader | BytesIO, name: str) -> Image.Image:
    """Read a file or an opened one, which is closed, as an upright RGB image.

    Pixels whose orientation cannot be read, because the EXIF data are broken, stay as they lie; see
    :func:`is_unturned`.

    Args:
        content: the file.
        name: what the message calls it.

    Raises:
        InputError: if it cannot be read or decoded, is no regular file, has more pixels than `MOST_PIXELS`,
            or one side more than `LONGEST_SIDES` times as long as the other.
    """
    try:
        with (
            warnings.catch_warnings(),
            nullcontext(_regular(content)) if isinstance(content, Path) else content as place,
        ):
            warnings.simplefilter("ignore")  # broken metadata; a picture that is whole has none to tell of
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(place) as opened:
                _check_shape(opened)
                opened.load()
                _check_shape(opened)  # some formats tell their size again beside the pixels
                return _upright(opened)
    except MemoryError:  # of this process, not of the file: its size was checked
        raise
    except Exception as error:  # decoders raise whatever broken bytes lead them to
        if isinstance(error, OSError) and error.errno in _NO_FAULT_OF_THE_FILE:
            raise InputError(f"{name} cannot be read: {error.strerror}.") from error
        reason = str(error) or type(error).__name__
        raise InputError(f"{name} cannot be decoded as an image ({reason}). Replace or remove it.") from error


def is_unturned(picture: Image.Image) -> bool:
    """Whether a decoded picture lies as its file has it, because its EXIF data could not be read."""
    return _UNTURNED in picture.info


def _regular(path: Path) -> Path:
    """The path, unless opening it could wait for ever or do something: that of a pipe, socket or device.

    Raises:
        ValueError: if it is no regular file.
        OSError: if it is not there.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is no regular file but a folder, pipe, socket or device")
    return path


def _check_shape(image: Image.Image) -> None:
    """Refuse more pixels than any photograph has, and strips.

    Raises:
        ValueError: with the size.
    """
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise ValueError(f"its {width} × {height} pixels are more than {MOST_PIXELS:,}")
    if max(image.size) > LONGEST_SIDES * min(image.size):
        told = f"one side of its {width} × {height} pixels is more than {LONGEST_SIDES} times the other"
        raise ValueError(told)


def _upright(image: Image.Image) -> Image.Image:
    """The pixels as RGB, turned by what EXIF says."""
    orientation, broken = _orientation(image)
    turn = _TURNS.get(orientation)
    picture = _to_rgb(image if turn is None else image.transpose(turn))
    picture.info = {_UNTURNED: True} if broken else {}
    return picture


def _orientation(image: Image.Image) -> tuple[Any, bool]:
    """EXIF's orientation, None where there is none, and whether there is none because EXIF is broken."""
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            orientation = image.getexif().get(ExifTags.Base.Orientation)
            if orientation is None and "exif" in image.info:
                # Where opening the file looked at EXIF, Pillow hides what was wrong with it.
                Image.Exif().load(image.info["exif"])
    except Exception:  # parsing EXIF raises whatever broken bytes lead it to
        return None, True
    return orientation, orientation is None and bool(told)


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
