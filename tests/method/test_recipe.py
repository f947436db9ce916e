"""One call from a torch data set and a module of one's own to a distilled set, through interruptions too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from method.toy_runs import assert_same
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

import lgm_core
from lgm_core import DistilledSet, FrozenBackbone, ImageSet, MethodSettings, distill
from lgm_core.features.extraction import extract_train
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.provenance import versions
from lgm_core.foundation.seeds import derive_seed
from lgm_core.method import identity, recipe
from lgm_core.method.distiller import Distiller, Member
from lgm_core.method.real import real_bank
from lgm_core.settings.method import CheckpointSettings, FeatureSettings

CLASSES = ("red", "green", "blue")
METHOD = MethodSettings.paper(
    steps=7, aug_rounds=2, growth_interval=2, resolution=16, input_size=12, head_draws=2
)


class ColoredNoise(Dataset[tuple[Tensor, int]]):
    """Twelve images of 20 × 18 pixels in three colors, as a program of one's own may have them."""

    def __init__(self) -> None:
        self.classes = list(CLASSES)
        self.targets = [number % len(CLASSES) for number in range(12)]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        noise = torch.rand(3, 18, 20, generator=torch.Generator().manual_seed(index))
        label = self.targets[index]
        return 0.4 * noise + 0.6 * torch.eye(3)[label][:, None, None], label


def own_backbone(seed: int = 0) -> FrozenBackbone:
    """A small module with random weights, frozen for images of 12 × 12 pixels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2),
            nn.BatchNorm2d(8),
            nn.Tanh(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
        )
    return lgm_core.freeze(model, ((0.5,) * 3, (0.25,) * 3), input_size=12)


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return ImageSet.of(ColoredNoise())


@pytest.fixture(scope="module")
def whole(images: ImageSet) -> DistilledSet:
    """What an uninterrupted run gives."""
    return distill(own_backbone(), images, METHOD, seed=3)


def test_a_data_set_and_a_module_of_ones_own_give_one_image_per_class(whole: DistilledSet) -> None:
    assert whole.images.shape == (3, 3, 16, 16)
    assert 0 < whole.images.min() < whole.images.max() < 1
    assert whole.labels.tolist() == [0, 1, 2]
    assert whole.classes == CLASSES
    assert len(whole.losses) == 7
    assert whole.facts == {"method": asdict(METHOD), "seed": 3, "versions": versions()}


def test_it_is_a_set_that_can_be_saved_and_loaded(whole: DistilledSet, tmp_path: Path) -> None:
    whole.save(tmp_path / "set")
    found = lgm_core.load_distilled(tmp_path / "set")
    assert torch.equal(found.images, whole.images)
    assert torch.equal(found.labels_in(CLASSES), whole.labels)


def test_a_data_set_without_lists_of_labels_and_classes_will_do(whole: DistilledSet) -> None:
    noise = ColoredNoise()
    pixels = torch.stack([noise[number][0] for number in range(len(noise))])
    plain = ImageSet.of(TensorDataset(pixels, torch.tensor(noise.targets)), CLASSES)
    assert_same(distill(own_backbone(), plain, METHOD, seed=3), whole)


def test_same_seed_gives_the_same_bits_and_another_seed_does_not(
    images: ImageSet, whole: DistilledSet
) -> None:
    torch.randn(3)
    assert_same(distill(own_backbone(), images, METHOD, seed=3), whole)
    other = distill(own_backbone(), images, METHOD, seed=4)
    assert not torch.allclose(other.images, whole.images, atol=1e-2)


@pytest.mark.parametrize("changes", [{}, {"augment": "none"}, {"ipc": 2, "real_batch": 5}])
def test_it_is_the_recipe_by_hand(changes: dict[str, object], images: ImageSet) -> None:
    """Features of the training images, a bank of them, a distiller with a seed of its own."""
    method, backbone = MethodSettings.paper(**{**asdict(METHOD), **changes}), own_backbone()
    features = FeatureSettings(16, 12, method.augment, 2, 0, MethodSettings.paper().augment)
    cache = extract_train(backbone, images, features, seed=5)
    by_hand = Distiller(
        Member(backbone, real_bank(cache, method)), method, seed=derive_seed(5, "distill")
    ).run()
    assert_same(distill(backbone, images, method, seed=5, real_rounds=2), by_hand)


def test_several_backbones_distil_together(images: ImageSet) -> None:
    nets = [own_backbone(0), own_backbone(1)]
    told: list[int] = []
    found = distill(nets, images, METHOD, seed=4, real_rounds=2, features_done=told.append)
    assert sum(told) == 2 * 12
    alone = distill(nets[0], images, METHOD, seed=4, real_rounds=2)
    assert not torch.equal(found.images, alone.images)
    same = distill(nets[:1], images, METHOD, seed=4, real_rounds=2)
    assert_same(same, alone)


@pytest.mark.parametrize("changes", [{"slots": "clusters"}, {"init": "real"}], ids=["slots", "real"])
def test_clusters_and_real_starts_are_made_on_the_way(changes: dict[str, Any], images: ImageSet) -> None:
    method = replace(METHOD, ipc=2, **changes)
    found = distill(own_backbone(), images, method, seed=4, real_rounds=2)
    assert found.images.shape == (6, 3, 16, 16)
    assert found.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert_same(distill(own_backbone(), images, method, seed=4, real_rounds=2), found)


def test_progress_of_features_and_steps_is_told(images: ImageSet, whole: DistilledSet) -> None:
    done: list[int] = []
    steps: list[tuple[int, float]] = []
    distill(
        own_backbone(),
        images,
        METHOD,
        seed=3,
        features_done=done.append,
        step_done=lambda step, loss: steps.append((step, loss)),
    )
    assert sum(done) == 12
    assert steps == list(enumerate(whole.losses))


@pytest.mark.slow
def test_the_matching_gets_better(images: ImageSet) -> None:
    method = MethodSettings.paper(
        **{**asdict(METHOD), "steps": 60, "growth_interval": 15, "learning_rate": 0.05}
    )
    losses = distill(own_backbone(), images, method).losses
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


# Interruptions


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints come every two steps; the code, which takes long to read, is taken for the same."""
    monkeypatch.setattr(identity, "distilling_code", lambda: "code")
    monkeypatch.setattr(recipe, "_CHECKPOINTS", CheckpointSettings(steps=2, minutes=1000.0))


