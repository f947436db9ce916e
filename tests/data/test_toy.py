"""Every procedural image is determined by its data set, split and number, and nothing else."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lgm_core.data.catalogue import about
from lgm_core.data.sources import load_images, load_splits
from lgm_core.data.toy import sets as toydata
from lgm_core.data.toy.drawing import SHAPES, TEXTURES, Nuisance, draw_scene, far_color, mask
from lgm_core.data.toy.patterns import STYLES, draw_linework
from lgm_core.data.toy.sets import ROWS, toy_image
from lgm_core.foundation.sources import DatasetSource
from lgm_core.images import ImageSet


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
    expected = toy_image("shapes", "train", 3 * 200 + 1).tobytes()
    counts = {split: dict.fromkeys(ROWS["shapes"].counts[split], 1000) for split in ("train", "test")}
    longer = replace(ROWS["shapes"], counts=counts)
    monkeypatch.setitem(toydata.ROWS, "shapes", longer)
    assert toy_image("shapes", "train", 3 * 1000 + 1).tobytes() == expected


def test_images_of_splits_and_numbers_differ() -> None:
    images = [
        toy_image("shapes", split, index).tobytes() for split in ("train", "test") for index in range(20)
    ]
    assert len(set(images)) == 40


def test_shapes_are_balanced() -> None:
    for images, count in zip(splits("shapes"), (200, 100), strict=True):
        assert Counter(images.labels.tolist()) == dict.fromkeys(range(10), count)


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
    coverage = mask(outlines, np.array([0.5, 0.5]), 0.4, 0.3, 64)
    expected = (areas[0] - sum(areas[1:])) * 0.4**2
    assert coverage.min() >= 0
    assert coverage.max() == 1
    assert coverage.mean() == pytest.approx(expected, rel=0.06)


def test_shapes_differ_even_when_turned() -> None:
    """No two classes are the same figure: their areas or outlines' extents differ."""
    marks = set()
    for outlines in SHAPES.values():
        coverage = mask(outlines, np.array([0.5, 0.5]), 0.4, 0.0, 64)
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
        colour = far_color(generator, other, 0.35)
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


@pytest.mark.parametrize("style", STYLES)
def test_every_style_of_linework_is_dark_ink_within_the_shape_on_light_paper(style: str) -> None:
    placed = (SHAPES["circle"], np.array([0.5, 0.5]), 0.4, 0.3)
    ink = STYLES[style](np.random.default_rng(0), placed)
    assert ink.shape == (64, 64)
    assert (ink.min(), ink.max() > 0.5) == (0, True)
    assert not ink[mask(placed[0], placed[1], 0.45, 0.3, 64) == 0].any()
    picture = _pixels(draw_linework(np.random.default_rng(0), style))
    assert np.median(picture) > 0.75
    assert picture.min() < 0.5


def test_styles_of_linework_differ_in_their_ink() -> None:
    placed = (SHAPES["circle"], np.array([0.5, 0.5]), 0.4, 0.3)
    shares = {style: draw(np.random.default_rng(0), placed).mean() for style, draw in STYLES.items()}
    assert shares["silhouette"] > shares["crosshatching"] > shares["hatching"] > shares["stippling"] > 0


# The sets that stand in for others


def splits(name: str) -> tuple[ImageSet, ImageSet]:
    return load_splits(DatasetSource(f"toy:{name}"), Path())


@pytest.mark.parametrize("name", ROWS)
def test_an_image_is_made_alone_and_always_the_same(name: str) -> None:
    train, test = splits(name)
    last = len(train) - 1
    first = np.asarray(train.decode(last))
    assert first.shape == (64, 64, 3)
    assert first.std() > 255 * 0.02
    assert (first == np.asarray(train.decode(last))).all()
    assert (np.asarray(train.decode(0)) != np.asarray(test.decode(0))).any()


@pytest.mark.parametrize("name", ROWS)
def test_labels_are_class_by_class_and_names_are_unique(name: str) -> None:
    for images in splits(name):
        assert images.labels.tolist() == sorted(images.labels.tolist())
        assert len(set(images.names)) == len(images.names) == len(images.labels)
        assert set(images.labels.tolist()) == set(range(len(images.classes)))


@pytest.mark.parametrize("name", ROWS)
def test_the_caption_says_what_the_set_is(name: str) -> None:
    assert "procedural" in about(f"toy:{name}")
    assert "in place of" in about(f"toy:{name}")


def test_sets_without_backgrounds_have_no_groups() -> None:
    images = load_images(DatasetSource("toy:stars"), "test", Path())
    assert images.groups is None
    assert images.group_names == ()


def test_the_spurious_texture_predicts_the_shape_in_training_and_never_in_the_test_set() -> None:
    train, test = splits("spurious")

    def pairs(images: ImageSet) -> Counter[str]:
        assert images.groups is not None
        return Counter(images.group_names[group] for group in images.groups.tolist())

    own = {"star/stripes", "heart/checker", "cross/blobs", "ring/ramp"}
    kept = sum(count for pair, count in pairs(train).items() if pair in own)
    assert kept / len(train) == pytest.approx(0.9)
    assert not own & set(pairs(test))
    assert set(pairs(test).values()) == {20}


def test_birds_have_a_majority_and_four_groups() -> None:
    train, test = splits("birds")
    assert test.group_names == ("landbird/land", "landbird/water", "waterbird/land", "waterbird/water")
    assert (test.labels == 0).double().mean().item() == pytest.approx(0.78)
    assert (train.labels == 0).double().mean().item() == pytest.approx(0.775)
    assert test.groups is not None
    assert (test.groups // 2 == test.labels).all()
