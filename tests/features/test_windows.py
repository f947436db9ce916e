"""Windows of views lie inside the image, as torchvision's do, or may leave it as the published code's do."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from features.drawn_views import EDGE, LEGAL_SPECS, OVERHANGING, PLAIN, seeded
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import RandomResizedCrop

from lgm_core.features.augment import draw_views
from lgm_core.settings.method import AugmentSettings


@given(LEGAL_SPECS, st.integers(0, 2**31))
def test_crops_never_leave_the_image(spec: AugmentSettings, seed: int) -> None:
    left, top, width, height = draw_views(64, spec, seeded(seed)).window.unbind(dim=1)
    assert (width > 0).all()
    assert (height > 0).all()
    assert min(left.min(), top.min()) >= 0
    assert max((left + width).max(), (top + height).max()) <= 1 + EDGE


@given(LEGAL_SPECS, st.integers(0, 2**31))
def test_windows_cover_an_allowed_area_or_are_the_centred_fallback(spec: AugmentSettings, seed: int) -> None:
    left, top, width, height = draw_views(64, spec, seeded(seed)).window.double().unbind(dim=1)
    area, ratio = width * height, width / height
    low, high = spec.crop_scale
    assert (ratio >= spec.crop_ratio[0] * (1 - 1e-4)).all()
    assert (ratio <= spec.crop_ratio[1] * (1 + 1e-4)).all()
    fits = (area >= low * (1 - 1e-4)) & (area <= high * (1 + 1e-4))
    nearest = min(max(1.0, spec.crop_ratio[0]), spec.crop_ratio[1])
    fallback = torch.tensor([min(1.0, nearest), min(1.0, 1 / nearest)], dtype=torch.float64)
    size_fits = torch.isclose(torch.stack([width, height], 1), fallback, rtol=1e-4).all(dim=1)
    centred = torch.isclose(left, (1 - width) / 2, atol=1e-5) & torch.isclose(
        top, (1 - height) / 2, atol=1e-5
    )
    assert (fits | (size_fits & centred)).all()


def test_window_that_cannot_fit_becomes_the_largest_centred_one() -> None:
    wide = replace(PLAIN, crop_scale=(1.0, 1.0), crop_ratio=(4.0, 4.0))
    tall = replace(wide, crop_ratio=(0.25, 0.5))
    assert draw_views(3, wide, seeded()).window.tolist() == [[0, 0.375, 1, 0.25]] * 3
    assert draw_views(3, tall, seeded()).window.tolist() == [[0.25, 0, 0.5, 1]] * 3


def test_whole_image_is_the_only_window_of_full_scale_and_square_ratio() -> None:
    spec = replace(PLAIN, crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0))
    assert draw_views(3, spec, seeded()).window.tolist() == [[0, 0, 1, 1]] * 3


@pytest.mark.parametrize(
    ("scale", "ratio"),
    [((0.08, 1.0), (3 / 4, 4 / 3)), ((0.7, 1.0), (3 / 4, 4 / 3)), ((0.2, 0.5), (0.3, 2.0))],
)
def test_windows_are_distributed_as_those_of_torchvision(
    scale: tuple[float, float], ratio: tuple[float, float]
) -> None:
    ours = draw_views(20_000, replace(PLAIN, crop_scale=scale, crop_ratio=ratio), seeded()).window
    side, count = 10_000, 4_000
    canvas = torch.empty(1).expand(1, side, side)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = [RandomResizedCrop.get_params(canvas, list(scale), list(ratio)) for _ in range(count)]
    top, left, height, width = torch.tensor(drawn, dtype=torch.float64).unbind(dim=1)
    theirs = torch.stack([left, top, width, height], dim=1) / side

    def facts(window: Tensor) -> Tensor:
        left, top, width, height = window.double().unbind(dim=1)
        area, log_ratio = width * height, (width / height).log()
        return torch.stack([area, log_ratio, left + width / 2, top + height / 2, area**2, log_ratio**2])

    expected, found = facts(theirs), facts(ours)
    error = (expected.var(dim=1) / count + found.var(dim=1) / len(ours)).sqrt()
    assert ((found.mean(dim=1) - expected.mean(dim=1)).abs() < 4 * error).all()


def test_inside_the_image_the_first_draw_that_fits_is_taken() -> None:
    """View by view and try by try, from the same numbers in the same order."""
    generator = seeded(4)
    torch.rand(300, generator=generator)  # flips
    areas = torch.rand(300, 10, generator=generator) * (1.0 - 0.08) + 0.08
    low, high = math.log(3 / 4), math.log(4 / 3)
    ratios = (torch.rand(300, 10, generator=generator) * (high - low) + low).exp()
    places = torch.rand(300, 2, generator=generator)
    windows = draw_views(300, PLAIN, seeded(4)).window
    for window, area, ratio, place in zip(windows, areas, ratios, places, strict=True):
        sizes = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], dim=1)
        size = next(one for one in sizes if one.max() <= 1)
        assert torch.equal(window, torch.cat([place * (1 - size), size]))


# Windows that may leave the image


def test_windows_that_may_leave_the_image_are_the_first_draws() -> None:
    """Area share s and ratio r give √(s r) and √(s / r), whatever they are; the slack may be negative."""
    generator = seeded(4)
    flip = torch.rand(300, generator=generator)  # drawn first
    area = (torch.rand(300, 10, generator=generator) * 0.92 + 0.08)[:, 0]
    low, high = math.log(3 / 4), math.log(4 / 3)
    ratio = (torch.rand(300, 10, generator=generator) * (high - low) + low).exp()[:, 0]
    place = torch.rand(300, 2, generator=generator)
    size = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], dim=1)
    views = draw_views(300, OVERHANGING, seeded(4))
    assert torch.equal(views.flip, flip < 0.5)
    assert torch.equal(views.window, torch.cat([place * (1 - size), size], dim=1))


def test_windows_that_fit_are_the_same_wherever_windows_may_lie() -> None:
    inside, free = (draw_views(2_000, spec, seeded()) for spec in (PLAIN, OVERHANGING))
    fits = (free.window[:, 2:] <= 1).all(dim=1)
    assert torch.equal(inside.window[fits], free.window[fits])
    assert not torch.isclose(inside.window[~fits], free.window[~fits]).all(dim=1).any()
    for name in ("flip", "noisy", "noise_seed"):
        assert torch.equal(getattr(inside, name), getattr(free, name))


def test_one_window_in_seven_leaves_the_image_and_areas_are_as_drawn() -> None:
    inside, free = (draw_views(100_000, spec, seeded()).window for spec in (PLAIN, OVERHANGING))
    outside = (free[:, 2:] > 1).any(dim=1)
    assert outside.float().mean().item() == pytest.approx(0.14, abs=0.005)
    assert free[:, 2:].prod(dim=1).mean().item() == pytest.approx(0.54, abs=0.005)
    assert inside[:, 2:].prod(dim=1).mean().item() == pytest.approx(0.48, abs=0.005)
    left, top, width, height = free[outside].unbind(dim=1)
    assert ((left < 0) & (left + width > 1) | (top < 0) & (top + height > 1)).all()
