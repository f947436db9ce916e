"""Evaluation of image sets where the right answer is known: the backbone sees nothing but mean colours."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from lgm_core.evaluation.full_data import evaluate_full
from lgm_core.evaluation.neighbors import find_neighbors
from lgm_core.evaluation.probe import hold_out
from lgm_core.evaluation.small_sets import LabeledImages, evaluate_sets, real_baselines
from lgm_core.features.augment import center_crop
from lgm_core.features.cache import FeatureCache
from lgm_core.images import ImageSet, squares
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.evaluation import ProbeSettings
from lgm_core.settings.params import Params

SIDE = 12
PURE = torch.eye(3)
Probe = Callable[..., ProbeSettings]


@pytest.fixture
def probe(params: Callable[..., Params]) -> Probe:
    """`probe(patience=3)`: a short probe of a batch of 12 with a high learning rate."""
    small = {
        "epochs": 20,
        "full_epochs": 20,
        "batch_size": 12,
        "learning_rate": 2.0,
        "view_rounds": 3,
        "seeds": 2,
    }
    return lambda **changes: params(probe={**small, **changes}).probe


@pytest.fixture
def backbone() -> FrozenBackbone:
    """Mean colour, from -1 to 1 in every channel."""
    return FrozenBackbone(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), (0.5,) * 3, (0.5,) * 3)


def plain(colors: Tensor, side: int = SIDE) -> Tensor:
    """Images of one colour each, [n, 3, side, side]."""
    return colors[:, :, None, None].expand(-1, -1, side, side).contiguous()


def colors_of(labels: Tensor, spread: float, seed: int) -> Tensor:
    """Colours near their class's pure one."""
    noise = torch.rand(len(labels), 3, generator=torch.Generator().manual_seed(seed)) * spread
    return (PURE[labels % 3] * (1 - spread) + noise).clamp(0, 1)


