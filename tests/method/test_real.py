"""The real side of a step: which features are taken, and their gradient in whatever parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from method.toy_runs import CLASSES, color_bank
from torch import Tensor

from lgm_core.features.cache import FeatureCache
from lgm_core.foundation.errors import SettingError
from lgm_core.foundation.ranks import Ranks
from lgm_core.method import real
from lgm_core.method.gradients import Heads, draw_heads, head_gradient
from lgm_core.method.real import RealBank, real_bank, real_gradient
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import MethodSettings

# The bank


def _numbered_bank(rounds: int = 3, images: int = 8) -> RealBank:
    """The feature of image i in round r is (r, i)."""
    grid = torch.cartesian_prod(torch.arange(rounds), torch.arange(images)).float()
    return RealBank(grid.reshape(rounds, images, 2), torch.arange(images) % len(CLASSES), CLASSES)


def test_whole_bank_is_every_image_in_every_round() -> None:
    bank = _numbered_bank()
    features, labels = bank.batch("all", torch.Generator())
    assert sorted(map(tuple, features.tolist())) == [(r, i) for r in range(3) for i in range(8)]
    assert torch.equal(labels, features[:, 1].long() % len(CLASSES))


def test_batch_holds_different_images_with_their_labels_in_random_rounds(generator: torch.Generator) -> None:
    bank = _numbered_bank()
    seen = torch.zeros(3, 8)
    for _ in range(600):
        features, labels = bank.batch(4, generator)
        assert len(set(features[:, 1].tolist())) == 4
        assert torch.equal(labels, features[:, 1].long() % len(CLASSES))
        seen[features[:, 0].long(), features[:, 1].long()] += 1
    assert (seen / 600 - 4 / 24).abs().max() < 0.06


@pytest.mark.parametrize("size", [9, "some"])
def test_more_images_than_there_are_is_refused(size: int | str) -> None:
    with pytest.raises(SettingError, match=f"real_batch is .*{size}.*; allowed: up to 8, .*or 'all'"):
        _numbered_bank().batch(size, torch.Generator())


def test_a_bank_too_large_for_a_gpu_stays_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    bank = _numbered_bank()
    monkeypatch.setattr(real, "free_bytes", lambda device: bank.views.nbytes * 2 - 1)
    assert bank.to("cuda") is bank
    moved = bank.to("cpu")
    assert torch.equal(moved.views, bank.views)
    assert moved.classes == bank.classes


def _cache() -> FeatureCache:
    views = torch.arange(12.0).reshape(2, 3, 2)
    labels, none = torch.tensor([0, 1, 2]), torch.zeros(0, dtype=torch.int64)
    return FeatureCache(CLASSES, -views[0], labels, views[0, :0], none, views, views[:0])


def test_augmented_views_are_the_real_side_unless_the_method_does_not_augment(
    method: Callable[..., MethodSettings],
) -> None:
    cache = _cache()
    augmented, plain = real_bank(cache, method()), real_bank(cache, method(augment="none"))
    assert torch.equal(augmented.views, cache.real_views)
    assert torch.equal(plain.views, cache.train[None])
    assert augmented.classes == plain.classes == CLASSES
    assert torch.equal(plain.labels, cache.train_labels)


# The gradient


def _problem(tiny_backbone: Callable[..., FrozenBackbone]) -> tuple[Tensor, Tensor, Heads]:
    generator = torch.Generator().manual_seed(0)
    features, labels = color_bank(tiny_backbone(), images=30).batch("all", generator)
    heads = draw_heads(2, len(CLASSES), features.shape[1], init="linear", std=1, generator=generator)
    return features, labels, heads


@pytest.mark.parametrize("at_once", [1, 6, 7 * 6, 60 * 6, 1000])
def test_parts_that_fit_into_memory_add_up_to_the_whole(
    at_once: int, tiny_backbone: Callable[..., FrozenBackbone], monkeypatch: pytest.MonkeyPatch
) -> None:
    features, labels, heads = _problem(tiny_backbone)
    expected = head_gradient(features, labels, heads, include_bias=True)
    monkeypatch.setattr(real, "_LOGITS_AT_ONCE", at_once)
    found = real_gradient(features, labels, heads, include_bias=True)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@dataclass(frozen=True)
class _Apart(Ranks):
    """One rank of several that keeps its own part to itself."""

    def sum(self, value: Tensor) -> Tensor:
        return value


@pytest.mark.parametrize("world", [2, 7, 61])
def test_the_ranks_parts_add_up_to_the_whole(
    world: int, tiny_backbone: Callable[..., FrozenBackbone]
) -> None:
    """With more ranks than features, some have none, and add nothing."""
    features, labels, heads = _problem(tiny_backbone)
    expected = head_gradient(features, labels, heads, include_bias=False)
    parts = [
        real_gradient(features, labels, heads, include_bias=False, ranks=_Apart(rank, world))
        for rank in range(world)
    ]
    torch.testing.assert_close(torch.stack(parts).sum(dim=0), expected, rtol=1e-4, atol=1e-6)


def test_the_real_gradient_makes_no_graph(tiny_backbone: Callable[..., FrozenBackbone]) -> None:
    features, labels, heads = _problem(tiny_backbone)
    assert not real_gradient(features.requires_grad_(), labels, heads, include_bias=True).requires_grad
