"""From images to a distilled set in one call."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

from lgm_core.distilled import DistilledSet
from lgm_core.features.extraction import extract_train
from lgm_core.foundation.provenance import versions
from lgm_core.foundation.seeds import derive_seed
from lgm_core.images import ImageSet
from lgm_core.method.distiller import Distiller
from lgm_core.method.real import real_bank
from lgm_core.method.resuming import Checkpoints, Keeper, run_facts
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import AugmentSettings, CheckpointSettings, FeatureSettings, MethodSettings

_CHECKPOINTS = CheckpointSettings(steps=200, minutes=5.0)
_CENTERED = AugmentSettings(0.0, (1.0, 1.0), (1.0, 1.0), False, 0.0, 0.0, 0.0)


def distill(
    backbone: FrozenBackbone,
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
    """Distil images under one backbone.

    Args:
        backbone: frozen, on the device to use, prepared for images of `method.input_size`.
        train: the training images.
        method: every setting; :meth:`MethodSettings.paper` has the paper's.
        seed: root of all draws.
        real_rounds: augmented views of every training image.
        workers: processes that decode images.
        checkpoints: folder to go on from after an interruption; None: no checkpoints.
        features_done: told how many images became features.
        step_done: told the number and the loss of every step.

    Raises:
        InputError: if a setting or an image cannot be used.
    """
    spec = FeatureSettings(method.resolution, method.input_size, method.augment, real_rounds, 0, _CENTERED)
    cache = extract_train(backbone, train, spec, seed=seed, workers=workers, progress=features_done)
    distiller = Distiller(backbone, real_bank(cache, method), method, seed=derive_seed(seed, "distill"))
    keeper = nullcontext()
    if checkpoints is not None:
        keeper = Keeper(distiller, Checkpoints(checkpoints, run_facts(distiller)), _CHECKPOINTS)
    with keeper as keep:
        result = distiller.run(step_done, keep or (lambda: None))
    if keep is not None:
        keep.checkpoints.clear()
    made = {"method": asdict(method), "seed": seed, "versions": versions()}
    return replace(result, facts=made)
