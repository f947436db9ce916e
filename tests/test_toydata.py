"""Procedural sets are what their captions say, and every image has a seed of its own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lgm_core import toydata
from lgm_core.captions import about
from lgm_core.datasets import ImageSet, load_images, load_splits


def splits(name: str) -> tuple[ImageSet, ImageSet]:
    return load_splits({"source": f"toy:{name}"}, Path())


@pytest.mark.parametrize("name", toydata.ROWS)
def test_an_image_is_made_alone_and_always_the_same(name: str) -> None:
    train, test = splits(name)
    last = len(train) - 1
    first = np.asarray(train.decode(last))
    assert first.shape == (64, 64, 3)
    assert (first == np.asarray(train.decode(last))).all()
    assert (np.asarray(train.decode(0)) != np.asarray(test.decode(0))).any()


@pytest.mark.parametrize("name", toydata.ROWS)
def test_labels_are_class_by_class_and_names_are_unique(name: str) -> None:
    for images in splits(name):
        assert images.labels.tolist() == sorted(images.labels.tolist())
        assert len(set(images.names)) == len(images.names) == len(images.labels)
        assert set(images.labels.tolist()) == set(range(len(images.classes)))


@pytest.mark.parametrize("name", toydata.ROWS)
def test_the_caption_says_what_the_set_is(name: str) -> None:
    assert "procedural" in about(f"toy:{name}")
    assert "in place of" in about(f"toy:{name}")


def test_sets_without_backgrounds_have_no_groups() -> None:
    images = load_images({"source": "toy:stars"}, "test", Path())
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
