"""What an image set is worth to a backbone: probes and 1-NN of distilled and of real images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lgm_core.distilled import DistilledSet
from lgm_core.evaluation.accuracies import (
    accuracies,
    class_accuracies,
    nearest_neighbor_percent,
    predict,
)
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
from lgm_core.settings.method import NO_AUGMENTATION, AugmentSettings, FeatureSettings

_PROBE_SETTINGS = (
    "epochs", "batch_size", "learning_rate", "head_std", "seeds", "view_rounds", "patience", "holdout",
    "augment",
)  # fmt: skip
_NUMBERS_AT_ONCE = 2**28
"""Bound on the features of training views that wait for their probes, 1 GiB: many classes have many."""
RANDOM = "random"
"""The baseline whose sets are many random draws."""
Progress = Callable[[int], object]


@dataclass(frozen=True)
class LabeledImages:
    """A small training set: images [n, 3, r, r] in [0, 1] and labels [n]."""

    images: Float[Tensor, "n 3 r r"]
    labels: Int[Tensor, " n"]


Runs = dict[str, list[list[Any]]]
"""Measure → percent: a list for every set, of its runs."""


def view_features(
    backbone: FrozenBackbone,
    images: Float[Tensor, "n 3 r r"],
    rounds: int,
    augment: AugmentSettings,
    input_size: int,
    generator: torch.Generator,
) -> Float[Tensor, "v n f"]:
    """Features of `rounds` random views of every image, which are made batch by batch.

    Args:
        backbone: that sees them.
        images: on its device, values in [0, 1].
        rounds: v.
        augment: how views are drawn.
        input_size: side in pixels of what the backbone sees.
        generator: on the CPU.
    """
    count = len(images)
    draws = draw_views(rounds * count, augment, generator)
    sources = torch.arange(count, device=images.device).repeat(rounds)
    features = []
    for start in range(0, rounds * count, EMBEDDED_AT_ONCE):
        stop = start + EMBEDDED_AT_ONCE
        views = view(images[sources[start:stop]], draws.part(start, stop), input_size, augment)
        features.append(backbone.embed(views))
    return torch.cat(features).reshape(rounds, count, -1)


def _training_views(
    backbone: FrozenBackbone, images: Tensor, rounds: int, spec: ProbeSettings, input_size: int, seed: int
) -> Float[Tensor, "v n f"]:
    generator = named_generator(seed, "probe views")
    return view_features(backbone, images, rounds, spec.augment, input_size, generator)


class _Run(NamedTuple):
    """One head that is trained: its training set's name and number, its own views, a seed."""

    name: str
    number: int
    views: TrainingViews
    seed: int


