"""Real images become features once: one pass over the decoded images makes every view that is ever needed.

The centre view of every image serves selection and testing, `real_rounds` augmented views the real gradient,
and `full_view_rounds` views the probe on the full data set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lgm_core.augment import center_crop, draw_for, view
from lgm_core.backbones import FrozenBackbone
from lgm_core.datasets import ImageSet, square
from lgm_core.errors import InputError
from lgm_core.features import FeatureCache
from lgm_core.seeds import derive_seed, named_generator
from lgm_core.specs import NO_AUGMENTATION, AugmentSpec, FeatureSpec

_BATCH_IMAGES = 100
Progress = Callable[[int], None]


class _Squares(Dataset[Tensor]):
    """Image number i → uint8 [1 + rounds, 3, side, side]: the centre square, then randomly placed ones."""

    def __init__(self, images: ImageSet, side: int, rounds: int, seed: int) -> None:
        self.images, self.side, self.rounds, self.seed = images, side, rounds, seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        picture = self.images.decode(index)
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "square", index))
        placed = [square(picture, self.side, generator) for _ in range(self.rounds)]
        return torch.stack([square(picture, self.side), *placed])


def _batches(squares: _Squares, workers: int) -> Iterator[tuple[slice, Tensor]]:
    loader = DataLoader(
        squares, batch_size=_BATCH_IMAGES, num_workers=workers, pin_memory=torch.cuda.is_available()
    )
    start = 0
    for batch in loader:
        yield slice(start, start + len(batch)), batch
        start += len(batch)


@torch.no_grad()
def _extract(
    backbone: FrozenBackbone,
    images: ImageSet,
    spec: FeatureSpec,
    rounds: list[tuple[str, AugmentSpec | str]],
    *,
    seed: int,
    workers: int,
    progress: Progress,
) -> Float[Tensor, "v n f"]:
    """Features of the centre view and of one view for every entry of `rounds` (name, augmentation)."""
    device = backbone.device
    squares = _Squares(images, spec.resolution, len(rounds), seed)
    draws = [draw_for(augment, len(images), named_generator(seed, "view", name)) for name, augment in rounds]
    result = torch.empty(1 + len(rounds), len(images), backbone.width(spec.input_size))
    for place, batch in _batches(squares, workers):
        pixels = batch.to(device, non_blocking=True).float() / 255
        result[0, place] = backbone(center_crop(pixels[:, 0], spec.input_size)).cpu()
        for number, (_, augment) in enumerate(rounds):
            drawn = draws[number]
            part = None if drawn is None else drawn.part(place.start, place.stop)
            views = view(pixels[:, 1 + number], part, spec.input_size, augment)
            result[1 + number, place] = backbone(views).cpu()
        progress(len(batch))
    if not result.isfinite().all():
        raise InputError("The backbone's features are not finite; check its checkpoint and normalisation.")
    return result


def extract_features(
    backbone: FrozenBackbone,
    splits: tuple[ImageSet, ImageSet],
    spec: FeatureSpec,
    *,
    seed: int,
    workers: int = 0,
    progress: Progress = lambda count: None,
) -> FeatureCache:
    """Run the backbone over a data set.

    Args:
        backbone: on the device to use.
        splits: train and test images with equal classes.
        spec: sizes, augmentation, number of rounds.
        seed: root of the draws.
        workers: processes that decode images.
        progress: told how many images were done.
    """
    train, test = splits
    gradient_rounds = 0 if spec.augment == NO_AUGMENTATION else spec.real_rounds
    rounds: list[tuple[str, AugmentSpec | str]] = [
        *((f"real {number}", spec.augment) for number in range(gradient_rounds)),
        *((f"full {number}", spec.full_augment) for number in range(spec.full_view_rounds)),
    ]
    common = {"seed": seed, "workers": workers, "progress": progress}
    features = _extract(backbone, train, spec, rounds, **common)
    centre, augmented = features[0], features[1:]
    return FeatureCache(
        classes=train.classes,
        train=centre,
        train_labels=train.labels,
        test=_extract(backbone, test, spec, [], **common)[0],
        test_labels=test.labels,
        real_views=augmented[:gradient_rounds] if gradient_rounds else centre[None],
        full_views=augmented[gradient_rounds:],
    )


def extract_test(
    backbone: FrozenBackbone,
    test: ImageSet,
    spec: FeatureSpec,
    *,
    workers: int = 0,
    progress: Progress = lambda count: None,
) -> FeatureCache:
    """The part of a cache that testing needs; its training part is empty."""
    features = _extract(backbone, test, spec, [], seed=0, workers=workers, progress=progress)[0]
    return FeatureCache(
        classes=test.classes,
        train=features[:0],
        train_labels=test.labels[:0],
        test=features,
        test_labels=test.labels,
        real_views=features[None, :0],
        full_views=features[None, :0],
    )


def feature_facts(spec: FeatureSpec, seed: int) -> dict[str, Any]:
    """The settings as plain values, for metadata."""
    return {"settings": asdict(spec), "seed": seed}