Interrupt = Callable[..., None]


@pytest.fixture
def interrupt(images: ImageSet, tmp_path: Path, often: None) -> Interrupt:
    """`interrupt(step)`: a run that somebody stops when it tells of that step."""

    def run(last: int, method: MethodSettings = METHOD) -> None:
        def stop(step: int, loss: float) -> None:
            if step == last:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            distill(own_backbone(), images, method, seed=3, checkpoints=tmp_path, step_done=stop)

    return run


def _again(images: ImageSet, folder: Path, method: MethodSettings = METHOD) -> tuple[DistilledSet, list[int]]:
    """The run once more, and the steps that it made itself."""
    steps: list[int] = []
    found = distill(
        own_backbone(),
        images,
        method,
        seed=3,
        checkpoints=folder,
        step_done=lambda step, loss: steps.append(step),
    )
    return found, steps


@pytest.mark.parametrize(("stop", "first"), [(0, 0), (1, 0), (2, 2), (3, 2), (5, 4), (6, 6)])
@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_bits(
    stop: int, first: int, interrupt: Interrupt, images: ImageSet, whole: DistilledSet, tmp_path: Path
) -> None:
    interrupt(stop)
    found, steps = _again(images, tmp_path)
    assert_same(found, whole)
    assert steps == list(range(first, 7))
    assert not list(tmp_path.rglob("step-*"))


def test_a_run_may_be_interrupted_again_and_again(
    interrupt: Interrupt, images: ImageSet, whole: DistilledSet, tmp_path: Path
) -> None:
    for stop in (3, 4, 6):
        interrupt(stop)
    found, steps = _again(images, tmp_path)
    assert_same(found, whole)
    assert steps == [6]


def test_a_run_of_other_settings_does_not_go_on_from_it(
    interrupt: Interrupt, images: ImageSet, tmp_path: Path
) -> None:
    interrupt(5)
    other = MethodSettings.paper(**{**asdict(METHOD), "learning_rate": 0.01})
    found, steps = _again(images, tmp_path, other)
    assert steps == list(range(7))
    assert_same(found, distill(own_backbone(), images, other, seed=3))
    assert list(tmp_path.rglob("step-*"))  # the other run's are still there


def test_without_a_folder_nothing_is_written(images: ImageSet, tmp_path: Path, often: None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        distill(own_backbone(), images, METHOD)
    assert not list(tmp_path.iterdir())


# What cannot be used


def test_more_real_images_than_there_are_is_refused(images: ImageSet) -> None:
    method = MethodSettings.paper(**{**asdict(METHOD), "real_batch": 13})
    with pytest.raises(InputError, match="real_batch is 13; allowed: up to 12"):
        distill(own_backbone(), images, method)


def test_a_backbone_prepared_for_another_size_is_refused(images: ImageSet) -> None:
    model = nn.Sequential(Conv2dSame(3, 4, 3, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    backbone = lgm_core.freeze(model, ((0.5,) * 3, (0.25,) * 3), input_size=8)
    with pytest.raises(InputError, match=r"given another.*Load it with that input_size"):
        distill(backbone, images, METHOD)
