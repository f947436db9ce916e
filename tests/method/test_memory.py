"""Micro-batches change the memory that a step needs, never its gradient."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lgm_core.foundation.errors import InputError
from lgm_core.method.distiller import Distiller, Member
from lgm_core.method.real import RealBank
from lgm_core.method.synthetic import split
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import MethodSettings

CLASSES, WIDTH = ("a", "b", "c", "d"), 5
VIEWS = len(CLASSES) * 3

Method = Callable[..., MethodSettings]
Tiny = Callable[..., FrozenBackbone]


def _distiller(method: Method, tiny_backbone: Tiny, micro_batch: int | None, **changes: object) -> Distiller:
    generator = torch.Generator().manual_seed(1)
    views, labels = torch.randn(2, 20, WIDTH, generator=generator), torch.arange(20) % len(CLASSES)
    bank = RealBank(views, labels, CLASSES)
    settings = {"steps": 6, "growth_interval": 2, "resolution": 16, "input_size": 12, "aug_rounds": 3}
    spec = method(**{**settings, **changes})
    return Distiller(Member(tiny_backbone(WIDTH), bank), spec, seed=0, micro_batch=micro_batch)


def _gradients(distiller: Distiller) -> tuple[Tensor, Tensor]:
    pixels = distiller.state.images.render().detach().requires_grad_()
    return distiller._pixel_gradient(pixels)


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 5, 7, VIEWS - 1])
@pytest.mark.parametrize("changes", [{}, {"augment": "none"}, {"ipc": 2}, {"real_batch": 8}])
def test_any_split_gives_the_pixel_gradient_of_one_batch(
    method: Method, tiny_backbone: Tiny, micro_batch: int, changes: dict[str, object]
) -> None:
    expected, loss = _gradients(_distiller(method, tiny_backbone, 1000, **changes))
    found, same_loss = _gradients(_distiller(method, tiny_backbone, micro_batch, **changes))
    assert (found - expected).norm() <= 1e-5 * expected.norm()
    torch.testing.assert_close(same_loss, loss, rtol=1e-5, atol=1e-6)


def test_parts_cover_all_views_once_and_keep_the_bound() -> None:
    for total in (1, 5, 12):
        for size in (1, 3, 12, 99):
            parts = split(total, size)
            assert [view for part in parts for view in range(*part)] == list(range(total))
            sizes = [stop - start for start, stop in parts]
            assert sizes[1:] == [size] * (len(sizes) - 1)  # what remains comes first
            assert 0 < sizes[0] <= size


@contextmanager
def _room_for(backbone: FrozenBackbone, views: int) -> Iterator[list[int]]:
    """The backbone runs out of memory above so many views; yields the batch sizes it was asked for."""
    asked: list[int] = []

    def check(module: object, inputs: tuple[Tensor]) -> None:
        asked.append(len(inputs[0]))
        if len(inputs[0]) > views:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB.\nmore")

    hook = backbone.model.register_forward_pre_hook(check)
    yield asked
    hook.remove()


def test_out_of_memory_halves_the_micro_batch_and_changes_nothing_else(
    method: Method, tiny_backbone: Tiny, caplog: pytest.LogCaptureFixture
) -> None:
    expected = _distiller(method, tiny_backbone, 1000).run()
    distiller = _distiller(method, tiny_backbone, VIEWS)
    with _room_for(distiller.members[0].backbone, 4) as asked, caplog.at_level(logging.WARNING):
        found = distiller.run()
    assert [backoff and backoff.views for backoff in distiller.backoffs] == [3]
    assert asked[:3] == [12, 6, 3]
    assert "micro-batch of 3 views" in caplog.text
    assert found.losses == pytest.approx(expected.losses, abs=1e-5)
    torch.testing.assert_close(found.images, expected.images, rtol=0, atol=1e-4)


def test_out_of_memory_in_the_backward_pass_makes_every_view_again(
    method: Method, tiny_backbone: Tiny
) -> None:
    expected, _ = _gradients(_distiller(method, tiny_backbone, 1000))
    distiller = _distiller(method, tiny_backbone, 6)
    with _room_for(distiller.members[0].backbone, 6) as asked:
        original, failed = torch.Tensor.backward, []

        def backward(self: Tensor, *arguments: object) -> None:
            if len(failed) < 2 and len(asked) >= 2:
                failed.append(True)
                raise torch.OutOfMemoryError("CUDA out of memory.")
            original(self, *arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.Tensor, "backward", backward)
            found, _ = _gradients(distiller)
    assert len(failed) == 2
    assert [backoff and backoff.views for backoff in distiller.backoffs] == [2]
    assert (found - expected).norm() <= 1e-5 * expected.norm()


def test_one_view_that_does_not_fit_is_an_error_that_repairs(method: Method, tiny_backbone: Tiny) -> None:
    distiller = _distiller(method, tiny_backbone, 4)
    before = distiller.state.images.levels[0].clone()
    nothing = _room_for(distiller.members[0].backbone, 0)
    with nothing, pytest.raises(InputError, match=r"single view.*input_size"):
        distiller.step()
    assert torch.equal(distiller.state.images.levels[0], before)
    assert distiller.state.step == 0


def test_a_loss_that_is_not_finite_names_its_step(method: Method, tiny_backbone: Tiny) -> None:
    distiller = _distiller(method, tiny_backbone, None, learning_rate=0.01)
    seen: list[int] = []

    def spoil(step: int, loss: float) -> None:
        seen.append(step)
        if step == 2:
            distiller.state.images.levels[0].data.fill_(torch.nan)

    with pytest.raises(InputError, match="nan at step 3"):
        distiller.run(spoil)
    assert seen == [0, 1, 2]


_PEAK = """
import re, sys, torch
from pathlib import Path
from torch import nn
from lgm_core import Distiller, FrozenBackbone, Member, MethodSettings
from lgm_core.method.real import RealBank
torch.set_num_threads(1)
rounds = int(sys.argv[1])
method = MethodSettings.paper(aug_rounds=rounds, steps=1, resolution=64, input_size=64)
layers = [nn.Conv2d(3, 16, 3, padding=1)]
for _ in range(8):
    layers += [nn.Tanh(), nn.Conv2d(16, 16, 3, padding=1)]
model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
bank = RealBank(torch.randn(1, 20, 16), torch.arange(20) % 10, tuple("abcdefghij"))
backbone = FrozenBackbone(model, (0.5,) * 3, (0.2,) * 3)
distiller = Distiller(Member(backbone, bank), method, seed=0, micro_batch=40)
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
before = peak()
distiller.run()
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read as Linux tells it")
def test_peak_memory_does_not_grow_with_the_number_of_views() -> None:
    def peak_kilobytes(rounds: int) -> int:
        done = subprocess.run(
            [sys.executable, "-c", _PEAK, str(rounds)],
            env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},  # freed memory goes back at once
            capture_output=True,
            text=True,
            check=True,
        )
        return int(done.stdout)

    few = peak_kilobytes(4)
    assert few > 100_000  # so much that the step, and not the interpreter, is what is measured
    assert peak_kilobytes(40) <= 1.15 * few
