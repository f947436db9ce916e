"""Synthetic images start coarse, grow level by level, and do not depend on who holds them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from lgm_core.method.color import decorrelation_matrix
from lgm_core.method.pyramid import SyntheticImages, level_sizes, squash
from lgm_core.settings.method import MethodSettings

Make = Callable[..., MethodSettings]
INITS = ("zero", "normal")


def _unsquashed(images: SyntheticImages) -> Tensor:
    """What `render` squashes, recovered in float64."""
    with torch.no_grad():
        images.levels = [level.detach().double() for level in images.levels]
        return images.render().logit() / 2


@pytest.mark.parametrize(
    ("resolution", "sizes"),
    [
        (256, [1, 2, 4, 8, 16, 32, 64, 128, 256]),
        (48, [1, 2, 4, 8, 16, 32, 48]),
        (9, [1, 2, 4, 8, 9]),
        (8, [1, 2, 4, 8]),
    ],
)
def test_full_pyramid_has_every_power_of_two_and_the_resolution(resolution: int, sizes: list[int]) -> None:
    assert level_sizes(resolution, resolution) == sizes


@given(st.integers(1, 4096))
def test_levels_at_most_double_and_end_at_the_finest(finest: int) -> None:
    sizes = level_sizes(4096, finest)
    assert (sizes[0], sizes[-1]) == (1, finest)
    assert all(coarse < fine <= 2 * coarse for coarse, fine in itertools.pairwise(sizes))


@pytest.mark.parametrize(
    ("start", "sizes"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (64, level_sizes(64, 64))]
)
def test_pyramid_starts_with_all_levels_up_to_its_start(method: Make, start: int, sizes: list[int]) -> None:
    assert SyntheticImages([0], method(pyramid_start=start), 0).sizes == sizes


@pytest.mark.parametrize("resolution", [64, 48, 33])
def test_levels_are_added_one_interval_apart_until_full_size(method: Make, resolution: int) -> None:
    spec = method(resolution=resolution, input_size=32, growth_interval=8)
    images = SyntheticImages([0], spec, 0)
    grown = []
    for step in range(200):
        if images.due(step):
            images.grow()
            grown.append(step)
    sizes = level_sizes(resolution, resolution)
    assert images.sizes == sizes
    assert grown == [8 * number for number in range(1, len(sizes))]


def test_growth_continues_from_a_start_between_powers_of_two(method: Make) -> None:
    images = SyntheticImages([0], method(pyramid_start=6, resolution=40, input_size=32, growth_interval=8), 0)
    while images.due(8):
        images.grow()
    assert images.sizes == [1, 2, 4, 6, 12, 24, 40]


def test_nothing_grows_before_the_first_update(method: Make) -> None:
    assert not SyntheticImages([0], method(growth_interval=1), 0).due(0)


def test_pixels_are_one_level_of_full_size_for_good(method: Make) -> None:
    images = SyntheticImages([0, 1], method(parameterization="pixels"), 0)
    assert images.sizes == [64]
    assert not any(images.due(step) for step in range(100))
    assert images.levels[0].std().item() == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("start", [1, 2, 4, 8, 16])
def test_growth_scales_the_unsquashed_image_by_n_over_n_plus_1_before_the_new_level_is_added(
    method: Make, start: int
) -> None:
    images = SyntheticImages([0, 1], method(pyramid_start=start, resolution=40, input_size=32), 0)
    count = len(images.levels)
    generator = torch.Generator().manual_seed(0)
    images.levels = [torch.randn(level.shape, generator=generator) / 4 for level in images.levels]
    before = _unsquashed(images)
    images.grow()
    images.levels[-1] = torch.zeros_like(images.levels[-1])
    after = _unsquashed(images)
    assert len(images.levels) == count + 1
    torch.testing.assert_close(after, before * count / (count + 1))
    torch.testing.assert_close(after.mean(dim=(1, 2, 3)), before.mean(dim=(1, 2, 3)) * count / (count + 1))


def test_growth_scales_old_levels_and_draws_the_new_one_smaller(method: Make) -> None:
    images = SyntheticImages([0], method(pyramid_start=32), 0)
    old = [level.detach().clone() for level in images.levels]
    images.grow()
    for before, after in zip(old, images.levels, strict=False):
        torch.testing.assert_close(after, before * 6 / 7)
    assert images.levels[-1].shape == (1, 3, 64, 64)
    assert images.levels[-1].std().item() == pytest.approx(1 / 7, rel=0.03)


def test_starting_levels_share_the_spread(method: Make) -> None:
    images = SyntheticImages(list(range(40)), method(pyramid_start=16), 0)
    for level in images.levels[1:]:
        assert level.std().item() == pytest.approx(1 / 5, rel=0.1)


def test_zero_initialisation_is_grey(method: Make) -> None:
    images = SyntheticImages([0, 1], method(init="zero", pyramid_start=8), 0)
    assert all(torch.equal(level, torch.zeros_like(level)) for level in images.levels)
    assert torch.equal(images.render(), torch.full((2, 3, 64, 64), 0.5))


def test_after_a_zero_start_growth_draws_new_levels_as_after_any(method: Make) -> None:
    """Only the levels of the start are zeros, as in the published code."""
    grey, drawn = (SyntheticImages([0, 1], method(init=init, pyramid_start=2), 5) for init in INITS)
    for count in (2, 3, 4):
        for images in (grey, drawn):
            images.grow()
        assert torch.equal(grey.levels[-1], drawn.levels[-1])
        spread = grey.levels[-1].std().item() * (count + 1)
        assert spread == pytest.approx(1, abs=0.2)
    assert all(torch.equal(level, torch.zeros_like(level)) for level in grey.levels[:2])


def test_pixels_that_start_at_zero_are_grey(method: Make) -> None:
    images = SyntheticImages([0], method(init="zero", parameterization="pixels"), 0)
    assert torch.equal(images.render(), torch.full((1, 3, 64, 64), 0.5))


@pytest.mark.parametrize("parameterization", ["pyramid", "pixels"])
def test_separate_shards_start_and_grow_as_together(method: Make, parameterization: str) -> None:
    spec = method(parameterization=parameterization, pyramid_start=4, resolution=40, input_size=32)
    together = SyntheticImages([0, 1, 2, 3], spec, 7)
    shards = [SyntheticImages(indices, spec, 7) for indices in ([0, 3], [2], [1], [])]
    for _ in range(3):
        for place, shard in ((0, 0), (3, 0), (2, 1), (1, 2)):
            row = shards[shard].indices.index(place)
            for whole, part in zip(together.levels, shards[shard].levels, strict=True):
                assert torch.equal(whole[place], part[row])
            assert torch.equal(together.render()[place], shards[shard].render()[row])
        assert shards[3].render().shape == (0, 3, 40, 40)
        if together.due(8):
            for images in (together, *shards):
                images.grow()


def test_every_image_level_and_seed_has_its_own_draw(method: Make) -> None:
    images = SyntheticImages([0, 1], method(pyramid_start=8), 0)
    other = SyntheticImages([0, 1], method(pyramid_start=8), 1)
    again = SyntheticImages([0, 1], method(pyramid_start=8), 0)
    for mine, theirs, same in zip(images.levels, other.levels, again.levels, strict=True):
        assert not torch.equal(mine[0], mine[1])
        assert not torch.equal(mine, theirs)
        assert torch.equal(mine, same)
    assert not torch.equal(images.levels[1][0].flatten(), images.levels[3][0].flatten()[:12])


def test_drawing_leaves_the_global_random_state_alone(method: Make) -> None:
    before = torch.get_rng_state()
    SyntheticImages([0, 1], method(), 0).grow()
    assert torch.equal(torch.get_rng_state(), before)


def test_squash_is_half_plus_half_tanh() -> None:
    x = torch.linspace(-20, 20, 1001, dtype=torch.float64)
    torch.testing.assert_close(squash(x), 0.5 + 0.5 * torch.tanh(x), rtol=0, atol=1e-15)


@pytest.mark.parametrize("decorrelate", [True, False])
def test_render_equals_upsampling_by_pillow(method: Make, decorrelate: bool) -> None:
    spec = method(pyramid_start=6, resolution=20, input_size=16, decorrelate_color=decorrelate)
    images = SyntheticImages([0, 1], spec, 0)
    images.grow()
    images.grow()
    assert images.sizes == [1, 2, 4, 6, 12, 20]
    total = np.zeros((2, 3, 20, 20))
    for level in images.levels:
        for image in range(2):
            for channel in range(3):
                plane = Image.fromarray(level[image, channel].detach().numpy())
                total[image, channel] += np.asarray(plane.resize((20, 20), Image.Resampling.BILINEAR))
    if decorrelate:
        matrix = decorrelation_matrix(dtype=torch.float64).numpy()
        total = np.einsum("rc,nchw->nrhw", matrix, total)
    np.testing.assert_allclose(images.render().detach().numpy(), 1 / (1 + np.exp(-2 * total)), atol=1e-5)


def test_one_by_one_level_is_one_flat_colour(method: Make) -> None:
    images = SyntheticImages([0], method(decorrelate_color=False), 0)
    images.levels = [torch.tensor([0.0, math.atanh(0.5), -math.atanh(0.5)])[None, :, None, None]]
    expected = torch.tensor([0.5, 0.75, 0.25])[None, :, None, None].expand(1, 3, 64, 64)
    torch.testing.assert_close(images.render(), expected)


def test_pixels_lie_between_0_and_1(method: Make) -> None:
    rendered = SyntheticImages(list(range(20)), method(pyramid_start=64), 0).render()
    assert rendered.min() > 0
    assert rendered.max() < 1


def test_every_level_gets_a_gradient_before_and_after_growth(method: Make) -> None:
    images = SyntheticImages([0, 1], method(pyramid_start=4), 0)
    for _ in range(2):
        images.render().square().sum().backward()
        for level in images.levels:
            assert level.is_leaf
            assert level.grad is not None
            assert level.grad.abs().amax(dim=(1, 2, 3)).min() > 0
        images.grow()
