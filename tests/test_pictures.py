"""Grids of images: every pixel is where the layout says."""

from __future__ import annotations

import pytest
import torch

from lgm_core.distilled import image_grid


def flat(count: int, side: int) -> torch.Tensor:
    """Images of one grey each, dark to light, none of them white."""
    return (torch.arange(count) / (count + 1))[:, None, None, None].expand(count, 3, side, side)


def test_three_images_stand_in_a_row_with_white_gaps() -> None:
    images = torch.rand(3, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    grid = image_grid(images)
    assert grid.shape == (3, 128, 128 * 3 + 2 * 2)
    for number, image in enumerate(images):
        assert torch.equal(grid[:, :, number * 130 : number * 130 + 128], image)
    assert (grid[:, :, 128:130] == 1).all()
    assert (grid[:, :, 258:260] == 1).all()


def test_columns_break_rows_and_the_rest_stays_white() -> None:
    images = flat(3, 128)
    grid = image_grid(images, columns=2)
    assert grid.shape == (3, 258, 258)
    assert torch.equal(grid[:, :128, :128], images[0])
    assert torch.equal(grid[:, :128, 130:], images[1])
    assert torch.equal(grid[:, 130:, :128], images[2])
    assert (grid[:, 130:, 130:] == 1).all()
    assert (grid[:, 128:130] == 1).all()


def test_small_images_are_enlarged_by_whole_pixels() -> None:
    image = torch.tensor([[0.0, 0.25], [0.5, 0.75]]).expand(1, 3, 2, 2)
    grid = image_grid(image)
    assert grid.shape == (3, 128, 128)
    assert torch.equal(grid[0, :64, :64], torch.zeros(64, 64))
    assert torch.equal(grid[0, 64:, 64:], torch.full((64, 64), 0.75))
    assert torch.equal(grid, image[0].repeat_interleave(64, 1).repeat_interleave(64, 2))


@pytest.mark.parametrize(("side", "shown"), [(64, 128), (100, 100), (200, 200), (43, 86)])
def test_images_are_never_made_smaller(side: int, shown: int) -> None:
    assert image_grid(flat(1, side)).shape == (3, shown, shown)


def test_more_than_twenty_images_wrap() -> None:
    grid = image_grid(flat(21, 128))
    assert grid.shape == (3, 2 * 130 - 2, 20 * 130 - 2)
    assert grid[0, 130, 0] == flat(21, 128)[20, 0, 0, 0]


def test_the_images_are_left_alone() -> None:
    images = flat(2, 128).clone()
    before = images.clone()
    image_grid(images)[:] = 0
    assert torch.equal(images, before)
