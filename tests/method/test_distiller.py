"""The loop follows the gradient of the definition, in any split, and nothing but its settings and seed."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from method.toy_runs import CLASSES, WIDTH, assert_same, color_bank, color_distiller
from torch import Tensor
from torch.nn import functional

from lgm_core.features.augment import draw_views, view
from lgm_core.foundation.seeds import named_generator
from lgm_core.method import distiller
from lgm_core.method.distiller import Distiller, learning_rate, make_optimizer
from lgm_core.method.gradients import draw_heads
from lgm_core.method.objectives import objective
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import MethodSettings

VIEWS = len(CLASSES) * 4
Backbone = Callable[..., FrozenBackbone]
Make = Callable[..., MethodSettings]


def _in_float64(backbone: FrozenBackbone, spec: MethodSettings, micro_batch: int | None = None) -> Distiller:
    """A distiller whose images are float64, as its backbone."""
    one = color_distiller(backbone, spec, micro_batch=micro_batch)
    one.state.images.levels = [level.detach().double().requires_grad_() for level in one.state.images.levels]
    one.state.optimizer = make_optimizer(spec, one.state.images.levels)
    return one


def _gradients(one: Distiller) -> list[Tensor]:
    gradients = [level.grad for level in one.state.images.levels]
    return [gradient for gradient in gradients if gradient is not None]


# The gradient


def _slow_gradient(one: Distiller, spec: MethodSettings) -> tuple[Tensor, list[Tensor]]:
    """Loss and gradients of the first step by autograd alone: gradients of heads, differentiated again."""
    assert not isinstance(spec.augment, str)
    generator = named_generator(0, "heads", 0)
    weights, biases = draw_heads(
        spec.head_draws, len(CLASSES), WIDTH, init=spec.head_init, std=spec.head_std, generator=generator
    )
    levels = [level.detach().clone().requires_grad_() for level in one.state.images.levels]
    images = copy.copy(one.state.images)
    images.levels = levels
    pixels = images.render().repeat_interleave(spec.aug_rounds, dim=0)
    views = draw_views(len(pixels), spec.augment, named_generator(0, "views", 0))
    synthetic = one.members[0].backbone(view(pixels, views, spec.input_size, spec.augment))
    labels = torch.arange(len(CLASSES)).repeat_interleave(spec.ipc * spec.aug_rounds)
    bank = one.members[0].bank.whole()
    losses = []
    for weight, bias in zip(weights.double(), biases.double(), strict=True):
        flat = []
        for features, classes in (bank, (synthetic, labels)):
            head = [weight.clone().requires_grad_(), bias.clone().requires_grad_()]
            loss = functional.cross_entropy(functional.linear(features, *head), classes)
            parts = torch.autograd.grad(loss, head[: 1 + spec.include_bias], create_graph=True)
            flat.append(torch.cat([part.flatten() for part in parts]))
        losses.append(1 - functional.cosine_similarity(flat[0], flat[1], dim=0))
    loss = torch.stack(losses).mean()
    return loss.detach(), list(torch.autograd.grad(loss, levels))


@pytest.mark.parametrize("changes", [{}, {"include_bias": False}, {"head_init": "linear", "ipc": 2}])
def test_step_follows_the_gradient_that_double_backward_gives(
    changes: dict[str, Any], small: Make, tiny_backbone: Backbone
) -> None:
    spec = small(pyramid_start=4, **changes)
    one = _in_float64(tiny_backbone(dtype=torch.float64), spec)
    loss, expected = _slow_gradient(one, spec)
    torch.testing.assert_close(one.step(), loss, rtol=1e-10, atol=1e-12)
    assert len(expected) == 3
    for found, slow in zip(_gradients(one), expected, strict=True):
        assert slow.abs().max() > 0
        torch.testing.assert_close(found, slow, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 7, 18, 100])
@pytest.mark.parametrize("augment", ["views", "none"])
def test_micro_batched_gradients_equal_those_of_the_whole(
    augment: str, micro_batch: int, small: Make, tiny_backbone: Backbone
) -> None:
    spec = small(pyramid_start=8, aug_rounds=3, ipc=2, **({"augment": "none"} if augment == "none" else {}))
    backbone = tiny_backbone(dtype=torch.float64)
    whole, parts = _in_float64(backbone, spec), _in_float64(backbone, spec, micro_batch)
    torch.testing.assert_close(parts.step(), whole.step(), rtol=1e-12, atol=1e-14)
    assert len(_gradients(whole)) == 4
    for found, expected in zip(_gradients(parts), _gradients(whole), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 7])
def test_micro_batches_hold_no_more_views_than_asked(
    micro_batch: int, small: Make, tiny_backbone: Backbone
) -> None:
    seen: list[int] = []
    backbone = tiny_backbone()
    backbone.register_forward_hook(lambda module, given, features: seen.append(len(features)))
    one = color_distiller(backbone, small(aug_rounds=4), micro_batch=micro_batch)
    seen.clear()
    one.step()
    assert max(seen) <= micro_batch
    kept = min(micro_batch, VIEWS)
    assert sum(seen) == 2 * VIEWS - kept  # once without a graph, once with; the last part only with


def test_backbone_is_not_trained(small: Make, tiny_backbone: Backbone) -> None:
    backbone = tiny_backbone()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    color_distiller(backbone, small()).run()
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())
    assert all(parameter.grad is None for parameter in backbone.parameters())


# The run


def test_same_seed_gives_bit_identical_images(small: Make, tiny_backbone: Backbone) -> None:
    first = color_distiller(tiny_backbone(), small()).run()
    torch.randn(10)
    assert_same(color_distiller(tiny_backbone(), small()).run(), first)


def test_other_seed_gives_other_images(small: Make, tiny_backbone: Backbone) -> None:
    one, other = (color_distiller(tiny_backbone(), small(), seed=seed).run() for seed in (0, 1))
    assert not torch.allclose(one.images, other.images, atol=1e-2)


@pytest.mark.parametrize("parameterization", ["pyramid", "pixels"])
@pytest.mark.parametrize("real_batch", ["all", 6, "views"])
@pytest.mark.slow
def test_loss_decreases(
    parameterization: str, real_batch: int | str, small: Make, tiny_backbone: Backbone
) -> None:
    spec = small(
        steps=60,
        parameterization=parameterization,
        real_batch=real_batch,
        augment={"noise_probability": 0.0},
        growth_interval=10,
    )
    losses = color_distiller(tiny_backbone(), spec).run().losses
    assert len(losses) == 60
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])


def test_images_are_ordered_by_class_and_lie_between_0_and_1(small: Make, tiny_backbone: Backbone) -> None:
    distilled = color_distiller(tiny_backbone(), small(ipc=2)).run()
    assert distilled.images.shape == (2 * len(CLASSES), 3, 8, 8)
    assert distilled.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert distilled.images.min() > 0
    assert distilled.images.max() < 1
    assert not distilled.images.requires_grad


@pytest.mark.slow
def test_images_suit_the_class_they_are_labelled_with(small: Make, tiny_backbone: Backbone) -> None:
    """What is matched is the mean of a class's images, so that mean lies nearest to the real class mean."""
    spec = small(steps=80, ipc=2, growth_interval=10, augment="none")
    backbone = tiny_backbone()
    distilled = color_distiller(backbone, spec).run()
    bank = color_bank(backbone)
    features = backbone(distilled.images).reshape(len(CLASSES), 2, WIDTH).mean(dim=1)
    means = torch.stack(
        [bank.views[:, bank.labels == label].mean(dim=(0, 1)) for label in range(len(CLASSES))]
    )
    centred = features - features.mean(dim=0)
    similarity = functional.normalize(centred) @ functional.normalize(means - means.mean(dim=0)).T
    assert similarity.diagonal().min() > 0.9
    assert similarity.argmax(dim=1).tolist() == [0, 1, 2]


