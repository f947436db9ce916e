"""Settings are compared on training images alone: a part of them is distilled from, the rest is probed on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from PIL import Image

from lgm_core.data.sources import load_images
from lgm_core.features.cache import FeatureCache
from lgm_core.features.extraction import extract_features
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.seeds import named_generator
from lgm_core.foundation.sources import DatasetSource
from lgm_core.images import ImageSet
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import FeatureSettings


def cut(images: ImageSet, numbers: list[int]) -> ImageSet:
    """The images of these numbers, with the same classes."""
    return replace(
        images,
        labels=images.labels[numbers],
        names=tuple(images.names[number] for number in numbers),
        decode=partial(_decode, images.decode, tuple(numbers)),
        groups=None if images.groups is None else images.groups[numbers],
    )


def _decode(decode: Callable[[int], Image.Image], numbers: tuple[int, ...], index: int) -> Image.Image:
    return decode(numbers[index])


def held_out(images: ImageSet, share: float, seed: int) -> tuple[ImageSet, ImageSet]:
    """Split images at random within every class: those to distil from, those to probe on.

    Args:
        images: the training images.
        share: of every class that is held out; of each at least one image is on either side.
        seed: root of the draws, one for every class.

    Raises:
        InputError: naming the class that cannot be split.
    """
    fit: list[int] = []
    held: list[int] = []
    for label, name in enumerate(images.classes):
        members = (images.labels == label).nonzero().flatten()
        if len(members) < 2:
            raise InputError(
                f"Class {name} has {len(members)} training images; 2 are needed to hold one out."
            )
        order = torch.randperm(len(members), generator=named_generator(seed, "held out", name))
        count = min(max(1, round(share * len(members))), len(members) - 1)
        held += members[order[:count]].tolist()
        fit += members[order[count:]].tolist()
    return cut(images, sorted(fit)), cut(images, sorted(held))


def held_out_features(
    backbone: FrozenBackbone,
    source: DatasetSource,
    data_root: Path,
    spec: FeatureSettings,
    *,
    share: float,
    seed: int,
    workers: int = 0,
) -> FeatureCache:
    """A feature cache of the training images alone; the held-out ones stand where test images would.

    Args:
        backbone: on the device to use.
        source: of the data set, whose test split is not opened.
        data_root: folder that relative paths start from.
        spec: sizes, augmentation, number of rounds.
        share: of the training images that is held out.
        seed: root of all draws.
        workers: processes that decode images.
    """
    parts = held_out(load_images(source, "train", data_root), share, seed)
    return extract_features(backbone, parts, spec, seed=seed, workers=workers)
