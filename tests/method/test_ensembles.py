"""Several backbones at once: the same views, targets of their own, gradients that add up, one graph."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from method.toy_runs import assert_same, color_bank

from lgm_core.foundation.errors import InputError
from lgm_core.method.distiller import Distiller, Member
from lgm_core.method.identity import run_facts
from lgm_core.method.resuming import Checkpoints, Keeper
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import CheckpointSettings, MethodSettings

Make = Callable[..., MethodSettings]
Backbone = Callable[..., FrozenBackbone]
OFTEN = CheckpointSettings(steps=2, minutes=1000.0)


def _member(backbone: FrozenBackbone, name: str = "", weight: float = 1.0) -> Member:
    return Member(backbone, color_bank(backbone), name, weight)


@pytest.fixture
def pair(tiny_backbone: Backbone) -> list[Member]:
    """Two different backbones, of different widths."""
    return [
        _member(tiny_backbone(5, seed=0, dtype=torch.float64), "a"),
        _member(tiny_backbone(7, seed=1, dtype=torch.float64), "b"),
    ]


def _gradient(one: Distiller) -> tuple[torch.Tensor, torch.Tensor]:
    return one._pixel_gradient(one.state.images.render().detach().requires_grad_())


@pytest.mark.parametrize("objective", ["gradient", "means"])
def test_the_gradient_is_the_weighted_mean_of_the_members(
    objective: str, pair: list[Member], small: Make
) -> None:
    spec = small(objective=objective)
    weighted = [replace(member, weight=weight) for member, weight in zip(pair, (1.0, 3.0), strict=True)]
    together = Distiller(weighted, spec, seed=0)
    gradient, loss = _gradient(together)
    # Each member alone, with the draws that it has among several.
    alone = [together._member_gradient(n, together._views(_pixels(together))) for n in (0, 1)]
    expected = 0.25 * alone[0][0] + 0.75 * alone[1][0]
    torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-9)
    assert loss.item() == pytest.approx(0.25 * alone[0][1].item() + 0.75 * alone[1][1].item(), rel=1e-9)


def _pixels(one: Distiller) -> torch.Tensor:
    return one.state.images.render().detach().requires_grad_()


def test_a_member_alone_is_the_run_without_ensembles(tiny_backbone: Backbone, small: Make) -> None:
    backbone = tiny_backbone()
    spec = small()
    named = Distiller([_member(backbone, "a", 5.0)], spec, seed=0).run()
    assert_same(named, Distiller(_member(backbone), spec, seed=0).run())


def test_the_same_backbone_twice_moves_as_once_with_means(tiny_backbone: Backbone, small: Make) -> None:
    """`means` draws nothing, so two of the same are one."""
    backbone = tiny_backbone(dtype=torch.float64)
    spec = small(objective="means")
    twice = Distiller([_member(backbone, "a", 1.0), _member(backbone, "b", 3.0)], spec, seed=0).run()
    once = Distiller(_member(backbone), spec, seed=0).run()
    assert twice.losses == pytest.approx(once.losses, rel=1e-6)
    torch.testing.assert_close(twice.images, once.images, rtol=0, atol=1e-5)


def test_heads_of_members_are_draws_of_their_own(tiny_backbone: Backbone, small: Make) -> None:
    backbone = tiny_backbone()
    one = Distiller([_member(backbone, "a"), _member(backbone, "b")], small(), seed=0)
    cpu = torch.device("cpu")
    first, second = (side.at(0, cpu) for side in one.sides)
    assert not torch.equal(first.heads[0], second.heads[0])  # type: ignore[attr-defined]


def test_micro_batches_give_the_whole_steps_images(pair: list[Member], small: Make) -> None:
    whole, parts = (Distiller(pair, small(), seed=0, micro_batch=size).run() for size in (1000, 4))
    assert parts.losses == pytest.approx(whole.losses, rel=1e-5)
    torch.testing.assert_close(parts.images, whole.images, rtol=0, atol=1e-5)


def test_only_one_backbones_graph_is_alive_at_a_time(pair: list[Member], small: Make) -> None:
    alive: list[weakref.ref[torch.Tensor]] = []
    seen: list[int] = []

    def note(number: int) -> Callable[..., None]:
        def hook(module: object, inputs: object, output: torch.Tensor) -> None:
            gc.collect()
            seen.append(sum(one() is not None for one in alive if one is not None and number == 1))
            if output.requires_grad:
                alive.append(weakref.ref(output))

        return hook

    hooks = [member.backbone.model.register_forward_hook(note(n)) for n, member in enumerate(pair)]
    Distiller(pair, small(), seed=0, micro_batch=1000).step()
    for hook in hooks:
        hook.remove()
    assert len(alive) == 2
    assert max(seen) == 0


def test_features_of_other_images_are_refused(pair: list[Member], small: Make) -> None:
    other = replace(pair[1], bank=replace(pair[1].bank, labels=pair[1].bank.labels.flip(0)))
    with pytest.raises(InputError, match="b has features of other images than the first one"):
        Distiller([pair[0], other], small(), seed=0)


class _Killed(Exception):  # noqa: N818
    """What ends a run at an arbitrary step."""


def test_an_interrupted_ensemble_goes_on_to_the_same_bits(
    pair: list[Member], small: Make, tmp_path: Path
) -> None:
    def begun() -> Distiller:
        return Distiller(pair, small(), seed=0, micro_batch=4)

    def stop(step: int, loss: float) -> None:
        if step == 4:
            raise _Killed

    expected = begun().run()
    checkpoints = Checkpoints(tmp_path, run_facts(begun()))
    one = begun()
    with pytest.raises(_Killed), Keeper(one, checkpoints, OFTEN) as keep:
        one.run(stop, keep)
    again = begun()
    with Keeper(again, checkpoints, OFTEN) as keep:
        assert again.state.step == 4
        assert_same(again.run(keep=keep), expected)


def test_members_and_weights_are_part_of_what_a_run_is(pair: list[Member], small: Make) -> None:
    facts = [
        run_facts(Distiller(members, small(), seed=0))
        for members in (pair, pair[::-1], [pair[0], replace(pair[1], weight=2.0)])
    ]
    assert facts[0] != facts[1]
    assert facts[0] != facts[2]
    assert set(facts[0]["members"]) == {"0 a", "1 b"}