def test_progress_sees_every_step_and_its_loss(small: Make, tiny_backbone: Backbone) -> None:
    seen: list[tuple[int, float]] = []
    distilled = color_distiller(tiny_backbone(), small()).run(lambda step, loss: seen.append((step, loss)))
    assert seen == list(enumerate(distilled.losses))
    assert len(seen) == 6


def test_pyramid_grows_with_a_fresh_optimiser(small: Make, tiny_backbone: Backbone) -> None:
    one = color_distiller(tiny_backbone(), small(steps=9, growth_interval=3))
    sizes, counts = [], []
    for _ in range(9):
        one.step()
        levels = one.state.images.levels
        sizes.append(one.state.images.sizes)
        held = one.state.optimizer.param_groups[0]["params"]
        assert all(mine is theirs for mine, theirs in zip(held, levels, strict=True))
        counts.append([int(one.state.optimizer.state[level]["step"]) for level in levels])
    assert sizes == [[1]] * 3 + [[1, 2]] * 3 + [[1, 2, 4]] * 3
    assert counts == [[1], [2], [3], [1] * 2, [2] * 2, [3] * 2, [1] * 3, [2] * 3, [3] * 3]


def test_first_adam_step_moves_by_the_learning_rate(small: Make, tiny_backbone: Backbone) -> None:
    one = color_distiller(tiny_backbone(), small(learning_rate=0.01, parameterization="pixels"))
    before = one.state.images.levels[0].detach().clone()
    one.step()
    moved = (one.state.images.levels[0] - before).abs()
    assert moved.max().item() == pytest.approx(0.01, rel=1e-2)


