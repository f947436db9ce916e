"""A run on a GPU: the same bits when resumed, the CPU's numbers but for rounding, less at once when full.

Most tests run on the CPU as well, where they compare a device with itself: that tries their own code alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from method.toy_runs import assert_same, color_bank
from torch import Tensor, nn

from lgm_core.evaluation.probe import TrainingViews, train_heads
from lgm_core.foundation.microbatch import Backoff
from lgm_core.foundation.seeds import named_generator
from lgm_core.method.distiller import Distiller, Member
from lgm_core.method.resuming import Checkpoints, Keeper
from lgm_core.models.frozen import FrozenBackbone, freeze
from lgm_core.settings.method import CheckpointSettings, MethodSettings
from lgm_core.settings.params import Params

GPU = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
DEVICES = ["cpu", pytest.param("cuda", marks=GPU)]
STATISTICS = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
STEPS = 6
on_devices = pytest.mark.parametrize("device", DEVICES)


def backbone_on(device: str, *, compiled: bool = False) -> FrozenBackbone:
    """A small one with the same weights everywhere."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d(2),
            nn.Flatten(), nn.Linear(24, 5),
        )  # fmt: skip
    return freeze(model, STATISTICS, input_size=8, device=device, compiled=compiled)


def pictures(count: int) -> Tensor:
    """Random pixels."""
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def distiller_on(device: str, method: MethodSettings) -> Distiller:
    """A distiller of three colors, with the features that the CPU finds."""
    return Distiller(Member(backbone_on(device), color_bank(backbone_on("cpu"))), method, seed=0)


class _Stopped(Exception):  # noqa: N818
    pass


@on_devices
@pytest.mark.parametrize("step", [1, 3, 5])
def test_a_run_that_goes_on_makes_the_same_bits(
    tmp_path: Path, small: Callable[..., MethodSettings], device: str, step: int
) -> None:
    whole = distiller_on(device, small(steps=STEPS)).run()
    checkpoints, first = Checkpoints(tmp_path, {"seed": 0}), distiller_on(device, small(steps=STEPS))
    every = CheckpointSettings(steps=1, minutes=1000.0)
    with Keeper(first, checkpoints, every) as keep:

        def stop() -> None:
            keep()
            if first.state.step >= step:
                raise _Stopped

        with pytest.raises(_Stopped):
            first.run(keep=stop)
    second = distiller_on(device, small(steps=STEPS))
    with Keeper(second, checkpoints, every) as keep:
        assert second.state.step >= step
        assert_same(second.run(keep=keep), whole)


@on_devices
def test_draws_by_name_are_the_devices_own_and_the_same_every_time(device: str) -> None:
    def drawn(name: str) -> Tensor:
        generator = named_generator(3, "noise", name, device=device)
        return torch.randn(1000, generator=generator, device=device)

    first = drawn("a")
    torch.randn(5, device=device)  # what others draw shifts nothing
    assert first.device.type == device
    assert torch.equal(drawn("a"), first)
    assert not torch.equal(drawn("b"), first)


@on_devices
def test_features_and_pixel_gradients_are_the_cpus_but_for_rounding(device: str) -> None:
    found = {}
    for place in ("cpu", device):
        images = pictures(7).to(place).requires_grad_()
        features = backbone_on(place)(images)
        (gradient,) = torch.autograd.grad(features.square().sum(), images)
        found[place] = features.detach().cpu(), gradient.cpu()
    for one, other in zip(found["cpu"], found[device], strict=True):
        torch.testing.assert_close(other, one, rtol=1e-2, atol=1e-3)


@on_devices
def test_probes_are_the_cpus_but_for_rounding(params: Callable[..., Params], device: str) -> None:
    spec = params(probe={"patience": 0, "epochs": 5, "batch_size": 4, "learning_rate": 0.1}).probe
    features = torch.randn(2, 9, 5, generator=torch.Generator().manual_seed(2))
    labels = torch.arange(9) % 3
    heads = {}
    for place in ("cpu", device):
        views = TrainingViews(features.to(place), labels.to(place))
        heads[place] = train_heads([views], 3, spec, epochs=5, seeds=[0]).cpu()
    torch.testing.assert_close(heads[device], heads["cpu"], rtol=1e-2, atol=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_compiled_backbone_finds_what_the_plain_one_finds() -> None:
    images = pictures(4).to("cuda")
    found, plain = backbone_on("cuda", compiled=True)(images), backbone_on("cuda")(images)
    torch.testing.assert_close(found, plain, rtol=1e-2, atol=1e-3)


@pytest.fixture
def little_memory() -> Iterator[int]:
    """Half a GiB of the card more than is taken, in bytes."""
    torch.cuda.empty_cache()
    room, whole = 2**29, torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + room) / whole)
    yield room
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_card_that_is_full_is_asked_for_less(little_memory: int) -> None:
    backoff = Backoff(64)
    each = little_memory // 16
    taken = backoff.run(lambda views: torch.empty(views * each, dtype=torch.uint8, device="cuda").numel())
    assert 8 <= backoff.views <= 16
    assert taken == backoff.views * each
