"""From images, or from statistics of them, to a distilled set in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from lgm_core.distilled import DistilledSet
from lgm_core.features.cache import FeatureCache
from lgm_core.features.clusters import cluster_classes
from lgm_core.features.extraction import extract_train
from lgm_core.foundation.provenance import versions
from lgm_core.foundation.seeds import derive_seed
from lgm_core.images import ImageSet, squares
from lgm_core.method.distiller import Distiller, Member
from lgm_core.method.identity import run_facts
from lgm_core.method.real import RealBank, real_bank
from lgm_core.method.resuming import Checkpoints, Keeper
from lgm_core.method.statistics import ClassStatistics, statistics_bank
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import (
    CLUSTERS,
    REAL,
    AugmentSettings,
    CheckpointSettings,
    FeatureSettings,
    MethodSettings,
)

_CHECKPOINTS = CheckpointSettings(steps=200, minutes=5.0)
_CENTERED = AugmentSettings(0.0, (1.0, 1.0), (1.0, 1.0), False, 0.0, 0.0, 0.0)


def distill(
    backbone: FrozenBackbone | Sequence[FrozenBackbone],
    train: ImageSet,
    method: MethodSettings,
    *,
    seed: int = 0,
    real_rounds: int = 4,
    workers: int = 0,
    checkpoints: Path | None = None,
    features_done: Callable[[int], object] = lambda count: None,
    step_done: Callable[[int, float], None] = lambda step, loss: None,
) -> DistilledSet:
    """Distil images under one backbone, or under several together, equally weighted.

    Args:
        backbone: frozen, on the device to use, prepared for images of `method.input_size`; or several.
        train: the training images.
        method: every setting; :meth:`MethodSettings.paper` has the paper's.
        seed: root of all draws.
        real_rounds: augmented views of every training image.
        workers: processes that decode images.
        checkpoints: folder to go on from after an interruption; None: no checkpoints.
        features_done: told how many images became features, of one backbone after another.
        step_done: told the number and the loss of every step.

    Raises:
        InputError: if a setting or an image cannot be used.
    """
    backbones = [backbone] if isinstance(backbone, FrozenBackbone) else list(backbone)
    how = {"seed": seed, "real_rounds": real_rounds, "workers": workers, "progress": features_done}
    caches = [_train_features(one, train, method, **how) for one in backbones]
    slots, start = _clustered(caches[0], train, method, seed)
    members = [
        Member(one, real_bank(cache, method, slots), str(number))
        for number, (one, cache) in enumerate(zip(backbones, caches, strict=True))
    ]
    return _distilled(members, method, seed, checkpoints, step_done, start)


def distill_statistics(
    backbone: FrozenBackbone,
    statistics: ClassStatistics,
    method: MethodSettings,
    *,
    seed: int = 0,
    checkpoints: Path | None = None,
    step_done: Callable[[int, float], None] = lambda step, loss: None,
) -> DistilledSet:
    """Distil class sums and counts that the images' owners wrote; nobody hands over an image.

    Args:
        backbone: that the statistics are of.
        statistics: of one owner, or :func:`added`.
        method: with the objective `means`, and the settings of views that the statistics were made with.
        seed, checkpoints, step_done: as for :func:`distill`.

    Raises:
        InputError: if method or backbone do not fit the statistics.
    """
    member = Member(backbone, statistics_bank(statistics, backbone, method), "0")
    result = _distilled([member], method, seed, checkpoints, step_done)
    told = {"images": int(statistics.counts.sum()), "owners": list(statistics.owners)}
    return replace(result, facts={**result.facts, "statistics": told})


def _distilled(
    members: list[Member],
    method: MethodSettings,
    seed: int,
    checkpoints: Path | None,
    step_done: Callable[[int, float], None],
    start: Tensor | None = None,
) -> DistilledSet:
    distiller = Distiller(members, method, seed=derive_seed(seed, "distill"), start=start)
    result = run_with_checkpoints(distiller, checkpoints, step_done)
    return replace(result, facts={"method": asdict(method), "seed": seed, "versions": versions()})


def image_bank(backbone: FrozenBackbone, train: ImageSet, method: MethodSettings, **how: Any) -> RealBank:
    """The real side of a distillation: features of views of the training images.

    Args:
        backbone, train, method: as for :func:`distill`.
        how: its `seed`, `real_rounds` and `workers`, and `progress`, told how many images were done.
    """
    return real_bank(_train_features(backbone, train, method, **how), method)


def _train_features(
    backbone: FrozenBackbone, train: ImageSet, method: MethodSettings, *, real_rounds: int, **how: Any
) -> FeatureCache:
    spec = FeatureSettings(method.resolution, method.input_size, method.augment, real_rounds, 0, _CENTERED)
    return extract_train(backbone, train, spec, **how)


def _clustered(
    cache: FeatureCache, train: ImageSet, method: MethodSettings, seed: int
) -> tuple[Tensor | None, Tensor | None]:
    """The slots of the training images, and what the images start as, as far as the method has them."""
    if method.slots != CLUSTERS and method.init != REAL:
        return None, None
    seed = derive_seed(seed, "clusters")
    found = cluster_classes(cache.train, cache.train_labels, method.ipc, seed=seed, classes=cache.classes)
    return (
        found.slots if method.slots == CLUSTERS else None,
        squares(train, found.medoids.tolist(), method.resolution) if method.init == REAL else None,
    )


def run_with_checkpoints(
    distiller: Distiller, checkpoints: Path | None, step_done: Callable[[int, float], None]
) -> DistilledSet:
    """Run to the end, from the newest checkpoint in a folder on; checkpoints are removed at the end."""
    if checkpoints is None:
        return distiller.run(step_done)
    with Keeper(distiller, Checkpoints(checkpoints, run_facts(distiller)), _CHECKPOINTS) as keep:
        result = distiller.run(step_done, keep)
    keep.checkpoints.clear()
    return result
