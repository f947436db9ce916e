"""No tensor has as many numbers as there are pairs: of images and classes, or of real and synthetic images.

Every tensor that an operation makes is looked at, so that the test is exact and measures no memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lgm_core.evaluation import accuracies as measures
from lgm_core.evaluation import probe, ridge
from lgm_core.evaluation.accuracies import accuracies, nearest_class_mean_percent, nearest_neighbor_percent
from lgm_core.evaluation.full_data import evaluate_full
from lgm_core.evaluation.ridge import ridge_percent
from lgm_core.evaluation.selection import nearest_of_class
from lgm_core.features.cache import FeatureCache
from lgm_core.settings.params import Params

IMAGES, CLASSES, WIDTH = 1200, 120, 4
PAIRS = IMAGES * CLASSES
BOUND = 2000


class Largest(TorchDispatchMode):
    """The most bytes of a tensor that an operation made."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        sizes = [one.untyped_storage().nbytes() for one in tree_leaves(made) if isinstance(one, Tensor)]
        self.bytes = max(self.bytes, *sizes, 0)
        return made


def largest(work: Callable[[], object]) -> int:
    """Bytes of the largest tensor that some work makes."""
    with Largest() as seen:
        work()
    return seen.bytes


@pytest.fixture(autouse=True)
def bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that stand to these images as the real ones do to ImageNet's."""
    monkeypatch.setattr(measures, "_SCORES_AT_ONCE", BOUND)
    monkeypatch.setattr(ridge, "_SCORES_AT_ONCE", BOUND)
    monkeypatch.setattr(probe, "_WEIGHTS_AT_ONCE", BOUND)


@pytest.fixture
def features() -> Tensor:
    return torch.randn(IMAGES, WIDTH, generator=torch.Generator().manual_seed(0))


LABELS = torch.arange(IMAGES) % CLASSES
# The features themselves in 64 bits, with one number more for the bias, and as many of other views.
ALLOWED = 8 * 2 * IMAGES * (WIDTH + 1)


def test_a_tensor_of_all_pairs_would_be_seen(features: Tensor) -> None:
    assert ALLOWED < 4 * PAIRS / 4
    assert largest(lambda: features @ features[:CLASSES].T) == 4 * PAIRS


WORK: dict[str, Callable[[Tensor], object]] = {
    "nearest real images": lambda f: nearest_of_class([(f[:CLASSES], f)], LABELS[:CLASSES], LABELS, 4),
    "accuracies": lambda f: accuracies(torch.ones(1, CLASSES, WIDTH + 1), f, LABELS),
    "nearest neighbours": lambda f: nearest_neighbor_percent(f[:CLASSES], LABELS[:CLASSES], f, LABELS),
    "class means": lambda f: nearest_class_mean_percent(f, LABELS, f, LABELS),
    "ridge": lambda f: ridge_percent(f, LABELS, f, LABELS, seed=0, holdout=0.1),
}


@pytest.mark.parametrize("name", WORK)
def test_nothing_grows_with_images_times_classes(features: Tensor, name: str) -> None:
    assert largest(lambda: WORK[name](features)) <= ALLOWED


def test_the_full_probe_does_not_either(features: Tensor, params: Callable[..., Params]) -> None:
    spec = replace(params().probe, full_epochs=1, seeds=2, batch_size=10)
    classes = tuple(map(str, range(CLASSES)))
    cache = FeatureCache(classes, features, LABELS, features, LABELS, features[None], features[None])
    assert largest(lambda: evaluate_full(cache, spec, seed=0)) <= ALLOWED
