"""A probe on any image set needs no training images, and takes a distilled set's classes by their names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from evaluation.plain_colors import DISTILLED, PURE, SIDE, colors_of, plain
from PIL import Image
from torch import nn

from lgm_core.distilled import DistilledSet
from lgm_core.evaluation.small_sets import LabeledImages, evaluate_sets, probe
from lgm_core.features.extraction import extract_test
from lgm_core.foundation.errors import InputError
from lgm_core.images import ImageSet
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.evaluation import ProbeSettings
from lgm_core.settings.params import Params

CLASSES = ("red", "lime", "blue")
Probe = Callable[..., ProbeSettings]


@pytest.fixture
def sized() -> FrozenBackbone:
    """Mean colour, prepared for images of one size."""
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return FrozenBackbone(model, (0.5,) * 3, (0.5,) * 3, input_size=SIDE)


@pytest.fixture
def test_images() -> ImageSet:
    """Twelve test images, four shades of every colour."""
    labels = torch.arange(3).repeat_interleave(4)
    pixels = (colors_of(labels, 0.3, 1) * 255).byte().tolist()
    return ImageSet(
        CLASSES,
        labels,
        tuple(map(str, range(12))),
        lambda index: Image.new("RGB", (SIDE + 3, SIDE), tuple(pixels[index])),
    )


@pytest.fixture
def measured(
    sized: FrozenBackbone, test_images: ImageSet, short_probe: Probe
) -> Callable[..., dict[str, list[float]]]:
    """`measured(images)`: the accuracies of a probe on those images."""
    return lambda images, **how: probe(sized, images, test_images, short_probe(), **how)


def test_labeled_images_are_taken_as_they_are(measured: Callable[..., dict[str, list[float]]]) -> None:
    all_right = {key: [100.0, 100.0] for key in ("top1", "balanced", "worst_group")}
    assert measured(DISTILLED) == {**all_right, "nearest_neighbor": [100.0]}
    swapped = LabeledImages(DISTILLED.images, torch.tensor([1, 0, 2]))
    assert measured(swapped)["nearest_neighbor"] == [pytest.approx(100 / 3)]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_classes_of_bare_folders_are_found_by_their_names(
    measured: Callable[..., dict[str, list[float]]], order: tuple[int, ...]
) -> None:
    named = DistilledSet(
        plain(PURE[list(order)]), torch.arange(3), tuple(CLASSES[number] for number in order)
    )
    found = measured(named)
    assert found["top1"] == [100.0, 100.0]
    assert found["nearest_neighbor"] == [100.0]
    assert found == measured(LabeledImages(named.images, torch.tensor(order)))


def test_a_set_that_says_what_made_it_is_matched_by_name_too(
    measured: Callable[..., dict[str, list[float]]],
) -> None:
    made = DistilledSet(plain(PURE), torch.arange(3), CLASSES, {"dataset": "colours"})
    turned = replace(made, images=made.images.flip(0), classes=CLASSES[::-1])
    assert measured(turned)["nearest_neighbor"] == measured(made)["nearest_neighbor"] == [100.0]


def test_other_classes_are_refused_and_named(measured: Callable[..., dict[str, list[float]]]) -> None:
    other = DistilledSet(plain(PURE), torch.arange(3), ("red", "lime", "cyan"))
    with pytest.raises(InputError, match=r"only in the set: \['cyan'\], only in the data set: \['blue'\]"):
        measured(other)
    fewer = DistilledSet(plain(PURE[:2]), torch.arange(2), CLASSES[:2])
    with pytest.raises(InputError, match=r"only in the data set: \['blue'\]"):
        measured(fewer)


def test_a_class_without_an_image_is_refused(measured: Callable[..., dict[str, list[float]]]) -> None:
    with pytest.raises(InputError, match="no image of 'blue'"):
        measured(DistilledSet(plain(PURE[:2]), torch.arange(2), CLASSES))


def test_the_numbers_are_those_of_an_evaluation_with_the_test_features(
    sized: FrozenBackbone, test_images: ImageSet, short_probe: Probe, params: Callable[..., Params]
) -> None:
    spec = short_probe(epochs=3, learning_rate=0.5)
    features = params(resolution=SIDE, input_size=SIDE).features()
    cache = extract_test(sized, test_images, features)
    hard = LabeledImages(plain(colors_of(torch.arange(6), 0.95, 4)), torch.arange(6) % 3)
    expected = evaluate_sets(sized, cache, {"images": [hard]}, spec, input_size=SIDE, seed=5)["images"]
    assert {
        measure: [runs] for measure, runs in probe(sized, hard, test_images, spec, seed=5).items()
    } == expected


def test_nothing_is_held_out_for_the_final_epoch_counts(
    sized: FrozenBackbone, test_images: ImageSet, short_probe: Probe
) -> None:
    patient, final = (probe(sized, DISTILLED, test_images, short_probe(patience=turns)) for turns in (3, 0))
    assert patient == final


def test_groups_of_the_test_images_count(
    sized: FrozenBackbone, test_images: ImageSet, short_probe: Probe
) -> None:
    swapped = LabeledImages(DISTILLED.images, torch.tensor([0, 2, 1]))
    grouped = replace(test_images, groups=torch.zeros(12, dtype=torch.long), group_names=("all",))
    found = probe(sized, swapped, grouped, short_probe())
    assert found["worst_group"] == pytest.approx(found["top1"])
    assert found["top1"] == pytest.approx([100 / 3] * 2)
    assert probe(sized, swapped, test_images, short_probe())["worst_group"] == [0.0, 0.0]


def test_progress_counts_the_test_images(measured: Callable[..., dict[str, list[float]]]) -> None:
    done: list[int] = []
    measured(DISTILLED, progress=done.append)
    assert sum(done) == 12


def test_a_backbone_for_images_of_any_size_says_how_to_prepare_it(
    backbone: FrozenBackbone, test_images: ImageSet, short_probe: Probe
) -> None:
    with pytest.raises(InputError, match=r"prepare it for one with freeze\(\)"):
        probe(backbone, DISTILLED, test_images, short_probe())
