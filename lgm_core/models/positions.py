"""Transformers that see images of another size than they were trained on."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from lgm_core.foundation.errors import InputError
from lgm_core.models.catalogue import BackboneRow


def fit_to_file(model: Any, stored: dict[str, Tensor]) -> None:
    """Give a transformer the input size that the file's position embeddings were made for."""
    positions = stored.get("pos_embed")
    own = getattr(model, "pos_embed", None)
    if positions is None or own is None or positions.shape == own.shape or positions.ndim != 3:
        return
    side = math.isqrt(positions.shape[1] - model.num_prefix_tokens)
    model.set_input_size(img_size=side * model.patch_embed.patch_size[0])


def set_input_size(model: Any, input_size: int, row: BackboneRow) -> None:
    """Prepare a timm model for images of another size than it was trained on, where it cannot take any.

    Args:
        model: with its weights.
        input_size: side in pixels.
        row: says how position embeddings are interpolated.

    Raises:
        InputError: if the model sees images of one size only.
    """
    built_for = getattr(getattr(model, "patch_embed", None), "img_size", None)
    native = built_for[0] if built_for else model.pretrained_cfg["input_size"][-1]
    if not model.pretrained_cfg.get("fixed_input_size") or native == input_size:
        return
    if not hasattr(model, "set_input_size"):
        raise InputError(
            f"{row.tag} sees images of {native} × {native} pixels only, and input_size is {input_size}. Set "
            f"it to {native} or choose another backbone."
        )
    positions = getattr(model, "pos_embed", None)
    model.set_input_size(img_size=input_size)
    if positions is not None and row.position_offset is not None:
        sides = model.patch_embed.grid_size
        resized = resize_positions(
            positions.detach(), sides[0], row.position_offset, prefix_tokens=model.num_prefix_tokens
        )
        model.pos_embed = nn.Parameter(resized, requires_grad=False)


def resize_positions(
    positions: Float[Tensor, "1 n f"], side: int, offset: float, *, prefix_tokens: int = 1
) -> Float[Tensor, "1 m f"]:
    """Position embeddings on another grid as DINO and DINO-v2 interpolate them.

    Bicubic without antialiasing, by the scale (side + offset) / old side: the offset once worked around a
    rounding error, and moves the sampling points.

    Args:
        positions: prefix tokens, then a square grid row by row.
        side: of the new grid.
        offset: 0.1 in the authors' code.
        prefix_tokens: tokens without a place in the grid, such as the class token.

    Source: `interpolate_pos_encoding` in facebookresearch/dinov2, dinov2/models/vision_transformer.py.
    """
    prefix = positions[:, :prefix_tokens]
    grid = positions[:, prefix_tokens:]
    old = math.isqrt(grid.shape[1])
    planes = grid.reshape(1, old, old, -1).permute(0, 3, 1, 2)
    scale = (side + offset) / old
    resized = functional.interpolate(planes, scale_factor=(scale, scale), mode="bicubic", antialias=False)
    return torch.cat([prefix, resized.permute(0, 2, 3, 1).reshape(1, side * side, -1)], dim=1)
