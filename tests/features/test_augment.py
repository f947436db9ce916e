"""Views are what was drawn, and do not depend on how a batch is cut."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from features.drawn_views import EDGE, LEGAL_SPECS, NOISY, OVERHANGING, PLAIN, seeded, views_of
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lgm_core.features.augment import (
    apply_views,
    center_crop,
    crop_by_products,
    crop_by_sampling,
    draw_for,
    draw_views,
    view,
)
from lgm_core.foundation.errors import InputError
from lgm_core.settings.method import AugmentSettings


def _images(count: int, side: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(count, 3, side, side, generator=seeded(1), dtype=dtype)


def test_zeros_come_in_where_a_window_leaves_the_image() -> None:
    images = torch.ones(1, 3, 16, 16)
    views = views_of([(-0.25, 0.25, 1.5, 0.5)])  # a quarter of an image too far on both sides
    found = apply_views(images, views, 24, OVERHANGING)
    assert torch.equal(found[..., :3], torch.zeros(1, 3, 24, 3))
    assert torch.equal(found[..., -3:], torch.zeros(1, 3, 24, 3))
    torch.testing.assert_close(found[..., 5:-5], torch.ones(1, 3, 24, 14))
    torch.testing.assert_close(apply_views(images, views, 24, PLAIN), torch.ones(1, 3, 24, 24))


def _sampled(image: np.ndarray, window: list[float], size: int) -> np.ndarray:
    """Bilinear sampling of a window at pixel centres, by the definition, one output pixel at a time."""
    side = image.shape[-1]
    left, top, width, height = window
    result = np.empty((image.shape[0], size, size))
    for row in range(size):
        for column in range(size):
            x = np.clip((left + width * (column + 0.5) / size) * side - 0.5, 0, side - 1)
            y = np.clip((top + height * (row + 0.5) / size) * side - 0.5, 0, side - 1)
            x0, y0 = min(int(x), side - 2), min(int(y), side - 2)
            fx, fy = x - x0, y - y0
            upper = image[:, y0, x0] * (1 - fx) + image[:, y0, x0 + 1] * fx
            lower = image[:, y0 + 1, x0] * (1 - fx) + image[:, y0 + 1, x0 + 1] * fx
            result[:, row, column] = upper * (1 - fy) + lower * fy
    return result


def test_view_samples_the_window_of_the_flipped_image_bilinearly() -> None:
    images = _images(8, 7, torch.float64)
    views = draw_views(8, PLAIN, seeded(3))
    assert views.flip.any()
    assert not views.flip.all()
    found = apply_views(images, views, 5, PLAIN).numpy()
    for number in range(8):
        image = images[number].flip(-1) if views.flip[number] else images[number]
        expected = _sampled(image.numpy(), views.window[number].tolist(), 5)
        np.testing.assert_allclose(found[number], expected, atol=1e-6)


@given(LEGAL_SPECS.map(lambda spec: replace(spec, noise_std=0.0, noise_mean=0.0)), st.integers(0, 2**31))
def test_no_padding_value_ever_appears(spec: AugmentSettings, seed: int) -> None:
    images = 0.5 + 0.5 * _images(8, 6)
    views = apply_views(images, draw_views(8, spec, seeded(seed)), 9, spec)
    assert views.min() >= images.min() - EDGE
    assert views.max() <= images.max() + EDGE


def test_what_lies_outside_the_window_never_shows() -> None:
    images = torch.full((1, 3, 16, 16), 100.0)
    images[:, :, 4:12, 4:12] = 0.25
    views = views_of([(5 / 16, 5 / 16, 6 / 16, 6 / 16)])  # one pixel inside the grey square
    assert torch.allclose(apply_views(images, views, 24, PLAIN), torch.tensor(0.25))


def test_flip_is_a_mirror_before_the_crop() -> None:
    windows = draw_views(6, PLAIN, seeded()).window.tolist()
    images = _images(6, 12, torch.float64)
    flipped = apply_views(images, views_of(windows, flip=True), 8, PLAIN)
    expected = apply_views(images.flip(-1), views_of(windows), 8, PLAIN)
    torch.testing.assert_close(flipped, expected, rtol=0, atol=1e-12)


def test_flip_of_a_centred_window_is_a_mirrored_view() -> None:
    windows = [(0.25, 0.0, 0.5, 0.7), (0.1, 0.2, 0.8, 0.8)]
    images = _images(2, 12, torch.float64)
    straight = apply_views(images, views_of(windows), 8, PLAIN)
    flipped = apply_views(images, views_of(windows, flip=True), 8, PLAIN)
    torch.testing.assert_close(flipped, straight.flip(-1), rtol=0, atol=1e-6)
    assert (flipped - straight).abs().max() > 0.1


@pytest.mark.parametrize("flip", [False, True])
def test_whole_window_is_the_identity(flip: bool) -> None:
    images = _images(2, 9)
    expected = images.flip(-1) if flip else images
    found = apply_views(images, views_of([(0, 0, 1, 1)] * 2, flip=flip), 9, PLAIN)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_window_of_whole_pixels_is_a_slice() -> None:
    images = _images(1, 8)
    found = apply_views(images, views_of([(2 / 8, 1 / 8, 4 / 8, 4 / 8)]), 4, PLAIN)
    torch.testing.assert_close(found, images[:, :, 1:5, 2:6], rtol=0, atol=1e-5)


def test_views_are_differentiable_in_the_images() -> None:
    images = _images(2, 5, torch.float64).requires_grad_()
    views = draw_views(2, replace(NOISY, noise_probability=1.0), seeded())
    assert torch.autograd.gradcheck(lambda x: apply_views(x, views, 4, NOISY), (images,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_element_type_of_the_images_is_kept(dtype: torch.dtype) -> None:
    spec = replace(NOISY, noise_probability=1.0)
    assert apply_views(_images(2, 5, dtype), draw_views(2, spec, seeded()), 4, spec).dtype == dtype


@pytest.mark.parametrize("size", [1, 2, 3, 7, 11])
def test_views_in_parts_equal_the_whole(size: int) -> None:
    images, views = _images(11, 10), draw_views(11, NOISY, seeded())
    assert views.noisy.any()
    whole = apply_views(images, views, 6, NOISY)
    parts = [
        apply_views(images[start : start + size], views.part(start, start + size), 6, NOISY)
        for start in range(0, 11, size)
    ]
    assert torch.equal(torch.cat(parts), whole)


def test_part_holds_the_same_draws() -> None:
    views = draw_views(9, NOISY, seeded())
    part = views.part(2, 5)
    assert (len(views), len(part)) == (9, 3)
    for name in ("flip", "window", "noisy", "noise_seed"):
        assert torch.equal(getattr(part, name), getattr(views, name)[2:5])


def _noise(spec: AugmentSettings, count: int = 200, side: int = 24, seed: int = 0) -> Tensor:
    """What is added to a grey image."""
    images = torch.full((count, 3, side, side), 0.5)
    return apply_views(images, draw_views(count, spec, seeded(seed)), side, spec) - 0.5


def test_noise_has_the_given_mean_and_spread() -> None:
    noise = _noise(replace(NOISY, noise_mean=0.3, noise_std=0.2, noise_probability=1.0))
    assert noise.mean().item() == pytest.approx(0.3, abs=5 * 0.2 / math.sqrt(noise.numel()))
    assert noise.std().item() == pytest.approx(0.2, rel=0.01)
    kurtosis = (((noise - 0.3) / 0.2) ** 4).mean().item()
    assert kurtosis == pytest.approx(3, abs=0.1)


def test_noise_falls_on_the_given_share_of_views() -> None:
    views = draw_views(10_000, replace(NOISY, noise_probability=0.3), seeded())
    assert views.noisy.float().mean().item() == pytest.approx(0.3, abs=0.02)
    noisy = _noise(replace(NOISY, noise_probability=0.3)).abs().amax(dim=(1, 2, 3)) > 0.01
    assert torch.equal(noisy, draw_views(200, replace(NOISY, noise_probability=0.3), seeded()).noisy)


def test_noise_of_different_views_pixels_and_channels_is_independent() -> None:
    noise = _noise(replace(NOISY, noise_probability=1.0), count=20)
    channels = noise.flatten(2).flatten(0, 1)
    correlation = torch.corrcoef(channels) - torch.eye(len(channels))
    assert correlation.abs().max() < 5 / math.sqrt(24 * 24)
    neighbours = torch.corrcoef(torch.stack([noise[..., :-1].flatten(), noise[..., 1:].flatten()]))
    assert neighbours[0, 1].abs() < 5 / math.sqrt(noise.numel())


def test_noise_mean_alone_shifts_the_view() -> None:
    noise = _noise(replace(NOISY, noise_mean=0.5, noise_std=0.0, noise_probability=1.0), count=3)
    torch.testing.assert_close(noise, torch.full_like(noise, 0.5))


@given(LEGAL_SPECS, st.booleans(), st.integers(0, 2**31), st.integers(3, 12), st.integers(3, 12))
def test_crops_by_matrix_products_are_those_of_sampling(
    legal: AugmentSettings, overhang: bool, seed: int, side: int, size: int
) -> None:
    """What a GPU does, in double precision here: the same pixels, and the same way back."""
    spec = replace(legal, crop_overhang=overhang)
    views = draw_views(5, spec, seeded(seed))
    found = []
    for crop in (crop_by_products, crop_by_sampling):
        images = _images(5, side, torch.float64).requires_grad_()
        pixels = crop(images, views.window.double(), views.flip, size, spec.crop_overhang)
        (gradient,) = torch.autograd.grad((pixels * _images(5, size, torch.float64)).sum(), images)
        found.append((pixels.detach(), gradient))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-9)


def test_no_noise_is_drawn_where_it_would_be_zero() -> None:
    spec = replace(NOISY, noise_mean=0.0, noise_std=0.0, noise_probability=1.0)
    assert not draw_views(50, spec, seeded()).noisy.any()


@pytest.mark.parametrize(("probability", "share"), [(0.0, 0.0), (1.0, 1.0), (0.3, 0.3)])
def test_flip_falls_on_the_given_share_of_views(probability: float, share: float) -> None:
    flip = draw_views(10_000, replace(PLAIN, flip_probability=probability), seeded()).flip
    assert flip.float().mean().item() == pytest.approx(share, abs=0.02)


def test_flip_window_and_noise_are_independent() -> None:
    views = draw_views(20_000, NOISY, seeded())
    columns = [views.flip, views.noisy, *views.window.unbind(dim=1), views.window[:, 2:].prod(dim=1)]
    correlation = torch.corrcoef(torch.stack([column.double() for column in columns]))
    assert correlation[0, 1:].abs().max() < 0.04
    assert correlation[1, 2:].abs().max() < 0.04


def test_draws_depend_on_the_generator_alone() -> None:
    before = torch.get_rng_state()
    first, again, other = (draw_views(5, NOISY, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.window, again.window)
    assert torch.equal(first.noise_seed, again.noise_seed)
    assert not torch.equal(first.window, other.window)
    apply_views(_images(5, 6), first, 6, NOISY)
    assert torch.equal(torch.get_rng_state(), before)


def test_applying_leaves_the_images_alone() -> None:
    images = _images(3, 6)
    before = images.clone()
    apply_views(images, draw_views(3, replace(NOISY, noise_probability=1.0), seeded()), 6, NOISY)
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    ("side", "size", "first"), [(8, 4, 2), (9, 4, 2), (9, 5, 2), (6, 6, 0), (256, 224, 16)]
)
def test_center_crop_cuts_the_middle(side: int, size: int, first: int) -> None:
    images = torch.arange(side * side, dtype=torch.float32).reshape(1, 1, side, side).expand(1, 3, -1, -1)
    expected = images[:, :, first : first + size, first : first + size]
    assert torch.equal(center_crop(images, size), expected)


def test_center_crop_of_too_small_images_says_what_to_change() -> None:
    with pytest.raises(InputError, match=r"5 × 4 pixels.*sees 6 × 6.*input_size.*resolution"):
        center_crop(torch.zeros(1, 3, 4, 5), 6)


def test_no_augmentation_draws_nothing_and_crops_the_centre() -> None:
    images = _images(2, 8)
    assert draw_for("none", 2, seeded()) is None
    assert torch.equal(view(images, None, 6, "none"), images[:, :, 1:7, 1:7])


def test_augmentation_draws_and_applies_views() -> None:
    images = _images(4, 8)
    views = draw_for(NOISY, 4, seeded(5))
    assert views is not None
    expected = apply_views(images, draw_views(4, NOISY, seeded(5)), 6, NOISY)
    assert torch.equal(view(images, views, 6, NOISY), expected)


def test_unknown_augmentation_is_refused() -> None:
    with pytest.raises(InputError, match=r"augment is 'off'; allowed: 'none' or a mapping"):
        draw_for("off", 2, seeded())
