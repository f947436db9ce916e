"""Images where the right answer is known: of one colour each, and the backbone sees nothing but that."""

from __future__ import annotations

import torch
from torch import Tensor

from lgm_core.evaluation.small_sets import LabeledImages
from lgm_core.features.cache import FeatureCache
from lgm_core.models.frozen import FrozenBackbone

SIDE = 12
PURE = torch.eye(3)


def plain(colors: Tensor, side: int = SIDE) -> Tensor:
    """Images of one colour each, [n, 3, side, side]."""
    return colors[:, :, None, None].expand(-1, -1, side, side).contiguous()


DISTILLED = LabeledImages(plain(PURE), torch.arange(3))


def colors_of(labels: Tensor, spread: float, seed: int) -> Tensor:
    """Colours near their class's pure one."""
    noise = torch.rand(len(labels), 3, generator=torch.Generator().manual_seed(seed)) * spread
    return (PURE[labels % 3] * (1 - spread) + noise).clamp(0, 1)


def cache_of(
    backbone: FrozenBackbone, *, count: int = 60, spread: float = 0.3, classes: int = 3, rounds: int = 2
) -> FeatureCache:
    """A data set of plain colours; separable, unless the spread is wide."""
    labels = torch.arange(classes).repeat_interleave(count // classes)
    train, test = (backbone(plain(colors_of(labels, spread, seed))) for seed in (1, 2))
    names = tuple(f"class {number}" for number in range(classes))
    return FeatureCache(names, train, labels, test, labels, train[None], train.repeat(rounds, 1, 1))


def hard(backbone: FrozenBackbone) -> tuple[FeatureCache, dict[str, list[LabeledImages]]]:
    """A problem whose accuracies depend on every random draw: overlapping classes, few training images."""
    labels = torch.arange(3).repeat(2)
    random = [LabeledImages(plain(colors_of(labels, 0.95, 10 + number)), labels) for number in range(2)]
    distilled = LabeledImages(plain(colors_of(labels, 0.9, 20)), labels)
    return cache_of(backbone, count=300, spread=0.9), {"distilled": [distilled], "random": random}
