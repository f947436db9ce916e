"""Every procedural image is determined by its data set, split and number, and nothing else."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from lgm_core import toydata
from lgm_core.toydata import ROWS, SHAPES, TEXTURES, Nuisance, draw_scene, toy_image, toy_labels


def _pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.float64) / 255


def test_an_image_is_the_same_whatever_was_made_before() -> None:
    indices = [0, 7, 399, 1999]
    forwards = {index: toy_image("shapes", "train", index).tobytes() for index in indices}
    toy_image("shapes", "test", 3)
    np.random.default_rng(1).normal()
    backwards = {index: toy_image("shapes", "train", index).tobytes() for index in reversed(indices)}
    assert forwards == backwards


def test_making_an_image_leaves_the_global_random_states_alone() -> None:
    before, state = np.random.get_state()[1].copy(), torch.get_rng_state()
    toy_image("shapes", "train", 0)
    assert np.array_equal(np.random.get_state()[1], before)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_longer_set_begins_like_a_shorter_one(monkeypatch: pytest.MonkeyPatch) -> None:
    second_of_stars = 3 * ROWS["shapes"].per_class["train"] + 1
    expected = toy_image("shapes", "train", second_of_stars).tobytes()
    longer = replace(ROWS["shapes"], per_class={"train": 1000, "test": 1})
    monkeypatch.setitem(toydata.ROWS, "shapes", longer)
    assert toy_image("shapes", "train", 3 * 1000 + 1).tobytes() == expected


def test_images_of_splits_and_numbers_differ() -> None:
    images = [
        toy_image("shapes", split, index).tobytes() for split in ("train", "test") for index in range(20)
    ]
    assert len(set(images)) == 40


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_labels_are_balanced_and_in_order(name: str, split: str) -> None:
    row = ROWS[name]
    labels = toy_labels(row, split)
    assert Counter(labels) == dict.fromkeys(range(len(row.shapes)), row.per_class[split])
    assert labels == sorted(labels)


@pytest.mark.parametrize("name", ROWS)
def test_every_class_makes_rgb_images_of_one_size(name: str) -> None:
    row = ROWS[name]
    for label in range(len(row.shapes)):
        image = toy_image(name, "test", label * row.per_class["test"])
        assert (image.mode, image.size) == ("RGB", (64, 64))
        assert _pixels(image).std() > 0.02


def test_ten_shapes_lie_in_the_unit_circle() -> None:
    assert len(SHAPES) == 10
    for outlines in SHAPES.values():
        for outline in outlines:
            assert outline.ndim == 2
            assert outline.shape[1] == 2
            assert np.linalg.norm(outline, axis=1).max() < 1.15


@pytest.mark.parametrize("name", SHAPES)
def test_shape_covers_the_area_of_its_outline(name: str) -> None:
    outlines = SHAPES[name]
    areas = []
    for corners in outlines:
        x, y = corners.T
        areas.append(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)
    coverage = toydata._mask(outlines, np.array([0.5, 0.5]), 0.4, 0.3, 64)
    expected = (areas[0] - sum(areas[1:])) * 0.4**2
    assert coverage.min() >= 0
    assert coverage.max() == 1
    assert coverage.mean() == pytest.approx(expected, rel=0.06)


def test_shapes_differ_even_when_turned() -> None:
    """No two classes are the same figure: their areas or outlines' extents differ."""
    marks = set()
    for outlines in SHAPES.values():
        coverage = toydata._mask(outlines, np.array([0.5, 0.5]), 0.4, 0.0, 64)
        radii = np.linalg.norm(np.argwhere(coverage > 0.5) - 31.5, axis=1)
        marks.add((round(coverage.mean(), 2), round(radii.mean(), 0), round(radii.std(), 0)))
    assert len(marks) == len(SHAPES)


@pytest.mark.parametrize("name", TEXTURES)
def test_textures_stay_between_0_and_1_and_vary(name: str) -> None:
    for seed in range(10):
        texture = TEXTURES[name](np.random.default_rng(seed), 64)
        assert texture.shape == (64, 64)
        assert texture.min() >= 0
        assert texture.max() <= 1
        assert texture.std() > 0.05


def test_shape_and_background_keep_their_contrast() -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        other = generator.uniform(size=3)
        colour = toydata._far_color(generator, other, 0.35)
        assert np.sqrt(((colour - other) ** 2).mean()) >= 0.35
        assert colour.min() >= 0
        assert colour.max() <= 1


def test_shape_lies_within_its_nuisance() -> None:
    """With the same random numbers, only the radius' range decides how much of the image a shape changes."""
    changed = []
    for radius in ((0.0, 1e-9), (0.18, 0.18), (0.42, 0.42)):
        calm = Nuisance(shift=0.0, radius=radius, distractors=0)
        changed.append(_pixels(draw_scene(np.random.default_rng(5), SHAPES["circle"], calm)))
    for image, radius in zip(changed[1:], (0.18, 0.42), strict=True):
        share = (np.abs(image - changed[0]).max(axis=2) > 0.02).mean()
        assert share == pytest.approx(np.pi * (0.9 * radius) ** 2, rel=0.15)
