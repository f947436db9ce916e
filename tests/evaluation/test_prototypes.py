"""Class means of the training features as a training set."""

from __future__ import annotations

from collections.abc import Callable

import torch

from lgm_core.evaluation.prototypes import evaluate_prototypes
from lgm_core.features.cache import FeatureCache
from lgm_core.settings.evaluation import ProbeSettings


def _cache(
    train: torch.Tensor, labels: torch.Tensor, test: torch.Tensor, answers: torch.Tensor
) -> FeatureCache:
    return FeatureCache(
        ("left", "right"), train, labels, test, answers, real_views=train[None], full_views=train[None]
    )


def test_classes_that_lie_apart_are_told_apart(short_probe: Callable[..., ProbeSettings]) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(2).repeat(20)
    centers = torch.tensor([[-6.0, 0, 0], [6, 0, 0]])
    train, test = (centers[labels] + torch.randn(40, 3, generator=generator) for _ in range(2))
    found = evaluate_prototypes(_cache(train, labels, test, labels), short_probe(seeds=3), seed=0)
    assert found["top1"] == [[100.0] * 3]
    assert found["nearest_neighbor"] == [[100.0]]
    again = evaluate_prototypes(_cache(train, labels, test, labels), short_probe(seeds=3), seed=0)
    assert again == found


def test_a_query_goes_to_the_nearer_mean_not_to_the_nearer_image(
    short_probe: Callable[..., ProbeSettings],
) -> None:
    # By angle, the query is nearer to an image of the left class, and to the mean of the right one.
    train = torch.tensor([[1.0, 0.9], [-1, 0.2], [0.2, 1], [0.4, 1]])
    labels = torch.tensor([0, 0, 1, 1])
    test = torch.tensor([[1.0, 0.95]])
    found = evaluate_prototypes(_cache(train, labels, test, torch.tensor([1])), short_probe(seeds=1), seed=0)
    assert found["nearest_neighbor"] == [[100.0]]
