"""Objectives: closed forms against autograd, limits against each other, parts against the whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from method.toy_runs import CLASSES, WIDTH, color_bank
from torch import Tensor
from torch.nn import functional

from lgm_core.foundation.errors import InputError
from lgm_core.method.distiller import Distiller, Member
from lgm_core.method.gradients import draw_heads
from lgm_core.method.objectives.choice import SIDES, real_side
from lgm_core.method.objectives.gradient import GradientMatching
from lgm_core.method.objectives.means import MeansMatching
from lgm_core.method.objectives.objective import Objective, Real, by_autograd
from lgm_core.method.objectives.ridge import RidgeProbe, best_sharpness
from lgm_core.method.real import RealBank, real_gradient
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import MethodSettings

Make = Callable[..., MethodSettings]
Backbone = Callable[..., FrozenBackbone]
CPU = torch.device("cpu")
RIDGE = {"objective": "ridge", "ridge_penalty": 1.0, "ridge_temperature": 0.0}
OBJECTIVES = [
    {"objective": "gradient"},
    {"objective": "gradient", "head_bank": 5},
    {"objective": "means"},
    RIDGE,
    {**RIDGE, "ridge_temperature": 0.3, "ridge_penalty": 0.1},
]
by_objective = pytest.mark.parametrize(
    "changes", OBJECTIVES, ids=lambda changes: "-".join(map(str, changes.values()))
)


def _bank(classes: int = 3, images: int = 12, rounds: int = 2, width: int = WIDTH) -> RealBank:
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(images) % classes
    centers = torch.randn(classes, width, generator=generator, dtype=torch.float64)
    noise = torch.randn(rounds, images, width, generator=generator, dtype=torch.float64)
    return RealBank(centers[labels] + 0.5 * noise, labels, tuple("abcdefgh"[:classes]))


def _views(method: MethodSettings, classes: int = 3, width: int = WIDTH) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    labels = torch.arange(classes).repeat_interleave(method.ipc * method.aug_rounds)
    return torch.randn(len(labels), width, generator=generator, dtype=torch.float64), labels


def _objective(method: MethodSettings, bank: RealBank, step: int = 0) -> Objective:
    return real_side(Real(bank, method, seed=4)).at(step, CPU)


def test_every_objective_has_one_row() -> None:
    assert set(SIDES) == {"gradient", "means", "ridge"}


@by_objective
@pytest.mark.parametrize("ipc", [1, 2])
def test_the_direction_is_the_losss_gradient(changes: dict[str, Any], ipc: int, method: Make) -> None:
    spec = method(ipc=ipc, aug_rounds=3, head_draws=2, **changes)
    objective = _objective(spec, _bank())
    statistic = objective.statistic(*_views(spec))
    loss, direction = objective.direction(statistic)
    expected, slow = by_autograd(objective.loss, statistic)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    if spec.objective == "ridge":
        # Autograd does not know that ZᵀZ is symmetric; only the symmetric part moves a view.
        size = len(slow)
        slow = torch.cat([(slow[:, :size] + slow[:, :size].mT) / 2, slow[:, size:]], dim=1)
    assert (direction - slow).norm() <= 1e-5 * slow.norm()
    assert not direction.requires_grad


@by_objective
def test_the_direction_at_the_views_is_the_gradient_of_the_whole_loss(
    changes: dict[str, Any], method: Make
) -> None:
    spec = method(aug_rounds=3, head_draws=2, **changes)
    objective = _objective(spec, _bank())
    features, labels = _views(spec)
    features.requires_grad_()
    statistic = objective.statistic(features, labels)
    _, direction = objective.direction(statistic.detach())
    (found,) = torch.autograd.grad(statistic, features, direction, retain_graph=True)
    (expected,) = torch.autograd.grad(objective.loss(statistic), features)
    assert (found - expected).norm() <= 1e-5 * expected.norm()


@by_objective
def test_parts_of_the_views_add_up(changes: dict[str, Any], method: Make) -> None:
    spec = method(aug_rounds=4, head_draws=2, **changes)
    objective = _objective(spec, _bank())
    features, labels = _views(spec)
    parts = [objective.statistic(features[part], labels[part]) for part in (slice(0, 5), slice(5, None))]
    torch.testing.assert_close(
        parts[0] + parts[1], objective.statistic(features, labels), rtol=1e-12, atol=1e-12
    )


def test_means_is_gradient_without_heads_and_bias_on_a_balanced_bank(method: Make) -> None:
    bank = _bank()
    for ipc in (1, 2):
        plain = {"ipc": ipc, "aug_rounds": 3, "real_batch": "all"}
        heads = method(head_std=0, include_bias=False, head_draws=1, **plain)
        means = method(objective="means", **plain)
        found = []
        for spec in (heads, means):
            features, labels = _views(spec)
            features.requires_grad_()
            objective = _objective(spec, bank)
            loss = objective.loss(objective.statistic(features, labels))
            found.append((loss.item(), *torch.autograd.grad(loss, features)))
        assert found[0][0] == pytest.approx(found[1][0], abs=1e-6)
        assert (found[0][1] - found[1][1]).norm() <= 1e-6 * found[1][1].norm()


def test_means_divides_by_the_number_of_classes_however_many_images_there_are() -> None:
    """By hand: two classes, two images each, one number a feature: S̄ = (2, 6), less its mean (-2, 2)."""
    objective = MeansMatching(torch.tensor([[-1.0], [1.0]]), each=2)
    features, labels = torch.tensor([[1.0], [3.0], [5.0], [7.0]]), torch.tensor([0, 0, 1, 1])
    statistic = objective.statistic(features, labels)
    assert statistic.tolist() == [[2.0], [6.0]]
    assert objective.loss(statistic).item() == pytest.approx(0, abs=1e-7)
    # Another divisor would leave a common part: (2, 6) - 8 / 3 points elsewhere.
    elsewhere = functional.cosine_similarity(torch.tensor([-2 / 3, 10 / 3]), torch.tensor([-1.0, 1.0]), dim=0)
    assert 1 - elsewhere.item() > 0.1


def test_real_class_means_are_over_all_views(method: Make) -> None:
    bank = _bank()
    objective = _objective(method(objective="means"), bank)
    assert isinstance(objective, MeansMatching)
    means = torch.stack([bank.views[:, bank.labels == label].mean(dim=(0, 1)) for label in range(3)])
    torch.testing.assert_close(objective.real, means - means.mean(dim=0))


def test_the_head_bank_is_sampled_and_its_real_gradients_are_over_the_whole_bank(method: Make) -> None:
    bank = _bank()
    side = real_side(Real(bank, method(head_bank=4, head_draws=4), seed=4))
    first, second = side.at(0, CPU), side.at(1, CPU)
    assert isinstance(first, GradientMatching)
    assert isinstance(second, GradientMatching)
    expected = real_gradient(*bank.whole(), first.heads, include_bias=True)
    torch.testing.assert_close(first.real, expected)
    order = [weights.flatten().tolist() for weights in first.heads[0]]
    again = [weights.flatten().tolist() for weights in second.heads[0]]
    assert order != again
    assert sorted(order) == sorted(again)


def test_the_ridge_probe_is_ridge_regression_on_scaled_features() -> None:
    generator = torch.Generator().manual_seed(0)
    real = torch.randn(30, 4, generator=generator, dtype=torch.float64)
    synthetic = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    labels = torch.arange(6) % 3
    objective = RidgeProbe(real, torch.arange(30) % 3, 3, norm=2.0, views=6, penalty=0.7, temperature=0.5)
    loss = objective.loss(objective.statistic(synthetic, labels))
    rows = torch.cat([synthetic / 2, torch.ones(6, 1, dtype=torch.float64)], dim=1)
    size = 0.7 * rows.square().sum() / 6
    # The dual form: W = Zᵀ (ZZᵀ + λI)⁻¹ Y.
    kernel = rows @ rows.mT + size * torch.eye(6, dtype=torch.float64)
    weights = rows.mT @ torch.linalg.solve(kernel, functional.one_hot(labels, 3).double())
    logits = torch.cat([real / 2, torch.ones(30, 1, dtype=torch.float64)], dim=1) @ weights / 0.5
    assert loss.item() == pytest.approx(
        functional.cross_entropy(logits, torch.arange(30) % 3).item(), rel=1e-9
    )


def test_the_best_temperature_has_the_lowest_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 4, generator=generator, dtype=torch.float64)
    labels = torch.where(torch.arange(50) % 4 == 0, logits.argmin(dim=1), logits.argmax(dim=1))
    best = best_sharpness(logits, labels).item()

    def entropy(sharpness: float) -> float:
        return functional.cross_entropy(logits * sharpness, labels).item()

    assert all(entropy(best) <= entropy(best * factor) for factor in (0.5, 0.99, 1.01, 2.0))


@by_objective
def test_micro_batches_give_the_whole_steps_images(
    changes: dict[str, Any], small: Make, tiny_backbone: Backbone
) -> None:
    backbone = tiny_backbone(dtype=torch.float64)
    spec = small(ipc=2, **changes)
    whole, parts = (
        Distiller(Member(backbone, color_bank(backbone)), spec, seed=0, micro_batch=size).run()
        for size in (1000, 5)
    )
    assert parts.losses == pytest.approx(whole.losses, rel=1e-5)
    torch.testing.assert_close(parts.images, whole.images, rtol=0, atol=1e-5)


@by_objective
def test_a_loss_falls(changes: dict[str, Any], small: Make, tiny_backbone: Backbone) -> None:
    backbone = tiny_backbone()
    spec = small(steps=60, growth_interval=5, learning_rate=0.05, augment="none", aug_rounds=1, **changes)
    found = Distiller(Member(backbone, color_bank(backbone)), spec, seed=0).run()
    assert sum(found.losses[-10:]) < 0.8 * sum(found.losses[:10])


# Slots


def test_images_of_slots_match_their_own_cluster(small: Make, tiny_backbone: Backbone) -> None:
    backbone = tiny_backbone()
    bank = color_bank(backbone)
    slots = bank.labels * 2 + (torch.arange(len(bank.labels)) // len(CLASSES)) % 2
    clustered = replace(bank, slots=slots)
    assert clustered.outputs == 6
    one = Distiller(Member(backbone, clustered), small(ipc=2, slots="clusters", objective="means"), seed=0)
    assert one.view_labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    objective = one.sides[0].at(0, CPU)
    assert isinstance(objective, MeansMatching)
    first, last = (bank.views[:, slots == slot].mean(dim=(0, 1)) for slot in (0, 3))
    torch.testing.assert_close(objective.real[3] - objective.real[0], last - first)
    assert one.run().labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_slots_without_clusters_and_clusters_without_slots_are_refused(
    small: Make, tiny_backbone: Backbone
) -> None:
    backbone = tiny_backbone()
    bank = color_bank(backbone)
    clustered = replace(bank, slots=bank.labels * 2 + torch.arange(len(bank.labels)) % 2)
    for spec, given in ((small(ipc=2, slots="clusters"), bank), (small(ipc=2), clustered)):
        with pytest.raises(InputError, match=r"slots is .*; allowed: clusters with a bank of 6 slots"):
            Distiller(Member(backbone, given), spec, seed=0)


def test_heads_are_drawn_for_every_slot(small: Make, tiny_backbone: Backbone) -> None:
    heads = draw_heads(2, 6, WIDTH, init="normal", std=1.0, generator=torch.Generator().manual_seed(0))
    backbone = tiny_backbone()
    bank = color_bank(backbone)
    clustered = replace(bank, slots=bank.labels * 2 + (torch.arange(12) // 3) % 2)
    spec = small(ipc=2, slots="clusters")
    objective = Distiller(Member(backbone, clustered), spec, seed=0).sides[0].at(0, CPU)
    assert isinstance(objective, GradientMatching)
    assert objective.heads[0].shape == heads[0].shape
    expected = real_gradient(*clustered.whole(), objective.heads, include_bias=True)
    torch.testing.assert_close(objective.real, expected)
