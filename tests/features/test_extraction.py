"""Real images become features once: the cache returns as it was written, and is what the backbone sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from lgm_core.features.augment import center_crop, draw_views, view
from lgm_core.features.cache import FeatureCache, load_features, save_features
from lgm_core.features.extraction import extract_features, feature_facts
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.seeds import named_generator
from lgm_core.images import ImageSet, squares
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import FeatureSettings
from lgm_core.settings.params import Params

MADE_BY = "dvc repro features@shapes-lite0"
FILES = ("train.safetensors", "views.safetensors", "test.safetensors")
TENSORS = ("train", "train_labels", "test", "test_labels", "real_views", "full_views")


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _cache() -> FeatureCache:
    return FeatureCache(
        classes=("cat", "ägypten dog"),
        train=_random(4, 3),
        train_labels=torch.tensor([0, 1, 1, 0]),
        test=_random(2, 3, seed=1),
        test_labels=torch.tensor([1, 0]),
        real_views=_random(2, 4, 3, seed=2),
        full_views=_random(5, 4, 3, seed=3),
    )


# Files


def test_cache_returns_as_it_was_written(tmp_path: Path) -> None:
    cache = _cache()
    save_features(tmp_path / "cache", cache, {"seed": 3})
    read = load_features(tmp_path / "cache", made_by=MADE_BY)
    assert read.classes == cache.classes
    for name in TENSORS:
        assert torch.equal(getattr(read, name), getattr(cache, name)), name


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_named_with_what_makes_it(name: str, tmp_path: Path) -> None:
    save_features(tmp_path, _cache(), {})
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=rf"{name} is missing\. Make it with: {MADE_BY}"):
        load_features(tmp_path, made_by=MADE_BY)


@pytest.mark.parametrize("name", FILES)
def test_file_cut_short_is_named_with_what_makes_it(name: str, tmp_path: Path) -> None:
    save_features(tmp_path, _cache(), {})
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[:-3])
    with pytest.raises(InputError, match=rf"{name} is damaged.*Make it again with: {MADE_BY}"):
        load_features(tmp_path, made_by=MADE_BY)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [-1, -10, -20])
def test_flipped_bit_in_the_features_is_detected(name: str, place: int, tmp_path: Path) -> None:
    save_features(tmp_path, _cache(), {})
    content = bytearray((tmp_path / name).read_bytes())
    content[place] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name} is damaged: its content does not match its checksum"):
        load_features(tmp_path, made_by=MADE_BY)


# Extraction


def _image_set(count: int, side: tuple[int, int] = (24, 16), seed: int = 0) -> ImageSet:
    """Random pictures, taller or wider in turn, two classes."""
    generator = np.random.default_rng(seed)
    pictures = [
        Image.fromarray(generator.integers(0, 256, (*side[:: -1 if index % 2 else 1], 3), dtype=np.uint8))
        for index in range(count)
    ]
    return ImageSet(
        classes=("cat", "dog"),
        labels=torch.arange(count) % 2,
        names=tuple(str(index) for index in range(count)),
        decode=lambda index: pictures[index],
    )


@pytest.fixture
def feature_spec(params: Callable[..., Params]) -> Callable[..., FeatureSettings]:
    """`feature_spec(real_rounds=1)`: images of 16 pixels, seen at 12, two rounds of both kinds."""

    return lambda **changes: params(
        resolution=16, input_size=12, probe={"full_view_rounds": 2}, **{"real_rounds": 2, **changes}
    ).features()


Spec = Callable[..., FeatureSettings]
Backbone = Callable[..., FrozenBackbone]


def test_centre_features_are_those_of_the_centre_crop(feature_spec: Spec, tiny_backbone: Backbone) -> None:
    splits, backbone = (_image_set(130), _image_set(7, seed=1)), tiny_backbone()  # more than one batch
    cache = extract_features(backbone, splits, feature_spec(), seed=0)
    for images, features, labels in zip(
        splits, (cache.train, cache.test), (cache.train_labels, cache.test_labels), strict=True
    ):
        pixels = squares(images, list(range(len(images))), 16)
        torch.testing.assert_close(features, backbone(center_crop(pixels, 12)))
        assert torch.equal(labels, images.labels)
    assert cache.classes == ("cat", "dog")


def test_rounds_are_named_views_of_square_images(feature_spec: Spec, tiny_backbone: Backbone) -> None:
    train, test = _image_set(9, (16, 16)), _image_set(3, seed=1)
    spec, backbone = feature_spec(), tiny_backbone()
    cache = extract_features(backbone, (train, test), spec, seed=5)
    assert cache.real_views.shape == (2, 9, 5)
    assert cache.full_views.shape == (2, 9, 5)
    pixels = squares(train, list(range(9)), 16)
    for kind, rounds, augment in (
        ("real", cache.real_views, spec.augment),
        ("full", cache.full_views, spec.full_augment),
    ):
        for number in range(2):
            assert not isinstance(augment, str)
            views = draw_views(9, augment, named_generator(5, "view", f"{kind} {number}"))
            expected = backbone(view(pixels, views, 12, augment))
            torch.testing.assert_close(rounds[number], expected)


def test_every_round_and_seed_is_another_view(feature_spec: Spec, tiny_backbone: Backbone) -> None:
    splits, backbone = (_image_set(6), _image_set(2)), tiny_backbone()
    cache, other = (extract_features(backbone, splits, feature_spec(), seed=seed) for seed in (0, 1))
    rounds = [*cache.real_views, *cache.full_views, *other.real_views, *other.full_views]
    for number, one in enumerate(rounds):
        assert not any(torch.allclose(one, another, atol=1e-4) for another in rounds[number + 1 :])
    assert torch.equal(cache.train, other.train)


def test_without_augmentation_the_real_views_are_the_centre_features(
    feature_spec: Spec, tiny_backbone: Backbone
) -> None:
    splits = (_image_set(6), _image_set(2))
    cache = extract_features(tiny_backbone(), splits, feature_spec(augment="none"), seed=0)
    assert cache.real_views.shape == (1, 6, 5)
    assert torch.equal(cache.real_views[0], cache.train)
    assert cache.full_views.shape == (2, 6, 5)


@pytest.mark.parametrize("rounds", [1, 3])
def test_number_of_gradient_rounds_does_not_shift_the_other_views(
    rounds: int, feature_spec: Spec, tiny_backbone: Backbone
) -> None:
    splits, backbone = (_image_set(6), _image_set(2)), tiny_backbone()
    usual = extract_features(backbone, splits, feature_spec(), seed=0)
    other = extract_features(backbone, splits, feature_spec(real_rounds=rounds), seed=0)
    common = min(rounds, 2)
    assert torch.equal(other.train, usual.train)
    assert torch.equal(other.real_views[:common], usual.real_views[:common])
    assert torch.equal(other.full_views, usual.full_views)


def test_worker_processes_change_nothing(feature_spec: Spec, tiny_backbone: Backbone) -> None:
    splits, backbone = (_image_set(6), _image_set(2)), tiny_backbone()
    alone, helped = (
        extract_features(backbone, splits, feature_spec(), seed=0, workers=workers) for workers in (0, 2)
    )
    for name in TENSORS:
        assert torch.equal(getattr(alone, name), getattr(helped, name)), name


def test_extraction_is_repeatable_and_leaves_the_global_random_state_alone(
    feature_spec: Spec, tiny_backbone: Backbone
) -> None:
    splits, backbone = (_image_set(6), _image_set(2)), tiny_backbone()
    first, again = (extract_features(backbone, splits, feature_spec(), seed=0) for _ in range(2))
    assert torch.equal(first.real_views, again.real_views)
    assert torch.equal(first.full_views, again.full_views)


def test_progress_counts_every_image(feature_spec: Spec, tiny_backbone: Backbone) -> None:
    done: list[int] = []
    splits = (_image_set(130), _image_set(7))
    extract_features(tiny_backbone(), splits, feature_spec(), seed=0, progress=done.append)
    assert sum(done) == 137


def test_features_need_no_gradient(feature_spec: Spec, tiny_backbone: Backbone) -> None:
    cache = extract_features(tiny_backbone(), (_image_set(3), _image_set(2)), feature_spec(), seed=0)
    assert not cache.train.requires_grad
    assert cache.train.dtype == torch.float32


class _Broken(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3)) / 0


def test_features_that_are_not_finite_are_refused(feature_spec: Spec) -> None:
    backbone = FrozenBackbone(_Broken(), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    with pytest.raises(InputError, match="features are not finite; check its checkpoint"):
        extract_features(backbone, (_image_set(3), _image_set(2)), feature_spec(), seed=0)


def test_an_undecodable_image_stops_the_extraction(feature_spec: Spec, tiny_backbone: Backbone) -> None:
    def fail(index: int) -> Image.Image:
        raise InputError("train/cat/1.png cannot be decoded as an image")

    broken = replace(_image_set(3), decode=fail)
    with pytest.raises(InputError, match=r"train/cat/1\.png"):
        extract_features(tiny_backbone(), (broken, _image_set(2)), feature_spec(), seed=0)


def test_facts_tell_settings_apart(feature_spec: Spec) -> None:
    facts = feature_facts(feature_spec(), 3)
    assert facts["seed"] == 3
    assert facts["settings"]["resolution"] == 16
    assert facts == feature_facts(feature_spec(), 3)
    assert facts != feature_facts(feature_spec(real_rounds=3), 3)
