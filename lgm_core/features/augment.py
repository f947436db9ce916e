"""Random views of images: flip, random resized crop, Gaussian noise (write-up §3.3, A.2).

Drawing and applying are separate. A :class:`Views` holds what was drawn for every view, one number or window
each and one seed for its noise, so that any part of a batch can be made again, on any rank and in any split,
with exactly the same result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.transfer import upload
from lgm_core.settings.method import NO_AUGMENTATION, AugmentSettings

_CROP_TRIES = 10


@dataclass(frozen=True)
class Views:
    """What was drawn for n views; on the CPU."""

    flip: Bool[Tensor, " n"]
    window: Float[Tensor, "n 4"]
    """Left, top, width and height as shares of the image; inside it unless windows may leave it."""
    noisy: Bool[Tensor, " n"]
    noise_seed: Int[Tensor, " n"]

    def __len__(self) -> int:
        return self.flip.shape[0]

    def part(self, start: int, stop: int) -> Views:
        """The views from `start` up to `stop`."""
        return Views(*(getattr(self, name)[start:stop] for name in _VIEW_FIELDS))


_VIEW_FIELDS = ("flip", "window", "noisy", "noise_seed")


def _draw_windows(count: int, spec: AugmentSettings, generator: torch.Generator) -> Float[Tensor, "n 4"]:
    """Windows of a square image, inside it by the rule of torchvision's RandomResizedCrop.

    An area share s and a log-uniform ratio r give width √(s r) and height √(s / r); a draw that does not
    fit is redrawn up to ten times, and then becomes the largest centred window of the nearest allowed ratio.
    With `crop_overhang` the first draw counts, as in the published code: a window longer than the image
    leaves it on both sides, by its negative slack. The draws are those of windows inside.
    """
    low, high = spec.crop_scale
    area = torch.rand(count, _CROP_TRIES, generator=generator) * (high - low) + low
    log_low, log_high = (math.log(ratio) for ratio in spec.crop_ratio)
    ratio = (torch.rand(count, _CROP_TRIES, generator=generator) * (log_high - log_low) + log_low).exp()
    width = (area * ratio).sqrt()
    height = (area / ratio).sqrt()
    fits = ((width <= 1) & (height <= 1)) | spec.crop_overhang
    first = fits.int().argmax(dim=1, keepdim=True)
    nearest_ratio = min(max(1.0, spec.crop_ratio[0]), spec.crop_ratio[1])
    fallback_width = min(1.0, nearest_ratio)
    fallback_height = min(1.0, 1 / nearest_ratio)
    found = fits.any(dim=1)
    width = torch.where(found, width.gather(1, first)[:, 0], fallback_width)
    height = torch.where(found, height.gather(1, first)[:, 0], fallback_height)
    place = torch.rand(count, 2, generator=generator)
    place = torch.where(found[:, None], place, 0.5)
    left = place[:, 0] * (1 - width)
    top = place[:, 1] * (1 - height)
    return torch.stack([left, top, width, height], dim=1)


def draw_views(count: int, spec: AugmentSettings, generator: torch.Generator) -> Views:
    """Draw `count` independent views from a CPU generator."""
    flip = torch.rand(count, generator=generator) < spec.flip_probability
    window = _draw_windows(count, spec, generator)
    noisy = torch.rand(count, generator=generator) < spec.noise_probability
    if spec.noise_std == 0 and spec.noise_mean == 0:
        noisy = torch.zeros_like(noisy)
    noise_seed = torch.randint(2**62, (count,), generator=generator)
    return Views(flip=flip, window=window, noisy=noisy, noise_seed=noise_seed)


def apply_views(
    images: Float[Tensor, "n 3 h w"], views: Views, size: int, spec: AugmentSettings
) -> Float[Tensor, "n 3 {size} {size}"]:
    """Make the drawn views; differentiable in `images`.

    On a GPU crops are matrix products, because the backward pass of `grid_sample` adds up in any order
    there; on a CPU, where it does not, `grid_sample` is the faster one from 128 pixels on.

    Args:
        images: one image for every view, values in [0, 1].
        views: as many draws.
        size: side of the result in pixels.
        spec: the noise's mean and standard deviation, and whether windows may leave the images: zeros come
            in there.
    """
    windows = upload(views.window, images.device)
    flips = upload(views.flip, images.device)
    crop = crop_by_products if images.device.type == "cuda" else crop_by_sampling
    return _add_noise(crop(images, windows, flips, size, spec.crop_overhang), views, spec)


def crop_by_sampling(
    images: Float[Tensor, "n 3 h w"],
    windows: Float[Tensor, "n 4"],
    flips: Bool[Tensor, " n"],
    size: int,
    overhang: bool,
) -> Float[Tensor, "n 3 {size} {size}"]:
    """:func:`crop_by_products` by `grid_sample`: the same to rounding."""
    left, top, width, height = windows.unbind(dim=1)
    sign = torch.where(flips, -1.0, 1.0)
    zero = torch.zeros_like(width)
    # Output coordinates u, v in [-1, 1] → input coordinates in [-1, 1]; a flip mirrors the input's x axis.
    theta = torch.stack(
        [
            torch.stack([sign * width, zero, sign * (2 * left + width - 1)], dim=1),
            torch.stack([zero, height, 2 * top + height - 1], dim=1),
        ],
        dim=1,
    ).to(images.dtype)
    grid = functional.affine_grid(theta, [images.shape[0], 3, size, size], align_corners=False)
    padding = "zeros" if overhang else "border"
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def crop_by_products(
    images: Float[Tensor, "n 3 h w"],
    windows: Float[Tensor, "n 4"],
    flips: Bool[Tensor, " n"],
    size: int,
    overhang: bool,
) -> Float[Tensor, "n 3 {size} {size}"]:
    """Flipped and resized windows as R · image · Cᵀ, the same in every run, backward pass included.

    Args:
        images: values in [0, 1].
        windows: left, top, width and height as shares, as in :class:`Views`.
        flips: whether the image is mirrored before the window is taken.
        size: side of the result in pixels.
        overhang: whether windows may leave the image, where zeros come in.
    """
    left, top, width, height = windows.unbind(dim=1)
    rows = _bilinear(top, height, images.shape[-2], size, overhang)
    mirrored = torch.where(flips, 1 - left, left)
    columns = _bilinear(mirrored, torch.where(flips, -width, width), images.shape[-1], size, overhang)
    with torch.autocast(images.device.type, enabled=False):
        return rows.to(images.dtype)[:, None] @ (images @ columns.to(images.dtype)[:, None].mT)


def _bilinear(
    start: Float[Tensor, " n"], length: Float[Tensor, " n"], pixels: int, size: int, overhang: bool
) -> Float[Tensor, "n {size} {pixels}"]:
    """Each row: the weights of an axis's pixels in one pixel of the result, at most two of them not 0."""
    share = (torch.arange(size, device=start.device, dtype=start.dtype) + 0.5) / size
    places = (start[:, None] + length[:, None] * share) * pixels - 0.5
    if not overhang:
        places = places.clamp(0, pixels - 1)
    return (1 - (places[:, :, None] - torch.arange(pixels, device=start.device)).abs()).clamp_(min=0)


