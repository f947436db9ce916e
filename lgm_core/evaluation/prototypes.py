"""Class means as a training set: what features alone would give, a ceiling that no images need reach."""

from __future__ import annotations

import torch

from lgm_core.evaluation.accuracies import accuracies, nearest_neighbor_percent
from lgm_core.evaluation.probe import TrainingViews, hold_out, train_heads
from lgm_core.evaluation.small_sets import Runs
from lgm_core.features.cache import FeatureCache
from lgm_core.foundation.seeds import derive_seed
from lgm_core.settings.evaluation import ProbeSettings


def evaluate_prototypes(
    cache: FeatureCache, spec: ProbeSettings, *, seed: int, device: torch.device | str = "cpu"
) -> Runs:
    """Probes and 1-NN on one vector per class, the mean of its training features; accuracies in percent.

    They are no images, so no other backbone can see them.

    Args:
        cache: features of the data set under the backbone.
        spec: probe settings, as small image sets have them.
        seed: root of the draws.
        device: where the heads are trained.

    Returns:
        Measure → one list with `spec.seeds` runs; `nearest_neighbor` with one.
    """
    device = torch.device(device)
    labels = torch.arange(len(cache.classes))
    means = torch.stack([cache.train[cache.train_labels == label].mean(dim=0) for label in labels])
    _, validation = hold_out(cache.train, cache.train_labels, spec, seed)
    heads = train_heads(
        [TrainingViews(means[None].to(device), labels.to(device))] * spec.seeds,
        len(cache.classes),
        spec,
        epochs=spec.epochs,
        seeds=[derive_seed(seed, "prototypes", number) for number in range(spec.seeds)],
        validation=None if validation is None else validation.to(device),
    )
    test = cache.test.to(device)
    answers = cache.test_labels.to(device)
    groups = None if cache.test_groups is None else cache.test_groups.to(device)
    nearest = nearest_neighbor_percent(means.to(device), labels.to(device), test, answers)
    found = accuracies(heads, test, answers, groups)
    return {"nearest_neighbor": [[nearest]], **{measure: [runs] for measure, runs in found.items()}}
