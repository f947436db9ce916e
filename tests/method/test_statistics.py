"""Class sums instead of images: what they are, that they add up, what they promise, what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from method.toy_runs import CLASSES, WIDTH, assert_same, color_bank

from lgm_core.foundation.errors import DamagedFileError, InputError, MissingFileError, SettingError
from lgm_core.foundation.store import write_tensors
from lgm_core.method.distiller import Distiller, Member
from lgm_core.method.real import RealBank
from lgm_core.method.recipe import distill_statistics
from lgm_core.method.statistics import (
    ClassStatistics,
    Privacy,
    added,
    class_statistics,
    load_statistics,
    statistics_bank,
)
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import MethodSettings

Make = Callable[..., MethodSettings]
Backbone = Callable[..., FrozenBackbone]
ASKED = Privacy(epsilon=0.5, delta=1e-5, norm=2.0)


def part_of(bank: RealBank, numbers: list[int]) -> RealBank:
    """The bank of some of the images."""
    return replace(bank, views=bank.views[:, numbers], labels=bank.labels[numbers])


@pytest.fixture
def means(small: Make) -> MethodSettings:
    return small(objective="means")


@pytest.fixture
def net(tiny_backbone: Backbone) -> FrozenBackbone:
    return tiny_backbone(WIDTH)


def test_sums_and_counts_by_hand(tiny_backbone: Backbone, means: MethodSettings) -> None:
    net = tiny_backbone(2)
    views = torch.tensor([[[1.0, 2], [3, 4], [5, 6]], [[3, 2], [5, 4], [7, 6]]])
    bank = RealBank(views, torch.tensor([1, 0, 1]), ("cat", "dog"))
    found = class_statistics(bank, net, means)
    assert found.classes == ("cat", "dog")
    assert found.counts.tolist() == [1, 2]
    # The mean over the two views of every image, added up: cat (4, 4); dog (2, 2) + (6, 6).
    assert found.sums.tolist() == [[4, 4], [8, 8]]
    assert found.owners == ({},)


def test_two_files_distil_what_the_images_distil(
    net: FrozenBackbone, means: MethodSettings, tmp_path: Path
) -> None:
    bank = color_bank(net)
    for name, numbers in (("one", [0, 1, 2, 3]), ("two", [4, 5, 6, 7, 8, 9, 10, 11])):
        class_statistics(part_of(bank, numbers), net, means).save(tmp_path / f"{name}.safetensors")
    whole = added([load_statistics(tmp_path / f"{name}.safetensors") for name in ("one", "two")])
    assert whole.counts.tolist() == bank.labels.bincount().tolist()
    given = statistics_bank(whole, net, means)
    from_sums = Distiller(Member(net, given), means, seed=3).run()
    from_images = Distiller(Member(net, bank), means, seed=3).run()
    torch.testing.assert_close(from_sums.images, from_images.images, rtol=0, atol=1e-5)
    assert from_sums.losses == pytest.approx(from_images.losses, abs=1e-6)
    assert from_sums.classes == CLASSES


def test_classes_add_up_by_name(net: FrozenBackbone, means: MethodSettings) -> None:
    bank = color_bank(net)
    turned = torch.tensor([2, 0, 1])  # red, green, blue → places in (green, blue, red)
    other = replace(bank, labels=turned[bank.labels], classes=("green", "blue", "red"))
    both = added([class_statistics(bank, net, means), _shifted(class_statistics(other, net, means))])
    one = class_statistics(bank, net, means)
    assert both.classes == CLASSES
    assert both.counts.tolist() == (2 * one.counts).tolist()
    torch.testing.assert_close(both.sums, 2 * one.sums + 1)


def _shifted(found: ClassStatistics) -> ClassStatistics:
    return replace(found, sums=found.sums + 1)


def test_owners_of_different_classes_add_up(net: FrozenBackbone, means: MethodSettings) -> None:
    one = RealBank(torch.ones(1, 2, WIDTH), torch.tensor([0, 1]), ("cat", "dog"))
    two = RealBank(torch.full((1, 2, WIDTH), 2.0), torch.tensor([0, 1]), ("dog", "emu"))
    both = added([class_statistics(one, net, means), class_statistics(two, net, means)])
    assert both.classes == ("cat", "dog", "emu")
    assert both.counts.tolist() == [1, 2, 1]
    assert both.sums[:, 0].tolist() == [1, 3, 2]


def test_the_same_file_twice_is_refused(net: FrozenBackbone, means: MethodSettings) -> None:
    found = class_statistics(color_bank(net), net, means)
    with pytest.raises(InputError, match="given twice"):
        added([found, found])


def test_other_views_or_another_backbone_do_not_add_up(
    net: FrozenBackbone, means: MethodSettings, tiny_backbone: Backbone
) -> None:
    found = class_statistics(color_bank(net), net, means)
    other_views = replace(found, sums=found.sums + 1, views={**found.views, "resolution": 99})
    with pytest.raises(InputError, match="views of file 2 were made by"):
        added([found, other_views])
    other = tiny_backbone(WIDTH, seed=5)
    with pytest.raises(InputError, match="Files 1 and 2 are of different backbones"):
        added([found, class_statistics(color_bank(other), other, means)])
    with pytest.raises(InputError, match="statistics are of another backbone"):
        statistics_bank(found, other, means)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"objective": "gradient"}, "objective"),
        ({"slots": "clusters"}, "slots"),
        ({"init": "real"}, "init"),
        ({"resolution": 12}, "resolution"),
    ],
)
def test_a_method_that_needs_more_is_refused(
    changes: dict[str, object], key: str, net: FrozenBackbone, means: MethodSettings
) -> None:
    found = class_statistics(color_bank(net), net, means)
    with pytest.raises(SettingError) as error:
        statistics_bank(found, net, replace(means, **changes))
    assert error.value.key == key


# Noise


def test_the_spread_of_noisy_class_means_is_the_formulas(
    tiny_backbone: Backbone, means: MethodSettings
) -> None:
    width = 400
    net = tiny_backbone(width)
    counts = torch.tensor([800, 1600, 3200])
    labels = torch.arange(3).repeat_interleave(counts)
    views = torch.randn(1, len(labels), width, generator=torch.Generator().manual_seed(0)) * 0.01
    bank = RealBank(views, labels, CLASSES)
    exact = class_statistics(bank, net, means)
    spreads = []
    for _ in range(10):
        noisy = class_statistics(bank, net, means, ASKED)
        noise = (noisy.sums - exact.sums) / counts[:, None]
        spreads.append(noise.square().mean(dim=1))
    found = torch.stack(spreads).mean(dim=0).sqrt()
    formula = (2 * 2.0 / counts) * math.sqrt(2 * math.log(1.25 / 1e-5)) / 0.5
    # 4,000 draws a class: their standard deviation is known to 1.1 %; five of these.
    torch.testing.assert_close(found / formula, torch.ones(3, dtype=found.dtype), atol=0.056, rtol=0)


def test_noise_is_never_the_same_twice(net: FrozenBackbone, means: MethodSettings) -> None:
    bank = RealBank(torch.zeros(1, 900, WIDTH), torch.arange(900) % 3, CLASSES)
    one, other = (class_statistics(bank, net, means, ASKED).sums for _ in range(2))
    assert (one != other).all()


def test_no_image_counts_for_more_than_the_norm(tiny_backbone: Backbone, means: MethodSettings) -> None:
    net = tiny_backbone(2)
    views = torch.zeros(2, 900, 2)
    views[:, 0] = torch.tensor([[300.0, 400], [0.3, 0.4]])
    bank = RealBank(views, torch.arange(900) % 3, CLASSES)
    found = class_statistics(bank, net, means, ASKED, normal=lambda: 0.0)
    # (300, 400) is clipped to norm 2, (0.3, 0.4) stays; their mean is what image 0 gives.
    torch.testing.assert_close(found.sums[0], torch.tensor([0.75, 1.0], dtype=torch.float64))
    assert found.owners == ({"epsilon": 0.5, "delta": 1e-5, "norm": 2.0},)


def test_a_class_with_too_few_images_is_named(net: FrozenBackbone, means: MethodSettings) -> None:
    width = 9
    fewest = math.ceil(3 * 2 * math.sqrt(2 * math.log(1.25 / 1e-5)) / 0.5)
    assert ASKED.fewest(width) == fewest
    labels = torch.arange(3).repeat_interleave(torch.tensor([fewest, fewest - 1, fewest + 5]))
    bank = RealBank(torch.zeros(1, len(labels), width), labels, CLASSES)
    with pytest.raises(InputError) as error:
        class_statistics(bank, net, means, ASKED)
    told = str(error.value)
    assert f"'green' has {fewest - 1}" in told
    assert "epsilon 0.5" in told
    assert "red" not in told
    assert "blue" not in told


def test_a_class_without_images_has_no_mean(net: FrozenBackbone, means: MethodSettings) -> None:
    bank = RealBank(torch.zeros(1, 2, 4), torch.tensor([0, 2]), CLASSES)
    with pytest.raises(InputError, match="'green' has 0"):
        class_statistics(bank, net, means)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("epsilon", value) for value in (0.0, 1.01, math.nan)),
        *(("delta", value) for value in (0.0, 1.0)),
        *(("norm", value) for value in (0.0, math.inf)),
    ],
)
def test_promises_that_the_formula_does_not_keep_are_refused(key: str, value: float) -> None:
    with pytest.raises(SettingError) as error:
        Privacy(**{"epsilon": 0.5, "delta": 1e-5, "norm": 1.0, key: value})
    assert error.value.key == key


# Files


def test_a_file_reads_back(net: FrozenBackbone, means: MethodSettings, tmp_path: Path) -> None:
    bank = RealBank(torch.rand(2, 900, WIDTH), torch.arange(900) % 3, CLASSES)
    found = class_statistics(bank, net, means, ASKED)
    found.save(tmp_path / "some.safetensors")
    back = load_statistics(tmp_path / "some.safetensors")
    assert torch.equal(back.sums, found.sums)
    assert torch.equal(back.counts, found.counts)
    assert torch.equal(back.reference, found.reference)
    assert (back.classes, back.views, back.owners) == (found.classes, found.views, found.owners)


@pytest.mark.parametrize("fault", ["nan", "float", "twice", "short", "empty", "promise", "nobody", "other"])
def test_a_file_of_something_else_is_refused(fault: str, tmp_path: Path) -> None:
    sums = torch.ones(3, 2, dtype=torch.float64)
    tensors = {"sums": sums, "counts": torch.ones(3, dtype=torch.int64), "reference": torch.ones(2)}
    views = {"resolution": 8, "input_size": 8, "augment": "none"}
    facts = {"classes": list(CLASSES), "views": views, "owners": [{}]}
    path = tmp_path / "some.safetensors"
    write_tensors(path, tensors, facts)
    assert load_statistics(path).classes == CLASSES
    changed: dict[str, tuple[dict[str, torch.Tensor], dict[str, object]]] = {
        "nan": ({"sums": sums * math.nan}, {}),
        "float": ({"counts": torch.ones(3)}, {}),
        "twice": ({}, {"classes": ["red", "red", "blue"]}),
        "short": ({"sums": sums[:2]}, {}),
        "empty": ({"counts": torch.zeros(3, dtype=torch.int64)}, {}),
        "promise": ({}, {"owners": [{"epsilon": 7.0, "delta": 0.1, "norm": 1.0}]}),
        "nobody": ({}, {"owners": []}),
        "other": ({}, {"views": {}}),
    }
    new, told = changed[fault]
    write_tensors(path, {**tensors, **new}, {**facts, **told})
    with pytest.raises(DamagedFileError, match="holds no class sums"):
        load_statistics(path)


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        load_statistics(tmp_path / "none.safetensors")


def test_the_recipe_goes_on_after_an_interruption_and_tells_the_promise(
    net: FrozenBackbone, means: MethodSettings, tmp_path: Path
) -> None:
    found = class_statistics(color_bank(net), net, means)
    whole = distill_statistics(net, found, means, seed=1)
    assert whole.facts["statistics"] == {"images": 12, "owners": [{}]}

    def stop(step: int, loss: float) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill_statistics(net, found, means, seed=1, checkpoints=tmp_path / "go", step_done=stop)
    again = distill_statistics(net, found, means, seed=1, checkpoints=tmp_path / "go")
    assert_same(again, whole)
