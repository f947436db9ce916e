"""The feature cache: real images become features once; everything after that is cheap.

One pass over the decoded images makes the centre view of every image, `real_rounds` augmented views for the
real gradient, and `full_view_rounds` views for probing on the full data set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lgm_core.augment import center_crop, draw_for, view
from lgm_core.backbones import FrozenBackbone
from lgm_core.datasets import ImageSet, square
from lgm_core.errors import InputError
from lgm_core.seeds import derive_seed, named_generator
from lgm_core.specs import NO_AUGMENTATION, AugmentSpec, FeatureSpec
from lgm_core.store import read_tensors, write_tensors

_BATCH_IMAGES = 100
Progress = Callable[[int], None]


@dataclass(frozen=True)
class FeatureCache:
    """Features of a data set under one backbone.

    Attributes:
        classes: class names.
        train, test: features of the centre views, [N, F] and [N_test, F].
        train_labels, test_labels: [N] and [N_test].
        real_views: [R, N, F], augmented as in distillation; the centre views where augmentation is off.
        full_views: [R', N, F], augmented as the probe's training views.
    """

    classes: tuple[str, ...]
    train: Float[Tensor, "n f"]
    train_labels: Int[Tensor, " n"]
    test: Float[Tensor, "t f"]
    test_labels: Int[Tensor, " t"]
    real_views: Float[Tensor, "r n f"]
    full_views: Float[Tensor, "q n f"]


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
    device = backbone.mean.device
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


_TRAIN_FILE, _VIEWS_FILE, _TEST_FILE = "train.safetensors", "views.safetensors", "test.safetensors"


def save_features(folder: Path, cache: FeatureCache, facts: dict[str, Any]) -> None:
    """Write the cache into a folder, with `facts` (settings, versions) in every file's metadata."""
    metadata = {**facts, "classes": list(cache.classes)}
    write_tensors(folder / _TRAIN_FILE, {"features": cache.train, "labels": cache.train_labels}, metadata)
    write_tensors(folder / _TEST_FILE, {"features": cache.test, "labels": cache.test_labels}, metadata)
    views = {"real_views": cache.real_views, "full_views": cache.full_views}
    write_tensors(folder / _VIEWS_FILE, views, metadata)


def load_features(folder: Path, *, made_by: str) -> FeatureCache:
    """Read a cache back.

    Raises:
        InputError: if a file is missing or damaged, naming `made_by`, the command that makes it.
    """
    train, metadata = read_tensors(folder / _TRAIN_FILE, made_by=made_by)
    test, _ = read_tensors(folder / _TEST_FILE, made_by=made_by)
    views, _ = read_tensors(folder / _VIEWS_FILE, made_by=made_by)
    return FeatureCache(
        classes=tuple(metadata["classes"]),
        train=train["features"],
        train_labels=train["labels"],
        test=test["features"],
        test_labels=test["labels"],
        **views,
    )


def feature_facts(spec: FeatureSpec, seed: int) -> dict[str, Any]:
    """The settings as plain values, for metadata."""
    return {"settings": asdict(spec), "seed": seed}