def test_sgd_moves_by_learning_rate_times_gradient(small: Make, tiny_backbone: Backbone) -> None:
    one = color_distiller(tiny_backbone(), small(optimizer="sgd", learning_rate=3, pyramid_start=4))
    before = [level.detach().clone() for level in one.state.images.levels]
    one.step()
    for old, new, gradient in zip(before, one.state.images.levels, _gradients(one), strict=True):
        torch.testing.assert_close(new.detach(), old - 3 * gradient)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.2] * 5),
        ("cosine", [0.2, 0.1 * (1 + math.sqrt(0.5)), 0.1, 0.1 * (1 - math.sqrt(0.5)), 0.0]),
    ],
)
def test_learning_rate_follows_its_schedule(schedule: str, expected: list[float], small: Make) -> None:
    spec = small(steps=8, learning_rate=0.2, learning_rate_schedule=schedule)
    assert [learning_rate(spec, step) for step in (0, 2, 4, 6, 8)] == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_every_update_uses_the_scheduled_rate(
    optimizer: str, schedule: str, small: Make, tiny_backbone: Backbone
) -> None:
    spec = small(optimizer=optimizer, learning_rate=0.2, learning_rate_schedule=schedule)
    one = color_distiller(tiny_backbone(), spec)
    for step in range(6):
        one.step()
        assert one.state.optimizer.param_groups[0]["lr"] == learning_rate(spec, step)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("changes", [{"augment": "none"}, {"init": "zero"}, {"decorrelate_color": False}])
def test_every_variant_runs(
    changes: dict[str, Any], optimizer: str, small: Make, tiny_backbone: Backbone
) -> None:
    spec = small(optimizer=optimizer, resolution=10, **changes)
    distilled = color_distiller(tiny_backbone(), spec).run()
    assert distilled.images.shape == (len(CLASSES), 3, 10, 10)
    assert distilled.images.isfinite().all()
    assert distilled.images.std() > 0


def test_every_step_has_its_own_draws(small: Make, tiny_backbone: Backbone) -> None:
    asked: list[tuple[Any, ...]] = []
    original = named_generator

    def recording(root: int, *path: Any, **settings: Any) -> torch.Generator:
        asked.append((root, *path))
        return original(root, *path, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distiller, "named_generator", recording)
        patch.setattr(objective, "named_generator", recording)
        color_distiller(tiny_backbone(), small(), seed=9).run()
    assert len(asked) == len(set(asked))
    assert all((9, name, step) in asked for name in ("views", "heads", "real") for step in range(6))


def test_global_random_state_is_left_alone(small: Make, tiny_backbone: Backbone) -> None:
    one = color_distiller(tiny_backbone(), small())
    before = torch.get_rng_state()
    one.run()
    assert torch.equal(torch.get_rng_state(), before)


def test_more_steps_begin_like_fewer_ones(small: Make, tiny_backbone: Backbone) -> None:
    spec = small(learning_rate_schedule="constant")
    few = color_distiller(tiny_backbone(), spec).run()
    many = color_distiller(tiny_backbone(), replace(spec, steps=9)).run()
    assert many.losses[:6] == few.losses
