"""Real images as a start: levels that render as they are, and nothing grows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from method.toy_runs import CLASSES, color_bank

from lgm_core.foundation.errors import InputError
from lgm_core.method.color import correlate, decorrelate
from lgm_core.method.distiller import Distiller, Member
from lgm_core.method.pyramid import SyntheticImages, laplacian_levels, squash, unsquash
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import MethodSettings

Make = Callable[..., MethodSettings]
Backbone = Callable[..., FrozenBackbone]


def _pictures(count: int, side: int) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(3)) * 0.9 + 0.05


@pytest.mark.parametrize("side", [8, 12, 20])
@pytest.mark.parametrize("changes", [{}, {"decorrelate_color": False}, {"parameterization": "pixels"}])
def test_a_start_renders_as_the_images_it_was_given(changes: dict[str, Any], side: int, method: Make) -> None:
    pictures = _pictures(2, side)
    images = SyntheticImages([0, 1], method(resolution=side, input_size=8, **changes), 0, start=pictures)
    assert len(images.levels) == 1 if changes.get("parameterization") else images.sizes[0] == 1
    # `init` names the sizes: without `real` the finest is the start's.
    if images.sizes[-1] == side:
        torch.testing.assert_close(images.render(), pictures, rtol=0, atol=1e-4)


@pytest.mark.parametrize("side", [8, 12, 20])
def test_laplacian_levels_add_up_and_the_first_is_the_mean(side: int) -> None:
    target = _pictures(2, side)
    sizes = [1, 2, 4, 8, *([side] if side > 8 else [])]
    levels = laplacian_levels(target, sizes)
    torch.testing.assert_close(levels[0][:, :, 0, 0], target.mean(dim=(2, 3)))
    total = sum(
        torch.nn.functional.interpolate(level, size=side, mode="bilinear", align_corners=False)
        for level in levels
    )
    torch.testing.assert_close(total, target, rtol=0, atol=1e-5)


def test_inverses() -> None:
    pixels = _pictures(2, 4)
    torch.testing.assert_close(squash(unsquash(pixels)), pixels)
    torch.testing.assert_close(correlate(decorrelate(pixels)), pixels, rtol=0, atol=1e-5)
    assert unsquash(torch.tensor([0.0, 1.0])).isfinite().all()


def _real(small: Make, **changes: Any) -> MethodSettings:
    return MethodSettings(**{**vars(small(**changes)), "init": "real"})


def test_a_run_begins_as_its_start_and_does_not_grow(small: Make, tiny_backbone: Backbone) -> None:
    backbone = tiny_backbone()
    start = _pictures(len(CLASSES), 8)
    one = Distiller(Member(backbone, color_bank(backbone)), _real(small), seed=0, start=start)
    torch.testing.assert_close(one.state.images.render(), start, rtol=0, atol=1e-4)
    assert one.state.images.sizes == [1, 2, 4, 8]
    found = one.run()
    assert one.state.images.sizes == [1, 2, 4, 8]
    assert (found.images - start).abs().max() > 1e-3


def test_a_start_is_needed_with_real_alone_and_of_its_shape(small: Make, tiny_backbone: Backbone) -> None:
    backbone = tiny_backbone()
    member = Member(backbone, color_bank(backbone))
    wrong = [(_real(small), None), (_real(small), _pictures(2, 8)), (small(), _pictures(3, 8))]
    for spec, start in wrong:
        with pytest.raises(InputError, match=r"init is .*start of shape \[3, 3, 8, 8\]"):
            Distiller(member, spec, seed=0, start=start)
