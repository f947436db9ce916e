"""The real side of a step: which features are taken, and their gradient in whatever parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from method.toy_runs import CLASSES, color_bank
from torch import Tensor

from lgm_core.features.cache import FeatureCache
from lgm_core.foundation.errors import SettingError
from lgm_core.foundation.ranks import Ranks
from lgm_core.method import real
from lgm_core.method.gradients import Heads, draw_heads, head_gradient
from lgm_core.method.objectives.objective import Real
from lgm_core.method.real import Batch, RealBank, real_bank, real_gradient
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import MethodSettings

# The bank


def _numbered_bank(rounds: int = 3, images: int = 8) -> RealBank:
    """The feature of image i in round r is (r, i)."""
    grid = torch.cartesian_prod(torch.arange(rounds), torch.arange(images)).float()
    return RealBank(grid.reshape(rounds, images, 2), torch.arange(images) % len(CLASSES), CLASSES)


def _batch(bank: RealBank, size: int | str, generator: torch.Generator, **changes: Any) -> Batch:
    return bank.batch(MethodSettings.paper(real_batch=size, **changes), generator)


def test_whole_bank_is_every_image_in_every_round() -> None:
    features, labels = _batch(_numbered_bank(), "all", torch.Generator())
    assert sorted(map(tuple, features.tolist())) == [(r, i) for r in range(3) for i in range(8)]
    assert torch.equal(labels, features[:, 1].long() % len(CLASSES))


def test_batch_holds_different_images_with_their_labels_in_random_rounds(generator: torch.Generator) -> None:
    bank = _numbered_bank()
    seen = torch.zeros(3, 8)
    for _ in range(600):
        features, labels = _batch(bank, 4, generator)
        assert len(set(features[:, 1].tolist())) == 4
        assert torch.equal(labels, features[:, 1].long() % len(CLASSES))
        seen[features[:, 0].long(), features[:, 1].long()] += 1
    assert (seen / 600 - 4 / 24).abs().max() < 0.06


@pytest.mark.parametrize("size", [1, 5, 8])
def test_a_number_of_images_is_the_head_of_one_permutation(size: int) -> None:
    features, _ = _batch(_numbered_bank(), size, torch.Generator().manual_seed(3))
    same = torch.Generator().manual_seed(3)
    chosen = torch.randperm(8, generator=same)[:size]
    which = torch.randint(3, (size,), generator=same)
    assert torch.equal(features, torch.stack([which, chosen], dim=1).float())


def test_more_images_than_there_are_is_refused() -> None:
    allowed = "real_batch is 9; allowed: up to 8, the number of training images, or 'all', or 'views'"
    with pytest.raises(SettingError, match=allowed):
        _batch(_numbered_bank(), 9, torch.Generator())


@pytest.mark.parametrize(("rounds", "ipc"), [(1, 1), (3, 1), (1, 4), (10, 2)])
def test_as_many_real_views_as_synthetic_ones(rounds: int, ipc: int, generator: torch.Generator) -> None:
    bank = _numbered_bank(images=70)
    features, labels = _batch(bank, "views", generator, aug_rounds=rounds, ipc=ipc)
    assert len(features) == len(labels) == rounds * len(CLASSES) * ipc
    assert torch.equal(labels, features[:, 1].long() % len(CLASSES))


def test_as_many_as_views_are_drawn_as_that_number_is() -> None:
    counted, numbered = (
        _batch(_numbered_bank(), size, torch.Generator().manual_seed(5), aug_rounds=2)
        for size in ("views", 2 * len(CLASSES))
    )
    assert torch.equal(counted[0], numbered[0])


def test_images_come_again_only_after_all_of_them_came(generator: torch.Generator) -> None:
    """21 views of 8 images: two whole passes, and 5 different images of a third; every pass in its order."""
    bank = _numbered_bank()
    rounds_of = torch.zeros(3, 8)
    orders = set()
    for _ in range(300):
        features, labels = _batch(bank, "views", generator, aug_rounds=7)
        passes = features[:, 1].long().split(8)
        assert [len(one.unique()) for one in passes] == [8, 8, 5]
        orders |= {tuple(one.tolist()) for one in passes[:2]}
        assert torch.equal(labels, features[:, 1].long() % len(CLASSES))
        rounds_of[features[:, 0].long()[:8], passes[0]] += 1
    assert len(orders) > 590
    assert (rounds_of / 300 - 1 / 3).abs().max() < 0.1


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
    features, labels = _batch(color_bank(tiny_backbone(), images=30), "all", generator)
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


def test_which_images_are_drawn_does_not_depend_on_where_the_bank_lies() -> None:
    views, labels = torch.randn(2, 12, 3), torch.arange(12) % 3
    method = MethodSettings.paper(real_batch=5)
    # A device without generators of its own, as good as any other than the CPU.
    elsewhere = RealBank(views.to("meta"), labels.to("meta"), ("a", "b", "c"))
    features, drawn = Real(elsewhere, method, seed=0).batch(step=0)
    assert (features.device.type, features.shape, drawn.shape) == ("meta", (5, 3), (5,))
