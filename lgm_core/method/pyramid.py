"""Synthetic images as parameters: a growing multi-scale pyramid, or plain pixels (write-up §3.2, Eq. 4, 6).

An image is squash(colour(Σ_r upsample(P_r))) with squash(x) = sigmoid(2x) = ½ + ½ tanh(x). `pixels` is the
pyramid whose only level is the full resolution, from the first step on.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from lgm_core.foundation.seeds import named_generator
from lgm_core.method.color import correlate, decorrelate
from lgm_core.settings.method import REAL, MethodSettings

_MARGIN = 1e-3
"""How far from black and white a start's pixels stay: there squashing has no inverse."""


def level_sizes(resolution: int, finest: int) -> list[int]:
    """Sides of the levels 1, 2, 4, … up to `finest`, which is itself a level."""
    sizes = [1]
    while sizes[-1] * 2 <= finest:
        sizes.append(sizes[-1] * 2)
    if sizes[-1] != finest:
        sizes.append(finest)
    return [min(size, resolution) for size in sizes]


def squash(x: Tensor) -> Tensor:
    """sigmoid(2x), identical to ½ + ½ tanh(x) (Eq. 6)."""
    return torch.sigmoid(2 * x)


def unsquash(pixels: Tensor) -> Tensor:
    """The inverse of :func:`squash`, of values pushed into [0.001, 0.999]."""
    return torch.logit(pixels, eps=_MARGIN) / 2


def laplacian_levels(target: Float[Tensor, "n 3 r r"], sizes: list[int]) -> list[Tensor]:
    """Levels whose upsampled sum is `target`: each holds what the coarser ones leave, at its own size.

    Args:
        target: unsquashed, in the space of the levels.
        sizes: coarse to fine, the last one the resolution.
    """
    levels = []
    rest = target
    for size in sizes:
        level = functional.adaptive_avg_pool2d(rest, size)
        levels.append(level)
        basis = _upsampling(size, target.shape[-1], target.device, target.dtype)
        rest = rest - basis @ level @ basis.mT
    return levels


@lru_cache
def _upsampling(
    size: int, resolution: int, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, "{resolution} {size}"]:
    """U: linear interpolation of a row of `size` pixels to `resolution` (`align_corners=False`)."""
    rows = torch.eye(size, dtype=dtype)[None]
    basis = functional.interpolate(rows, size=resolution, mode="linear", align_corners=False)[0].mT
    return basis.contiguous().to(device)


class SyntheticImages:
    """The parameters of some synthetic images, and how they become pixels.

    Args:
        indices: numbers of the images among all synthetic ones; a rank holds only its own. They name the
            random draws, so that any split over ranks starts and grows alike.
        method: parameterisation, resolution, growth and initialisation.
        seed: root of the draws.
        device: where the parameters live.
        start: the images that they begin as, [n, 3, r, r] in [0, 1], with `init: real`.
    """

    def __init__(
        self,
        indices: list[int],
        method: MethodSettings,
        seed: int,
        device: torch.device | str = "cpu",
        start: Float[Tensor, "n 3 r r"] | None = None,
    ) -> None:
        self.indices = list(indices)
        self.method = method
        self.seed = seed
        self.device = torch.device(device)
        if method.parameterization == "pixels":
            sizes = [method.resolution]
        else:
            finest = method.resolution if method.init == REAL else method.pyramid_start
            sizes = level_sizes(method.resolution, finest)
        if start is None:
            levels = [self._start(size, len(sizes)) for size in sizes]
        else:
            levels = self._as(start, sizes)
        self.levels: list[Tensor] = [level.requires_grad_() for level in levels]

    def _as(self, start: Float[Tensor, "n 3 r r"], sizes: list[int]) -> list[Tensor]:
        """The levels that render as given images, all of them at once."""
        target = unsquash(start.to(self.device))
        return laplacian_levels(decorrelate(target) if self.method.decorrelate_color else target, sizes)

    def _start(self, size: int, count: int) -> Float[Tensor, "n 3 {size} {size}"]:
        """One of the `count` levels that there are before the first step."""
        if self.method.init == "zero":
            return torch.zeros(len(self.indices), 3, size, size, device=self.device)
        return self._draw(size) / count

    def _draw(self, size: int) -> Float[Tensor, "n 3 {size} {size}"]:
        """N(0, 1)."""
        draws = [
            torch.randn(3, size, size, generator=named_generator(self.seed, "level", size, index))
            for index in self.indices
        ]
        empty = torch.empty(0, 3, size, size)
        return torch.stack(draws).to(self.device) if draws else empty.to(self.device)

    @property
    def sizes(self) -> list[int]:
        """Sides of the present levels in pixels, coarse to fine."""
        return [level.shape[-1] for level in self.levels]

    def due(self, step: int) -> bool:
        """Whether a level is to be added before update number `step`, counted from 0."""
        grows = self.method.parameterization == "pyramid" and step > 0
        return grows and step % self.method.growth_interval == 0 and self.sizes[-1] < self.method.resolution

    def grow(self) -> None:
        """Add the next finer level: n old ones are scaled by n / (n + 1), the new one is N(0, 1) / (n + 1).

        The new level is drawn whatever the start was, as in the published code.
        """
        count = len(self.levels)
        finer = min(self.sizes[-1] * 2, self.method.resolution)
        kept = [level.detach() * (count / (count + 1)) for level in self.levels]
        self.levels = [level.requires_grad_() for level in [*kept, self._draw(finer) / (count + 1)]]

    def render(self) -> Float[Tensor, "n 3 r r"]:
        """The images, values in (0, 1), differentiable in the levels.

        Bilinear upsampling is P → U P Uᵀ, so the sum over levels is one product,
        `[U_1 U_2 …] [P_1 U_1ᵀ; P_2 U_2ᵀ; …]`, and its derivative adds in the same order on every device.
        """
        resolution = self.method.resolution
        coarse = [level for level in self.levels if level.shape[-1] < resolution]
        total = torch.zeros((), device=self.device)
        if coarse:
            bases = [_upsampling(p.shape[-1], resolution, p.device, p.dtype) for p in coarse]
            rows = [level @ basis.mT for level, basis in zip(coarse, bases, strict=True)]
            total = torch.cat(bases, dim=1) @ torch.cat(rows, dim=2)
        if len(coarse) < len(self.levels):
            total = total + self.levels[-1]
        return squash(correlate(total) if self.method.decorrelate_color else total)
