"""What an image set is worth to a backbone: probes and 1-NN of distilled and of real images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lgm_core.distilled import DistilledSet
from lgm_core.evaluation.accuracies import accuracies, nearest_neighbor_percent
from lgm_core.evaluation.probe import TrainingViews, hold_out, train_heads
from lgm_core.features.augment import center_crop, draw_views, view
from lgm_core.features.cache import FeatureCache
from lgm_core.features.extraction import extract_test
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.provenance import settings_of, versions
from lgm_core.foundation.seeds import derive_seed, named_generator
from lgm_core.images import ImageSet, squares
from lgm_core.models.frozen import EMBEDDED_AT_ONCE, FrozenBackbone
from lgm_core.settings.evaluation import ProbeSettings
from lgm_core.settings.method import NO_AUGMENTATION, FeatureSettings

_PROBE_SETTINGS = (
    "epochs", "batch_size", "learning_rate", "head_std", "seeds", "view_rounds", "patience", "holdout",
    "augment",
)  # fmt: skip
Progress = Callable[[int], object]


@dataclass(frozen=True)
class LabeledImages:
    """A small training set: images [n, 3, r, r] in [0, 1] and labels [n]."""

    images: Float[Tensor, "n 3 r r"]
    labels: Int[Tensor, " n"]


def _training_views(
    backbone: FrozenBackbone, images: Tensor, spec: ProbeSettings, input_size: int, seed: int
) -> Float[Tensor, "v n f"]:
    """Features of `view_rounds` rounds of training views of every image; views are made batch by batch."""
    count = len(images)
    rounds = spec.view_rounds
    draws = draw_views(rounds * count, spec.augment, named_generator(seed, "probe views"))
    sources = torch.arange(count, device=images.device).repeat(rounds)
    features = []
    for start in range(0, rounds * count, EMBEDDED_AT_ONCE):
        stop = start + EMBEDDED_AT_ONCE
        views = view(images[sources[start:stop]], draws.part(start, stop), input_size, spec.augment)
        features.append(backbone.embed(views))
    return torch.cat(features).reshape(rounds, count, -1)


def evaluate_sets(
    backbone: FrozenBackbone,
    cache: FeatureCache,
    sets: dict[str, list[LabeledImages]],
    spec: ProbeSettings,
    *,
    input_size: int,
    seed: int,
    progress: Progress = lambda count: None,
) -> dict[str, dict[str, list[float]]]:
    """Accuracies in percent of probes trained on small image sets, all heads in one optimisation.

    A name with one set is probed with `spec.seeds` seeds; a name with several sets (the draws of a random
    baseline) with one seed for each.

    Args:
        backbone: that sees the images.
        cache: test features of the data set under the same backbone.
        sets: training sets by name; all of the same size.
        spec: probe settings.
        input_size: side in pixels of what the backbone sees.
        seed: root of the draws.
        progress: told how many sets were turned into features.

    Returns:
        For every name `top1` (and `top5` from five classes on), `balanced` and `worst_group` per run, and
        `nearest_neighbor` per set.
    """
    test = cache.test.to(backbone.device)
    test_labels = cache.test_labels.to(backbone.device)
    runs: list[_Run] = []
    nearest: dict[str, list[float]] = {name: [] for name in sets}
    for name, members in sets.items():
        for number, member in enumerate(members):
            images = member.images.to(backbone.device)
            labels = member.labels.to(backbone.device)
            set_seed = derive_seed(seed, "set", name, number)
            views = TrainingViews(_training_views(backbone, images, spec, input_size, set_seed), labels)
            repeats = spec.seeds if len(members) == 1 else 1
            runs += [_Run(name, views, derive_seed(set_seed, "run", run)) for run in range(repeats)]
            gallery = backbone.embed(center_crop(images, input_size), exact=True)
            nearest[name].append(nearest_neighbor_percent(gallery, labels, test, test_labels))
            progress(1)
    found = _accuracies(runs, cache, spec, seed)
    return {
        name: {
            **{
                measure: [value for run, value in zip(runs, values, strict=True) if run.name == name]
                for measure, values in found.items()
            },
            "nearest_neighbor": nearest[name],
        }
        for name in sets
    }


@dataclass(frozen=True)
class _Run:
    """One head that is trained: the name of its training set, the set's views, a seed."""

    name: str
    views: TrainingViews
    seed: int


def _accuracies(
    runs: list[_Run], cache: FeatureCache, spec: ProbeSettings, seed: int
) -> dict[str, list[float]]:
    """Train the heads of all runs; every measure of each of them on the test features."""
    device = runs[0].views.features.device
    _, validation = hold_out(cache.train, cache.train_labels, spec, seed)
    heads = train_heads(
        [run.views for run in runs],
        len(cache.classes),
        spec,
        epochs=spec.epochs,
        seeds=[run.seed for run in runs],
        validation=None if validation is None else validation.to(device),
    )
    groups = None if cache.test_groups is None else cache.test_groups.to(device)
    return accuracies(heads, cache.test.to(device), cache.test_labels.to(device), groups)


def probe(
    backbone: FrozenBackbone,
    images: LabeledImages | DistilledSet,
    test: ImageSet,
    spec: ProbeSettings,
    *,
    seed: int = 0,
    workers: int = 0,
    progress: Progress = lambda count: None,
) -> dict[str, list[float]]:
    """Accuracies in percent of linear probes on a backbone, trained on a small image set.

    Args:
        backbone: that sees the images, prepared for one image size.
        images: the training set; a distilled set's classes are those of the test images, by name.
        test: the test images.
        spec: probe settings; :meth:`ProbeSettings.paper` has the paper's. There are no training features to
            hold out for early stopping: the final epoch counts.
        seed: root of the draws.
        workers: processes that decode images.
        progress: told how many test images became features.

    Returns:
        Measure → percent of every run, as :func:`evaluate_sets` has them.

    Raises:
        InputError: if the classes differ, or the backbone was not prepared for one size.
    """
    if backbone.input_size is None:
        raise InputError("The backbone takes images of any size; prepare it for one with freeze().")
    labels = images.labels_in(test.classes) if isinstance(images, DistilledSet) else images.labels
    settings = FeatureSettings(
        images.images.shape[-1], backbone.input_size, NO_AUGMENTATION, 0, 0, spec.augment
    )
    cache = extract_test(backbone, test, settings, workers=workers, progress=progress)
    sets = {"images": [LabeledImages(images.images, labels)]}
    final = replace(spec, patience=0)
    found = evaluate_sets(backbone, cache, sets, final, input_size=backbone.input_size, seed=seed)
    return found["images"]


def real_baselines(
    train: ImageSet, neighbors: Int[Tensor, " k"], chosen: dict[str, list[list[int]]], side: int
) -> dict[str, list[LabeledImages]]:
    """The real training sets that a distilled one is compared with: Neighbors, Centroids, Random.

    Args:
        train: the training images.
        neighbors: numbers of those nearest to the distilled images.
        chosen: numbers of the other baselines, one list per draw.
        side: of the images in pixels.
    """
    numbers = {"neighbors": [neighbors.tolist()], **chosen}
    return {
        name: [LabeledImages(squares(train, draw, side), train.labels[draw]) for draw in draws]
        for name, draws in numbers.items()
    }


def probe_facts(spec: ProbeSettings, **cell: Any) -> dict[str, Any]:
    """What these accuracies depend on besides the images: the cell's names and seed, settings, versions."""
    return {**cell, "probe": settings_of(spec, _PROBE_SETTINGS), "versions": versions()}