def evaluate_sets(
    backbone: FrozenBackbone,
    cache: FeatureCache,
    sets: dict[str, list[LabeledImages]],
    spec: ProbeSettings,
    *,
    input_size: int,
    seed: int,
    draws: tuple[str, ...] = (),
    by_class: tuple[str, ...] = (),
    progress: Progress = lambda count: None,
) -> dict[str, Runs]:
    """Accuracies in percent of probes trained on small image sets, all heads in one optimisation.

    Every set is probed with `spec.seeds` seeds, each with its own share of the `spec.view_rounds` rounds of
    training views; a set of a name in `draws` with one seed and such a share.

    Args:
        backbone: that sees the images.
        cache: test features of the data set under the same backbone.
        sets: training sets by name, one or several of each; all of the same size.
        spec: probe settings.
        input_size: side in pixels of what the backbone sees.
        seed: root of the draws.
        draws: names of baselines whose sets are many random draws.
        by_class: names of sets of which the accuracy of every class is told too.
        progress: told how many sets were turned into features.

    Returns:
        For every name `top1` (and `top5` from five classes on), `balanced` and `worst_group`, a list of runs
        for every set; `nearest_neighbor`, one number for every set; and `by_class`, where it is asked for,
        the C classes' accuracies for every set, each the mean over its runs, None without test samples.
    """
    test, test_labels = cache.test.to(backbone.device), cache.test_labels.to(backbone.device)
    share = spec.view_rounds // spec.seeds
    waiting: list[_Run] = []
    found: dict[str, Runs] = {name: {"nearest_neighbor": []} for name in sets}
    members = [(name, *one) for name, given in sets.items() for one in enumerate(given)]
    for name, number, member in members:
        images, labels = member.images.to(backbone.device), member.labels.to(backbone.device)
        set_seed = derive_seed(seed, "set", name, number)
        repeats = 1 if name in draws else spec.seeds
        rounds = _training_views(backbone, images, repeats * share, spec, input_size, set_seed)
        waiting += [
            _Run(name, number, TrainingViews(views, labels), derive_seed(set_seed, "run", run))
            for run, views in enumerate(rounds.split(share))
        ]
        gallery = backbone.embed(center_crop(images, input_size), exact=True)
        nearest = nearest_neighbor_percent(gallery, labels, test, test_labels)
        found[name]["nearest_neighbor"].append([nearest])
        progress(1)
        last = (name, number) == members[-1][:2]
        if last or sum(run.views.features.numel() for run in waiting) > _NUMBERS_AT_ONCE:
            _settle(waiting, found, cache, spec, seed, by_class)
            waiting.clear()
    return found


def _settle(
    runs: list[_Run],
    found: dict[str, Runs],
    cache: FeatureCache,
    spec: ProbeSettings,
    seed: int,
    by_class: tuple[str, ...],
) -> None:
    """Train the heads of all runs of some sets, and note what they reach."""
    device = runs[0].views.features.device
    heads = _heads(runs, cache, spec, seed)
    groups = None if cache.test_groups is None else cache.test_groups.to(device)
    test, labels = cache.test.to(device), cache.test_labels.to(device)
    places: dict[tuple[str, int], list[int]] = {}
    for place, run in enumerate(runs):
        places.setdefault((run.name, run.number), []).append(place)
    measured = accuracies(heads, test, labels, groups)
    for (name, _), own in places.items():
        for measure, values in measured.items():
            found[name].setdefault(measure, []).append([values[place] for place in own])
        if name in by_class:
            told = class_accuracies(predict(heads[own], test), labels, len(cache.classes))
            found[name].setdefault("by_class", []).append(told)


def _heads(runs: list[_Run], cache: FeatureCache, spec: ProbeSettings, seed: int) -> Float[Tensor, "j c g"]:
    """The trained heads of all runs."""
    device = runs[0].views.features.device
    _, validation = hold_out(cache.train, cache.train_labels, spec, seed)
    return train_heads(
        [run.views for run in runs],
        len(cache.classes),
        spec,
        epochs=spec.epochs,
        seeds=[run.seed for run in runs],
        validation=None if validation is None else validation.to(device),
    )


def probe_count(sets: dict[str, list[LabeledImages]], spec: ProbeSettings) -> int:
    """How many probes are trained on such sets: `spec.seeds` on each, one on a random draw."""
    return sum(len(members) * (1 if name == RANDOM else spec.seeds) for name, members in sets.items())


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
    return {measure: runs for measure, (runs,) in found["images"].items()}


def real_sets(
    train: ImageSet, chosen: dict[str, list[list[int]]], side: int
) -> dict[str, list[LabeledImages]]:
    """The real training sets that distilled ones are compared with.

    Args:
        train: the training images.
        chosen: baseline → numbers of the images of each of its sets.
        side: of the images in pixels.
    """
    return {
        name: [LabeledImages(squares(train, numbers, side), train.labels[numbers]) for numbers in sets]
        for name, sets in chosen.items()
    }


def probe_facts(spec: ProbeSettings, **cell: Any) -> dict[str, Any]:
    """What these accuracies depend on besides the images: the cell's names and seed, settings, versions."""
    return {**cell, "probe": settings_of(spec, _PROBE_SETTINGS), "versions": versions()}
