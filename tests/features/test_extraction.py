"""Real images become features once: the cache is what the backbone sees, whoever decodes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from lgm_core.features import extraction
from lgm_core.features.augment import center_crop, draw_views, view
from lgm_core.features.cache import FeatureCache
from lgm_core.features.extraction import extract_features, extract_test, extract_train, feature_facts
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.seeds import named_generator
from lgm_core.images import ImageSet, squares
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import FeatureSettings
from lgm_core.settings.params import Params

TENSORS = ("train", "train_labels", "test", "test_labels", "real_views", "full_views")


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


def test_centre_features_are_exact_and_those_of_views_as_precise_as_the_backbone(
    feature_spec: Spec, tiny_backbone: Backbone
) -> None:
    splits, rough = (_image_set(6), _image_set(5, seed=1)), tiny_backbone()
    rough.autocast_dtype = torch.bfloat16
    expected, found = (
        extract_features(backbone, splits, feature_spec(), seed=0) for backbone in (tiny_backbone(), rough)
    )
    for name in ("train", "test"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    for name in ("real_views", "full_views"):
        difference = (getattr(found, name) - getattr(expected, name)).abs().amax(dim=(1, 2))
        assert (difference > 0).all(), name
        assert (difference < 0.1).all(), name


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


@pytest.mark.slow
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
    before = torch.get_rng_state()
    first, again = (extract_features(backbone, splits, feature_spec(), seed=0) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
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


class _Stream:
    """A queue of a GPU that notes what is asked of it."""

    def __init__(self, name: str, events: list[str]) -> None:
        self.name, self.events = name, events

    def __enter__(self) -> None:
        self.events.append("copying aside")

    def __exit__(self, *error: object) -> None:
        self.events.append("computing")

    def wait_stream(self, other: _Stream) -> None:
        self.events.append(f"{self.name} waits for {other.name}")


def test_a_gpu_gets_the_next_batch_aside_and_waits_for_it_before_it_computes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: list[str] = []
    main, aside = _Stream("main", events), _Stream("aside", events)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: aside)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: main)
    monkeypatch.setattr(Tensor, "to", lambda self, device, non_blocking: self)
    monkeypatch.setattr(
        Tensor, "record_stream", lambda self, stream: events.append(f"kept for {stream.name}")
    )
    batches = [(3, torch.zeros(2)), (4, torch.ones(1))]
    found = list(extraction._uploaded(batches, torch.device("cuda")))
    assert [number for number, _ in found] == [3, 4]
    assert [len(pixels) for _, pixels in found] == [2, 1]
    assert events == ["copying aside", "computing", "main waits for aside", "kept for main"] * 2


# One half of a cache


Pair = tuple[FeatureCache, FeatureCache]


@pytest.fixture
def halves(feature_spec: Spec, tiny_backbone: Backbone) -> Callable[..., Pair]:
    """`halves(augment="none")`: a whole cache, and its training part by itself."""

    def extract(**changes: object) -> Pair:
        spec, backbone, train = feature_spec(**changes), tiny_backbone(), _image_set(6)
        whole = extract_features(backbone, (train, _image_set(2)), spec, seed=4)
        return whole, extract_train(backbone, train, spec, seed=4)

    return extract


@pytest.mark.parametrize("changes", [{}, {"augment": "none"}, {"real_rounds": 1}])
def test_the_training_part_is_that_of_the_whole_cache(
    changes: dict[str, object], halves: Callable[..., Pair]
) -> None:
    whole, part = halves(**changes)
    for name in ("train", "train_labels", "real_views"):
        assert torch.equal(getattr(part, name), getattr(whole, name)), name
    assert part.classes == whole.classes
    assert part.test.shape == (0, 5)
    assert part.test_labels.shape == (0,)
    assert part.full_views.shape == (0, 6, 5)


def test_the_test_part_is_that_of_the_whole_cache(feature_spec: Spec, tiny_backbone: Backbone) -> None:
    spec, backbone = feature_spec(), tiny_backbone()
    test = replace(_image_set(5), groups=torch.tensor([0, 1, 1, 0, 2]), group_names=("a", "b", "c"))
    whole = extract_features(backbone, (_image_set(6), test), spec, seed=4)
    done: list[int] = []
    part = extract_test(backbone, test, spec, progress=done.append)
    for name in ("test", "test_labels", "test_groups"):
        assert torch.equal(getattr(part, name), getattr(whole, name)), name
    assert part.group_names == whole.group_names == ("a", "b", "c")
    assert part.train.shape == (0, 5)
    assert part.real_views.shape == (1, 0, 5)
    assert part.full_views.shape == (0, 0, 5)
    assert sum(done) == 5


def test_one_half_opens_no_image_of_the_other(feature_spec: Spec, tiny_backbone: Backbone) -> None:
    images, opened = _image_set(5), []
    noting = replace(images, decode=lambda index: opened.append(index) or images.decode(index))
    extract_test(tiny_backbone(), noting, feature_spec())
    assert opened == list(range(5))
    opened.clear()
    extract_train(tiny_backbone(), noting, feature_spec(), seed=0)
    assert opened == list(range(5))


@pytest.mark.slow
def test_processes_that_decode_change_neither_half(feature_spec: Spec, tiny_backbone: Backbone) -> None:
    """What decodes may be anything, a function of a function too: forked workers take it with them."""
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system cannot fork")
    spec, backbone, images = feature_spec(), tiny_backbone(), _image_set(6)
    for extract in (
        lambda workers: extract_train(backbone, images, spec, seed=0, workers=workers),
        lambda workers: extract_test(backbone, images, spec, workers=workers),
    ):
        alone, helped = extract(0), extract(1)
        for entry in fields(FeatureCache):
            one, other = getattr(alone, entry.name), getattr(helped, entry.name)
            assert torch.equal(one, other) if isinstance(one, Tensor) else one == other, entry.name
