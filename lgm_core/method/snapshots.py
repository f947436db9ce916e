"""Snapshots: small renderings of the images at some steps of a distillation, which show how they grow.

Taking one draws nothing and changes nothing: a distillation makes the same images with and without them.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from lgm_core.method.pyramid import level_sizes
from lgm_core.settings.method import REAL, MethodSettings

LARGEST_SIDE = 96
"""Pixels: larger images are reduced."""


def _growing_steps(method: MethodSettings) -> int:
    """Steps until the pyramid is as fine as the images; 0 where it does not grow."""
    if method.parameterization != "pyramid" or method.init == REAL:
        return 0
    there = level_sizes(method.resolution, method.pyramid_start)
    missing = 0
    finest = there[-1]
    while finest < method.resolution:
        finest *= 2
        missing += 1
    return missing * method.growth_interval


def snapshot_steps(method: MethodSettings) -> tuple[int, ...]:
    """After how many steps the images are kept: `method.snapshots` numbers, or all that there are.

    The first is 0, the last is the end. Half of them lie evenly in the steps until the pyramid has all its
    levels, the others evenly in those after; all of them evenly, where it has them at once or never.
    A single one is the end.
    """
    count = method.snapshots
    end = method.steps
    if count <= 1:
        return (end,) * count
    grown = _growing_steps(method)
    bend = grown if 0 < grown < end else end / 2
    places = [2 * number / (count - 1) for number in range(count)]
    steps = [bend * place if place <= 1 else bend + (end - bend) * (place - 1) for place in places]
    return tuple(sorted({round(step) for step in steps}))


def reduced(images: Float[Tensor, "n 3 r r"]) -> UInt8[Tensor, "n 3 s s"]:
    """Images with values in [0, 1] as bytes on the same device, large ones reduced with antialiasing."""
    if images.shape[-1] > LARGEST_SIDE:
        how = {"mode": "bilinear", "antialias": True, "align_corners": False}
        images = functional.interpolate(images, size=(LARGEST_SIDE, LARGEST_SIDE), **how)
    return (images.detach().clamp(0, 1) * 255).round().to(torch.uint8)