def cache_of(
    backbone: FrozenBackbone, *, count: int = 60, spread: float = 0.3, classes: int = 3, rounds: int = 2
) -> FeatureCache:
    """A data set of plain colours; separable, unless the spread is wide."""
    labels = torch.arange(classes).repeat_interleave(count // classes)
    train, test = (backbone(plain(colors_of(labels, spread, seed))) for seed in (1, 2))
    names = tuple(f"class {number}" for number in range(classes))
    return FeatureCache(names, train, labels, test, labels, train[None], train.repeat(rounds, 1, 1))


DISTILLED = LabeledImages(plain(PURE), torch.arange(3))


def evaluated(
    backbone: FrozenBackbone,
    cache: FeatureCache,
    sets: dict[str, list[LabeledImages]],
    spec: ProbeSettings,
    seed: int = 0,
) -> dict[str, dict[str, list[float]]]:
    return evaluate_sets(backbone, cache, sets, spec, input_size=SIDE, seed=seed)


def test_separable_classes_are_all_found(backbone: FrozenBackbone, probe: Probe) -> None:
    found = evaluated(backbone, cache_of(backbone), {"distilled": [DISTILLED]}, probe())
    all_right = {key: [100.0, 100.0] for key in ("top1", "balanced", "worst_group")}
    assert found == {"distilled": {**all_right, "nearest_neighbor": [100.0]}}


def test_labels_swapped_in_training_find_the_swapped_classes(backbone: FrozenBackbone, probe: Probe) -> None:
    swapped = LabeledImages(DISTILLED.images, torch.tensor([1, 0, 2]))
    found = evaluated(backbone, cache_of(backbone), {"distilled": [swapped]}, probe())["distilled"]
    assert found["top1"] == pytest.approx([100 / 3, 100 / 3])
    assert found["nearest_neighbor"] == pytest.approx([100 / 3])


def test_test_labels_without_meaning_are_met_by_chance(backbone: FrozenBackbone, probe: Probe) -> None:
    cache = cache_of(backbone, count=900)
    shuffled = cache.test_labels[torch.randperm(900, generator=torch.Generator().manual_seed(0))]
    blind = FeatureCache(**{**vars(cache), "test_labels": shuffled})
    found = evaluated(backbone, blind, {"distilled": [DISTILLED]}, probe())["distilled"]
    # Chance is 33.3 with a standard deviation of 1.6 over 900 images.
    assert all(26 < value < 41 for value in found["top1"] + found["nearest_neighbor"])


def test_one_set_is_probed_with_every_seed_and_several_with_one_each(
    backbone: FrozenBackbone, probe: Probe
) -> None:
    sets = {"distilled": [DISTILLED], "random": [DISTILLED] * 4}
    done: list[int] = []
    found = evaluate_sets(
        backbone,
        cache_of(backbone),
        sets,
        probe(seeds=3, epochs=2),
        input_size=SIDE,
        seed=0,
        progress=done.append,
    )
    assert {name: len(runs["top1"]) for name, runs in found.items()} == {"distilled": 3, "random": 4}
    assert {name: len(runs["nearest_neighbor"]) for name, runs in found.items()} == {
        "distilled": 1,
        "random": 4,
    }
    assert done == [1] * 5


@pytest.mark.parametrize(
    ("classes", "measures"), [(4, {"top1"}), (5, {"top1", "top5"}), (6, {"top1", "top5"})]
)
def test_top5_is_told_from_five_classes_on(
    backbone: FrozenBackbone, probe: Probe, classes: int, measures: set[str]
) -> None:
    cache = cache_of(backbone, classes=classes)
    labels = torch.arange(classes)
    sets = {"distilled": [LabeledImages(plain(PURE[labels % 3]), labels)]}
    found = evaluated(backbone, cache, sets, probe(epochs=2))["distilled"]
    assert set(found) == measures | {"nearest_neighbor", "balanced", "worst_group"}
    if classes == 5:
        assert found["top5"] == [100.0, 100.0]


def hard(backbone: FrozenBackbone) -> tuple[FeatureCache, dict[str, list[LabeledImages]]]:
    """A problem whose accuracies depend on every random draw: overlapping classes, few training images."""
    labels = torch.arange(3).repeat(2)
    random = [LabeledImages(plain(colors_of(labels, 0.95, 10 + number)), labels) for number in range(2)]
    distilled = LabeledImages(plain(colors_of(labels, 0.9, 20)), labels)
    return cache_of(backbone, count=300, spread=0.9), {"distilled": [distilled], "random": random}


def test_a_seed_decides_every_number(backbone: FrozenBackbone, probe: Probe) -> None:
    cache, sets = hard(backbone)
    spec = probe(epochs=6, learning_rate=0.5)
    first, again, other = (evaluated(backbone, cache, sets, spec, seed) for seed in (1, 1, 2))
    assert first == again
    assert first["distilled"]["top1"] != other["distilled"]["top1"]
    assert first["distilled"]["nearest_neighbor"] == other["distilled"]["nearest_neighbor"]
    assert len(set(first["distilled"]["top1"])) > 1


def test_another_set_beside_it_does_not_shift_the_numbers(backbone: FrozenBackbone, probe: Probe) -> None:
    cache, sets = hard(backbone)
    spec = probe(epochs=6, learning_rate=0.5)
    together = evaluated(backbone, cache, sets, spec)
    alone = evaluated(backbone, cache, {"distilled": sets["distilled"]}, spec)
    assert alone["distilled"] == together["distilled"]
    swapped = evaluated(backbone, cache, dict(reversed(sets.items())), spec)
    assert swapped == together


def test_more_views_than_fit_at_once_are_the_same_views(
    backbone: FrozenBackbone, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, sets = hard(backbone)
    spec = probe(epochs=6, learning_rate=0.5)
    whole = evaluated(backbone, cache, sets, spec)
    monkeypatch.setattr("lgm_core.evaluation.small_sets._VIEWS_AT_ONCE", 5)
    assert evaluated(backbone, cache, sets, spec) == whole


def test_patience_stops_when_nothing_improves_any_more(
    backbone: FrozenBackbone, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    step = torch.optim.Adam.step
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self: steps.append(1) or step(self))
    cache = cache_of(backbone, spread=0.1)
    spec = probe(patience=3, holdout=0.5, epochs=50)
    found = evaluated(backbone, cache, {"distilled": [DISTILLED]}, spec)
    # One batch is one epoch. Both heads are perfect within a few, then three more bring nothing.
    assert found["distilled"]["top1"] == [100.0, 100.0]
    assert 4 <= len(steps) < 20


def test_patience_keeps_the_best_head_and_not_the_last(
    backbone: FrozenBackbone, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []

    def learn_then_forget(self: torch.optim.Adam) -> None:
        steps.append(1)
        (heads,) = self.param_groups[0]["params"]
        heads[:, :, :3] = PURE if len(steps) <= 2 else -PURE

    monkeypatch.setattr(torch.optim.Adam, "step", learn_then_forget)
    found = evaluated(backbone, cache_of(backbone), {"distilled": [DISTILLED]}, probe(patience=5, epochs=20))
    assert found["distilled"]["top1"] == [100.0, 100.0]
    assert len(steps) == 1 + 5


def test_the_distilled_images_own_neighbors_are_found_again(
    backbone: FrozenBackbone,
) -> None:
    labels = torch.arange(3).repeat_interleave(5)
    # Every picture, 16 × 12 pixels, has in its middle the colour that surrounds the next one of its class.
    palette = ("red", "lime", "blue", "yellow", "magenta")
    pictures = [Image.new("RGB", (16, SIDE), palette[number % 5]) for number in range(15)]
    for number, picture in enumerate(pictures):
        picture.paste(palette[(number + 1) % 5], (6, 4, 10, 8))
    train = ImageSet(("r", "g", "b"), labels, tuple(map(str, range(15))), lambda index: pictures[index])
    images = squares(train, list(range(15)), SIDE)
    features = backbone(center_crop(images, 10))
    cache = FeatureCache(train.classes, features, labels, features, labels, features[None], features[None])
    numbers = [3, 0, 12, 7, 9]
    distilled = LabeledImages(images[numbers], labels[numbers])
    chosen = {"centroids": [[1, 6, 11]], "random": [[0, 5, 10], [4, 9, 14]]}
    near = find_neighbors(backbone, cache, distilled.images, distilled.labels, 10)
    found = real_baselines(train, near.numbers, chosen, SIDE)
    assert list(found) == ["neighbors", "centroids", "random"]
    assert len(found["neighbors"]) == 1
    assert torch.equal(found["neighbors"][0].images, distilled.images)
    assert torch.equal(found["neighbors"][0].labels, distilled.labels)
    for draw, numbers in zip(found["random"], chosen["random"], strict=True):
        assert torch.equal(draw.images, images[numbers])
        assert draw.labels.tolist() == [0, 1, 2]


def test_a_neighbor_is_of_its_own_class(backbone: FrozenBackbone) -> None:
    labels = torch.arange(3)
    pictures = [Image.new("RGB", (SIDE, SIDE), color) for color in ("red", "lime", "blue")]
    train = ImageSet(("r", "g", "b"), labels, ("0", "1", "2"), lambda index: pictures[index])
    features = backbone(squares(train, [0, 1, 2], SIDE))
    cache = FeatureCache(train.classes, features, labels, features, labels, features[None], features[None])
    wrongly_blue = LabeledImages(plain(PURE[[2, 2, 2]]), labels)
    found = find_neighbors(backbone, cache, wrongly_blue.images, labels, SIDE)
    assert torch.equal(found.numbers, labels)
    assert found.similarities[2] == pytest.approx(1)
    assert found.similarities[:2].max() < 1


# All real images


def test_all_images_of_separable_classes_reach_everything(backbone: FrozenBackbone, probe: Probe) -> None:
    found = evaluate_full(cache_of(backbone), probe(seeds=3), seed=0)
    majority = found.pop("majority")
    assert majority == {
        "top1": pytest.approx(100 / 3),
        "balanced": pytest.approx(100 / 3),
        "worst_group": 0.0,
    }
    full = {key: [100.0] * 3 for key in ("top1", "balanced", "worst_group")}
    assert found == {"full": full, "nearest_class_mean": 100.0, "ridge": 100.0}


def test_the_full_probe_is_decided_by_its_seed(backbone: FrozenBackbone, probe: Probe) -> None:
    cache, _ = hard(backbone)
    spec = probe(full_epochs=3, learning_rate=0.2)
    first, again, other = (evaluate_full(cache, spec, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first["full"] != other["full"]
    assert first["nearest_class_mean"] == other["nearest_class_mean"]


def test_the_full_probe_does_not_train_on_what_it_validates_with(
    backbone: FrozenBackbone, probe: Probe
) -> None:
    cache = cache_of(backbone)
    spec = probe(patience=3, holdout=0.25)
    kept, validation = hold_out(cache.train, cache.train_labels, spec, 0)
    assert validation is not None
    assert (len(kept), len(validation.labels)) == (45, 15)
    views = cache.full_views.clone()
    views[:, [number for number in range(60) if number not in set(kept.tolist())]] = torch.nan
    spoilt = FeatureCache(**{**vars(cache), "full_views": views})
    assert evaluate_full(spoilt, spec, seed=0)["full"]["top1"] == [100.0, 100.0]
