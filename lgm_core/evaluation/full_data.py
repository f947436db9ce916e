"""What all real images are worth to a backbone: the full-data probe and two closed-form ceilings."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lgm_core.evaluation.accuracies import accuracies, majority_accuracies, nearest_class_mean_percent
from lgm_core.evaluation.probe import TrainingViews, hold_out, train_heads
from lgm_core.evaluation.ridge import ridge_percent
from lgm_core.features.cache import FeatureCache
from lgm_core.foundation.provenance import settings_of, versions
from lgm_core.foundation.seeds import derive_seed
from lgm_core.settings.evaluation import ProbeSettings

_FULL_PROBE_SETTINGS = (
    "full_epochs", "batch_size", "learning_rate", "head_std", "seeds", "random_seeds", "patience", "holdout",
)  # fmt: skip


def evaluate_full(
    cache: FeatureCache,
    spec: ProbeSettings,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    training: AbstractContextManager[Any] | None = None,
) -> tuple[dict[str, Any], Float[Tensor, "c g"]]:
    """Probe on all training images, and the ceilings on their centre views; accuracies in percent.

    Args:
        cache: features of the data set under the backbone.
        spec: probe settings; `full_epochs` passes over the cached training views.
        seed: root of the draws.
        device: where the heads are trained.
        training: entered while they are.

    Returns:
        `full` with one entry per seed under `top1` (and `top5`, `balanced`, `worst_group`), `majority`, what
        always answering the largest class scores, `nearest_class_mean` and `ridge`; and the probe's head of
        the first seed, [C, F + 1], whose last column is the bias.
    """
    device = torch.device(device)
    kept, validation = hold_out(cache.train, cache.train_labels, spec, seed)
    views = TrainingViews(cache.full_views[:, kept].to(device), cache.train_labels[kept].to(device))
    with training or nullcontext():
        heads = train_heads(
            [views] * spec.seeds,
            len(cache.classes),
            spec,
            epochs=spec.full_epochs,
            seeds=[derive_seed(seed, "full", number) for number in range(spec.seeds)],
            validation=None if validation is None else validation.to(device),
        )
    samples = [part.to(device) for part in (cache.train, cache.train_labels, cache.test, cache.test_labels)]
    groups = None if cache.test_groups is None else cache.test_groups.to(device)
    found = {
        "full": accuracies(heads, samples[2], samples[3], groups),
        "majority": majority_accuracies(cache.train_labels, cache.test_labels, cache.test_groups),
        "nearest_class_mean": nearest_class_mean_percent(*samples),
        "ridge": ridge_percent(*samples, seed=seed, holdout=spec.holdout),
    }
    return found, heads[0].cpu()


def full_probe_facts(spec: ProbeSettings) -> dict[str, Any]:
    """What these accuracies depend on besides the images: settings and versions."""
    return {"probe": settings_of(spec, _FULL_PROBE_SETTINGS), "versions": versions()}
