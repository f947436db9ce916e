"""A data set without its test set: some training images are distilled from, the others are probed on."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor

from lgm_core.foundation.seeds import named_generator
from lgm_core.images import ImageSet


def subset(images: ImageSet, numbers: Int[Tensor, " k"]) -> ImageSet:
    """Some images of a set, by their numbers."""
    places = numbers.tolist()
    return replace(
        images,
        labels=images.labels[numbers],
        names=tuple(images.names[number] for number in places),
        decode=lambda index: images.decode(places[index]),
        groups=None if images.groups is None else images.groups[numbers],
    )


def held_out(train: ImageSet, share: float, seed: int) -> tuple[ImageSet, ImageSet]:
    """Split training images class by class: what is distilled from, and what is probed on.

    Args:
        train: the training images.
        share: of every class that is held out, at least one image.
        seed: of the choice.
    """
    kept: list[Tensor] = []
    held: list[Tensor] = []
    for label in range(len(train.classes)):
        members = (train.labels == label).nonzero().flatten()
        generator = named_generator(seed, "held out", label)
        shuffled = members[torch.randperm(len(members), generator=generator)]
        count = max(1, round(share * len(members)))
        held.append(shuffled[:count])
        kept.append(shuffled[count:])
    fit, probed = (subset(train, torch.cat(part).sort().values) for part in (kept, held))
    return fit, probed