def _add_noise(
    images: Float[Tensor, "n 3 h w"], views: Views, spec: AugmentSettings
) -> Float[Tensor, "n 3 h w"]:
    if not views.noisy.any():
        return images
    # A generator for each view, so that it can be made again alone; one launch could not seed them apart.
    noise = torch.zeros(images.shape, device=images.device)
    generator = torch.Generator(images.device)
    for index in views.noisy.nonzero().flatten().tolist():
        generator.manual_seed(int(views.noise_seed[index]))
        noise[index].normal_(spec.noise_mean, spec.noise_std, generator=generator)
    return images + noise.to(images.dtype)


def center_crop(images: Float[Tensor, "n 3 h w"], size: int) -> Float[Tensor, "n 3 {size} {size}"]:
    """The middle `size` × `size` pixels.

    Raises:
        InputError: if the images are smaller than that.
    """
    height, width = images.shape[-2:]
    if min(height, width) < size:
        raise InputError(
            f"Images are {width} × {height} pixels; a backbone that sees {size} × {size} needs at least "
            "that. Lower input_size or raise resolution."
        )
    top = (height - size) // 2
    left = (width - size) // 2
    return images[..., top : top + size, left : left + size]


def draw_for(spec: AugmentSettings | str, count: int, generator: torch.Generator) -> Views | None:
    """Draws for `count` views, or None where augmentation is off."""
    if isinstance(spec, AugmentSettings):
        return draw_views(count, spec, generator)
    if spec == NO_AUGMENTATION:
        return None
    raise InputError(f"augment is {spec!r}; allowed: {NO_AUGMENTATION!r} or a mapping.")


def view(
    images: Float[Tensor, "n 3 h w"], views: Views | None, size: int, spec: AugmentSettings | str
) -> Float[Tensor, "n 3 {size} {size}"]:
    """The drawn views of `images`, or their centre crops where augmentation is off."""
    if views is None or not isinstance(spec, AugmentSettings):
        return center_crop(images, size)
    return apply_views(images, views, size, spec)
