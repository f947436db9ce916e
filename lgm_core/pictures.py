"""Pictures of image sets, as PNG."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

_GAP = 2
_SHOWN_SIDE = 128
_WIDEST = 20


def image_grid(images: Float[Tensor, "n 3 h w"], columns: int | None = None) -> Float[Tensor, "3 H W"]:
    """Images side by side on white, small ones enlarged to be looked at.

    Args:
        images: values in [0, 1].
        columns: images in a row; by default all, up to 20.
    """
    scale = max(1, _SHOWN_SIDE // images.shape[-1])
    shown = functional.interpolate(images, scale_factor=scale, mode="nearest")
    count, _, height, width = shown.shape
    across = columns or min(count, _WIDEST)
    down = math.ceil(count / across)
    canvas = torch.ones(3, down * (height + _GAP) - _GAP, across * (width + _GAP) - _GAP)
    for index, image in enumerate(shown):
        top, left = index // across * (height + _GAP), index % across * (width + _GAP)
        canvas[:, top : top + height, left : left + width] = image
    return canvas
