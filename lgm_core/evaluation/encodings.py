"""What is left of images after they are written and read as files: 8-bit PNG, JPEG of quality 95."""

from __future__ import annotations

from io import BytesIO

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from lgm_core.foundation.store import eight_bit
from lgm_core.images import pixels_of

ENCODINGS = {"png": {"format": "PNG"}, "jpeg95": {"format": "JPEG", "quality": 95}}
"""Name → how Pillow writes it; its JPEG halves the resolution of colours unless told otherwise."""


def encoded_bytes(image: Float[Tensor, "3 h w"], encoding: str) -> bytes:
    """One image with values in [0, 1] as a file of a kind in :data:`ENCODINGS`."""
    out = BytesIO()
    Image.fromarray(eight_bit(image)).save(out, **ENCODINGS[encoding])
    return out.getvalue()


def encoded(images: Float[Tensor, "n 3 h w"], encoding: str) -> Float[Tensor, "n 3 h w"]:
    """Images as they are read again after being written.

    Args:
        images: values in [0, 1].
        encoding: a name in :data:`ENCODINGS`.
    """
    read = [pixels_of(Image.open(BytesIO(encoded_bytes(image, encoding)))) for image in images]
    return torch.stack(read).float() / 255


def png_bytes(images: Float[Tensor, "n 3 h w"]) -> int:
    """Bytes of the images as PNG files, as distilled sets are written."""
    return sum(len(encoded_bytes(image, "png")) for image in images)
