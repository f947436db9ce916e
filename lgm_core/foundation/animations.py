"""Frames as files: a strip of them in one picture, for pages with a slider, and animations.

A strip is one WebP with all frames side by side, from left to right; without loss where they are small.
Animations are WebP and GIF and run for ever; small frames are enlarged.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lgm_core.foundation.errors import DamagedFileError, MissingFileError
from lgm_core.foundation.store import replacing

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from torch import Tensor

WEBP = ".webp"
GIF = ".gif"
WIDEST_STRIP = 16383
"""Pixels: the format's limit."""

_LOSSLESS_SIDE = 32
_QUALITY = 85
_ENLARGED_SIDE = 128
_PAUSE = 5
"""How much longer the last frame stays than the others."""


def write_strip(path: Path, frames: UInt8[Tensor, "k 3 s s"]) -> None:
    """Write frames as one picture of k·s × s pixels.

    Args:
        path: a `.webp` file.
        frames: at least one, bytes.
    """
    from PIL import Image

    wide = frames.permute(2, 0, 3, 1).flatten(1, 2).contiguous().numpy()
    small = frames.shape[-1] <= _LOSSLESS_SIDE
    with replacing(path) as temporary:
        Image.fromarray(wide).save(temporary, format="WEBP", lossless=small, quality=_QUALITY, method=4)


def read_strip(path: Path) -> UInt8[Tensor, "k 3 s s"]:
    """The frames of a strip.

    Raises:
        MissingFileError: if there is no such file.
        DamagedFileError: if it is no strip of square frames.
    """
    import numpy as np
    import torch
    from PIL import Image

    try:
        with Image.open(path) as opened:
            pixels = torch.from_numpy(np.array(opened.convert("RGB")))
    except FileNotFoundError:
        raise MissingFileError(path) from None
    except (OSError, ValueError, SyntaxError) as error:
        raise DamagedFileError(path, f"is damaged ({error})") from error
    side, width, _ = pixels.shape
    if width % side:
        raise DamagedFileError(path, f"is no strip of square frames: {width} × {side} pixels")
    return pixels.reshape(side, width // side, side, 3).permute(1, 3, 0, 2).contiguous()


def write_animation(
    path: Path, frames: UInt8[Tensor, "k 3 h w"], milliseconds: int, *, quality: int = _QUALITY
) -> None:
    """Write frames as an animation without end.

    Args:
        path: a `.webp` or `.gif` file.
        frames: at least one, bytes.
        milliseconds: that each frame is shown; the last one five times as long.
        quality: of a WebP, up to 100.
    """
    from PIL import Image

    scale = max(1, _ENLARGED_SIDE // max(frames.shape[-2:]))
    shown = frames.repeat_interleave(scale, dim=-2).repeat_interleave(scale, dim=-1)
    pictures = [Image.fromarray(frame.permute(1, 2, 0).contiguous().numpy()) for frame in shown]
    durations = [milliseconds] * (len(pictures) - 1) + [_PAUSE * milliseconds]
    how: dict[str, Any] = {"save_all": True, "append_images": pictures[1:], "loop": 0, "duration": durations}
    if path.suffix == WEBP:
        how |= {"format": "WEBP", "quality": quality, "method": 4}
    else:
        how |= {"format": "GIF", "optimize": False}
    with replacing(path) as temporary:
        pictures[0].save(temporary, **how)
