"""Image files become upright 8-bit RGB, whatever they hold; what cannot be decoded is named."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from lgm_core.errors import InputError

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


def decode(content: Path | BinaryIO, name: str) -> Image.Image:
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
