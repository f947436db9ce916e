"""The feature cache on disk: what a data set looks like to a backbone, computed once.

train.safetensors  features of the centre views [N, F], labels [N]
views.safetensors  real_views [R, N, F] for the real gradient, full_views [R', N, F] for the full probe
test.safetensors   features of the centre views [N_test, F], labels and groups [N_test]
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from lgm_core.foundation.belonging import address, check_of, content_of
from lgm_core.foundation.layout import Cell
from lgm_core.foundation.store import read_tensors, write_tensors


@dataclass(frozen=True)
class FeatureCache:
    """Features of a data set under one backbone.

    Attributes:
        classes: class names.
        train, test: features of the centre views, [N, F] and [N_test, F].
        train_labels, test_labels: [N] and [N_test].
        real_views: [R, N, F], augmented as in distillation; the centre views where augmentation is off.
        full_views: [R', N, F], augmented as the probe's training views.
        test_groups: [N_test], positions in `group_names`; None where the data set has no groups.
        group_names: names of the test images' groups.
        facts: what a cache on disk says of itself.
    """

    classes: tuple[str, ...]
    train: Float[Tensor, "n f"]
    train_labels: Int[Tensor, " n"]
    test: Float[Tensor, "t f"]
    test_labels: Int[Tensor, " t"]
    real_views: Float[Tensor, "r n f"]
    full_views: Float[Tensor, "q n f"]
    test_groups: Int[Tensor, " t"] | None = None
    group_names: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict, compare=False)


_TRAIN_FILE = "train.safetensors"
_VIEWS_FILE = "views.safetensors"
_TEST_FILE = "test.safetensors"


def save_features(folder: Path, cache: FeatureCache, facts: dict[str, Any]) -> None:
    """Write the cache into a folder, with `facts` (what it is of, settings) in every file's metadata."""
    metadata = {**facts, "classes": list(cache.classes), "groups": list(cache.group_names)}
    write_tensors(folder / _TRAIN_FILE, {"features": cache.train, "labels": cache.train_labels}, metadata)
    test = {"features": cache.test, "labels": cache.test_labels}
    if cache.test_groups is not None:
        test["groups"] = cache.test_groups
    write_tensors(folder / _TEST_FILE, test, metadata)
    views = {"real_views": cache.real_views, "full_views": cache.full_views}
    write_tensors(folder / _VIEWS_FILE, views, metadata)


def load_features(folder: Path) -> FeatureCache:
    """Read a cache back.

    Raises:
        FileError: if a file is missing or damaged.
    """
    train, metadata = read_tensors(folder / _TRAIN_FILE)
    test, _ = read_tensors(folder / _TEST_FILE)
    views, _ = read_tensors(folder / _VIEWS_FILE)
    return FeatureCache(
        classes=tuple(metadata["classes"]),
        train=train["features"],
        train_labels=train["labels"],
        test=test["features"],
        test_labels=test["labels"],
        test_groups=test.get("groups"),
        group_names=tuple(metadata["groups"]),
        facts=metadata,
        **views,
    )


def features_of(cell: Cell) -> FeatureCache:
    """Read the cache of a cell.

    Raises:
        FileError: if a file is missing or damaged, or does not say that it is of this cell.
    """
    cache = load_features(cell.features)
    check_of(cell.features, cache.facts, cell)
    return cache


def features_behind(*cells: Cell) -> dict[str, str]:
    """What a result says that was made from the features of cells: address → fingerprint.

    Raises:
        FileError: if a file is missing or damaged.
    """
    files = (_TRAIN_FILE, _VIEWS_FILE, _TEST_FILE)
    return {
        address(cell, cell.features): content_of(cell.features / file for file in files) for cell in cells
    }
