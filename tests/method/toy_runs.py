"""A distillation of three colours that takes no time."""

from __future__ import annotations

import torch

from lgm_core.distilled import DistilledSet
from lgm_core.method.distiller import Distiller, Member
from lgm_core.method.real import RealBank
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import MethodSettings

CLASSES, WIDTH = ("red", "green", "blue"), 5


def color_bank(backbone: FrozenBackbone, *, images: int = 12, rounds: int = 2, seed: int = 0) -> RealBank:
    """Features of colored noise: every class has its own mean color."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(images) % len(CLASSES)
    colors = torch.eye(3)[labels][None, :, :, None, None] * 0.6
    pixels = colors + 0.4 * torch.rand(rounds, images, 3, 8, 8, generator=generator)
    features = backbone(pixels.flatten(0, 1).to(backbone.mean.dtype)).reshape(rounds, images, -1)
    return RealBank(features.detach(), labels, CLASSES)


def color_distiller(
    backbone: FrozenBackbone, spec: MethodSettings, *, seed: int = 0, micro_batch: int | None = None
) -> Distiller:
    """A distiller of the three colors."""
    return Distiller(Member(backbone, color_bank(backbone)), spec, seed=seed, micro_batch=micro_batch)


def assert_same(one: DistilledSet, other: DistilledSet) -> None:
    """Both runs gave the same images and losses, bit by bit."""
    assert torch.equal(one.images, other.images)
    assert one.losses == other.losses
