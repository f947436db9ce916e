"""A run can stop at any step and go on unnoticed, and stops by itself where nothing good can come of it."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from method.toy_runs import assert_same, color_distiller
from torch import Tensor, nn

from lgm_core.foundation.errors import InputError, SettingError
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import MethodSettings

Backbone = Callable[..., FrozenBackbone]
Make = Callable[..., MethodSettings]


# Going on


def _through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    """The state as it comes back from a checkpoint that may hold no code."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize("stop", [0, 1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("way", ["memory", "file"])
def test_resumed_run_equals_an_uninterrupted_one(
    way: str, optimizer: str, stop: int, small: Make, tiny_backbone: Backbone
) -> None:
    spec = small(optimizer=optimizer, real_batch=6)  # grows before steps 2 and 4
    backbone = tiny_backbone()
    whole = color_distiller(backbone, spec).run()
    first = color_distiller(backbone, spec)
    for _ in itertools.islice(first._blocks(), stop):
        pass
    state = first.state.state_dict()
    second = color_distiller(backbone, spec)
    second.load_state(_through_a_file(state) if way == "file" else state)
    assert second.state.step == stop
    assert_same(second.run(), whole)


def test_saved_state_does_not_change_as_the_run_goes_on(small: Make, tiny_backbone: Backbone) -> None:
    spec, backbone = small(growth_interval=100), tiny_backbone()
    whole = color_distiller(backbone, spec).run()
    first = color_distiller(backbone, spec)
    for _ in range(3):
        first.state.losses.append(first.step().item())
    state = first.state.state_dict()
    first.step()
    second = color_distiller(backbone, spec)
    second.load_state(state)
    assert_same(second.run(), whole)


def test_saved_state_can_be_loaded_twice(small: Make, tiny_backbone: Backbone) -> None:
    spec, backbone = small(growth_interval=100), tiny_backbone()
    first = color_distiller(backbone, spec)
    first.step()
    state = first.state.state_dict()
    results = []
    for _ in range(2):
        again = color_distiller(backbone, spec)
        again.load_state(state)
        results.append(again.run())
    assert_same(*results)


def test_finished_run_does_nothing_more(small: Make, tiny_backbone: Backbone) -> None:
    one = color_distiller(tiny_backbone(), small())
    assert_same(one.run(), one.run())
    assert one.state.step == 6


# What stops it


class _FailsLater(nn.Module):
    """Mean colours, until a call from which on it is not a number."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.left = calls

    def forward(self, images: Tensor) -> Tensor:
        self.left -= 1
        return images.mean(dim=(2, 3)) * (1.0 if self.left >= 0 else math.nan)


@pytest.mark.parametrize("step", [0, 3])
def test_loss_that_is_not_finite_names_the_step(step: int, small: Make) -> None:
    backbone = FrozenBackbone(_FailsLater(1 + step), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    spec = small(learning_rate=0.05, learning_rate_schedule="constant")
    one = color_distiller(backbone, spec, micro_batch=100)  # given, so that no trial looks for it
    with pytest.raises(InputError, match=rf"loss became nan at step {step} \(learning rate 0\.05\)"):
        one.run()
    assert len(one.state.losses) == step


def test_real_batch_larger_than_the_data_is_refused(small: Make, tiny_backbone: Backbone) -> None:
    one = color_distiller(tiny_backbone(), small(real_batch=13))
    message = r"real_batch is 13; allowed: up to 12, the number of training images, or 'all', or 'views'"
    with pytest.raises(SettingError, match=message):
        one.run()
    color_distiller(tiny_backbone(), small(real_batch=12)).step()


@pytest.mark.parametrize("far", [3e4, -3e4])
def test_images_that_exploded_are_told_of(far: float, small: Make, tiny_backbone: Backbone) -> None:
    """The loss may stay finite where all pixels are black or white, and no gradient comes through."""
    one = color_distiller(tiny_backbone(), small(steps=4, learning_rate=0.05))

    def throw(step: int, loss: float) -> None:
        if step == 1:
            one.state.images.levels[0].data.fill_(far)

    with pytest.raises(InputError, match=r"exploded before step 3: a level reached .*Lower learning_rate"):
        one.run(throw)


def test_a_state_of_other_images_is_refused(small: Make, tiny_backbone: Backbone) -> None:
    one = color_distiller(tiny_backbone(), small())
    with pytest.raises(InputError, match=r"state is of other images: .*another number of processes"):
        one.load_state({**one.state.state_dict(), "indices": [0, 1]})
