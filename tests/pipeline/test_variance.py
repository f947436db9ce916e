"""Settings are compared on held-out training images, over several distillations, and never on test images."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from toy_project import ROOT, toy_settings, write_checkpoints, write_dataset

from benchmarks import variance
from benchmarks.held_out import cut, held_out
from benchmarks.measure import Measured
from benchmarks.variance import (
    Bench,
    Candidate,
    Point,
    at_equal_time,
    draw,
    last_points,
    main,
    parsed,
    summary,
    varied,
)
from lgm_core.data import sources
from lgm_core.features.cache import FeatureCache
from lgm_core.features.extraction import extract_features
from lgm_core.foundation.errors import InputError, SettingError
from lgm_core.images import ImageSet
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import MethodSettings
from lgm_core.settings.params import Params

SIZES = {"ant": 8, "bee": 12, "cow": 2}


def _shade(index: int) -> Image.Image:
    return Image.new("RGB", (8, 8), (index, 0, 0))


def _images() -> ImageSet:
    labels = torch.tensor([label for label, size in enumerate(SIZES.values()) for _ in range(size)])
    names = tuple(f"train/{number}" for number in range(len(labels)))
    return ImageSet(tuple(SIZES), labels, names, _shade, labels % 2, ("even", "odd"))


# The split


def test_a_cut_keeps_what_belongs_to_an_image_together() -> None:
    few = cut(_images(), [3, 9, 21])
    assert few.names == ("train/3", "train/9", "train/21")
    assert few.labels.tolist() == [0, 1, 2]
    assert few.groups is not None
    assert few.groups.tolist() == [0, 1, 0]
    assert [few.decode(place).getpixel((0, 0))[0] for place in range(3)] == [3, 9, 21]  # type: ignore[index]


def test_every_image_is_on_one_side_and_every_class_on_both_by_its_share() -> None:
    images = _images()
    fit, held = held_out(images, 0.25, seed=0)
    assert sorted((*fit.names, *held.names)) == sorted(images.names)
    assert held.labels.bincount().tolist() == [2, 3, 1]
    assert fit.labels.bincount().tolist() == [6, 9, 1]
    assert fit.classes == held.classes == images.classes


def test_the_split_depends_on_the_seed_alone_and_a_class_on_no_other() -> None:
    first = held_out(_images(), 0.25, seed=0)[1].names
    assert held_out(_images(), 0.25, seed=0)[1].names == first
    assert held_out(_images(), 0.25, seed=1)[1].names != first
    ants = [number for number, label in enumerate(_images().labels.tolist()) if label == 0]
    bees = [number for number, label in enumerate(_images().labels.tolist()) if label > 0]
    less = cut(_images(), ants[:4] + bees)
    held = {name for name in held_out(less, 0.25, seed=0)[1].names if int(name[6:]) >= len(ants)}
    assert held == {name for name in first if int(name[6:]) >= len(ants)}


def test_a_class_of_one_image_is_named() -> None:
    with pytest.raises(InputError, match="Class cow has 1 training images"):
        held_out(cut(_images(), list(range(21))), 0.25, seed=0)


# The whole benchmark


@pytest.fixture
def toy(empty_project: Path) -> Path:
    """A suite of little of everything, with its data and weights."""
    write_dataset(empty_project / "data" / "blobs")
    settings = toy_settings(write_checkpoints(empty_project))
    path = empty_project / "toy.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture
def touched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes every image that is decoded or becomes features; a test split cannot be opened."""
    seen: list[str] = []
    load, decode = sources.load_images, sources.decode_file

    def load_training(source: Any, split: str, data_root: Path) -> ImageSet:
        assert split == "train", "the test split was opened"
        return load(source, split, data_root)

    def noted(path: Path) -> Image.Image:
        seen.append(path.as_posix())
        return decode(path)

    def extracted(backbone: Any, splits: tuple[ImageSet, ImageSet], *rest: Any, **more: Any) -> FeatureCache:
        assert not set(splits[0].names) & set(splits[1].names)
        assert all(name.startswith("train/") for part in splits for name in part.names)
        return extract_features(backbone, splits, *rest, **more)

    for place in ("lgm_core.data.sources", "benchmarks.held_out"):
        monkeypatch.setattr(f"{place}.load_images", load_training)
    monkeypatch.setattr("lgm_core.data.sources.decode_file", noted)
    monkeypatch.setattr("benchmarks.held_out.extract_features", extracted)
    return seen


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


SMALL = ["--epochs", "4", "--out", "docs"]


def test_no_test_image_or_feature_is_touched(
    toy: Path, touched: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ways = {"few": {"head_draws": 1, "real_batch": 5}, "all": {"head_draws": 2, "real_batch": "all"}}
    monkeypatch.setattr(variance, "WAYS", ways)
    shutil.rmtree("data/blobs/test")
    main(["--suite", str(toy), "--seeds", "2", "--seconds", "0.01", *SMALL])
    assert len(touched) == 18
    assert all("/blobs/train/" in path for path in touched)
    points = _read(Path("docs/variance.csv"))
    assert {(point["candidate"], point["distillation"]) for point in points} == {
        (way, number) for way in ways for number in "01"
    }
    assert Path("docs/variance.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "Suite toy: blobs, vit, at equal time; 2 distillations each" in printed
    assert all(f"| {way} |" in printed for way in ways)


@pytest.mark.parametrize(
    ("vary", "steps"), [(["steps", "2", "5"], ["2", "5"]), (["real_rounds", "1", "3"], ["4", "4"])]
)
def test_a_setting_is_varied_at_its_own_steps(
    toy: Path, touched: list[str], vary: list[str], steps: list[str]
) -> None:
    main(["--suite", str(toy), "--seeds", "1", *SMALL, "--vary", *vary])
    points = _read(Path(f"docs/variance_{vary[0]}.csv"))
    last = {point["candidate"]: point["steps"] for point in points}
    assert list(last) == [f"{vary[0]} {value}" for value in vary[1:]]
    assert list(last.values()) == steps
    assert all(0 <= float(point["top1"]) <= 100 for point in points)


def test_a_suites_variants_are_compared_with_its_own_settings(toy: Path, touched: list[str]) -> None:
    shutil.rmtree("data/blobs/test")
    main(["--suite", str(toy), "--seeds", "1", *SMALL, "--variants", "recipes"])
    points = _read(Path("docs/variance_toy_recipes.csv"))
    assert list(dict.fromkeys(point["candidate"] for point in points)) == ["the settings' own", "means"]


@pytest.mark.parametrize("group", ["nonesuch", "ipc"])
def test_a_group_that_cannot_be_compared_is_named(toy: Path, group: str) -> None:
    with pytest.raises(
        SettingError, match=r"--variants is 'nonesuch'; allowed: one of|variants\.ipc\.two_clusters"
    ):
        main(["--suite", str(toy), "--variants", group])


def test_shapes_and_lite0_of_the_embedded_suite_are_the_default(params: Callable[..., Params]) -> None:
    asked = parsed([])
    assert (asked.suite.name, asked.dataset, asked.backbone) == ("embedded.yaml", None, None)
    assert (next(iter(params().datasets)), next(iter(params().backbones))) == ("shapes", "lite0")
    assert (asked.seeds, asked.share) == (3, 0.25)


def test_a_data_set_that_the_suite_does_not_name_is_told(toy: Path) -> None:
    with pytest.raises(InputError, match="--dataset is 'cars'; allowed: one of blobs, birds"):
        main(["--suite", str(toy), "--dataset", "cars"])


def test_a_setting_without_values_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(["--vary", "steps"])
    assert "--vary steps needs values" in capsys.readouterr().err


# Candidates


def _bench(backbone: FrozenBackbone, settings: Params) -> Bench:
    features = torch.randn(3, 12, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(12) % 3
    cache = FeatureCache(("a", "b", "c"), features[0], labels, features[1], labels, features, features[:0])
    return Bench(backbone, cache, settings.probe, seed=0)


@pytest.fixture
def bench(tiny_backbone: Callable[..., FrozenBackbone], params: Callable[..., Params]) -> Bench:
    """Random features of twelve images in three rounds, quick probes."""
    return _bench(tiny_backbone(), params(probe={"epochs": 2, "seeds": 2, "view_rounds": 2}))


@pytest.fixture
def small(method: Callable[..., MethodSettings]) -> MethodSettings:
    """Four steps at eight pixels."""
    return method(resolution=8, input_size=8, steps=4, growth_interval=2, aug_rounds=1, head_draws=1)


def test_a_bank_of_fewer_rounds_is_the_first_of_the_cached_ones(bench: Bench, small: MethodSettings) -> None:
    candidates = varied(small, 9, "real_rounds", [1, 2])
    one, two = (bench.distiller(candidate, 0).members[0].bank for candidate in candidates)
    assert torch.equal(one.views, bench.cache.real_views[:1])
    assert torch.equal(two.views, bench.cache.real_views[:2])


def test_other_settings_keep_the_suites_rounds(small: MethodSettings) -> None:
    found = varied(small, 2, "head_std", [0.1, 1])
    assert [(one.name, one.method.head_std, one.rounds) for one in found] == [
        ("head_std 0.1", 0.1, 2),
        ("head_std 1", 1.0, 2),
    ]


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("stepz", 3, "unknown key stepz"),
        ("steps", 0, "from 1"),
        ("real_rounds", 0, "from 1"),
        ("ipc", 2, "share"),
    ],
)
def test_what_cannot_be_varied_is_told(small: MethodSettings, key: str, value: int, told: str) -> None:
    with pytest.raises(InputError, match=told):
        varied(small, 2, key, [value])


def test_rounds_are_not_varied_where_views_are_not_drawn(method: Callable[..., MethodSettings]) -> None:
    with pytest.raises(InputError, match="without augmentation"):
        varied(method(augment="none"), 2, "real_rounds", [1, 2])


def test_cheaper_ways_make_more_steps_in_the_same_time_and_grow_at_the_same_shares(
    bench: Bench, method: Callable[..., MethodSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variance, "WAYS", {"cheap": {"head_draws": 1}, "dear": {"head_draws": 2}})
    times = {"cheap": Measured(0.1, 0), "dear": Measured(0.2, 0)}
    monkeypatch.setattr(variance, "interleaved", lambda trials, **how: {name: times[name] for name in trials})
    spec = method(resolution=8, input_size=8, steps=20, growth_interval=4)
    cheap, dear = at_equal_time(bench, spec, 2, seconds=10)
    assert (cheap.method.steps, dear.method.steps) == (100, 50)
    assert (cheap.method.growth_interval, dear.method.growth_interval) == (20, 10)


def test_distillations_differ_by_number_and_are_the_same_draws_for_all_candidates(
    bench: Bench, small: MethodSettings
) -> None:
    one, again, other = (
        bench.curve(Candidate(name, small, 2), number) for name, number in (("a", 0), ("b", 0), ("a", 1))
    )
    assert [point.steps for point in one] == [1, 2, 3, 4]
    assert [point.top1 for point in one] == [point.top1 for point in again]
    starts = [bench.distiller(Candidate("", small, 2), number).state.images.levels[0] for number in (0, 1)]
    assert not torch.equal(*starts)
    assert {point.draw for point in other} == {1}
    assert [point.seconds for point in one] == sorted(point.seconds for point in one)


# What is printed and drawn


POINTS = [
    Point("one", 0, 4, 1.0, 10.0), Point("one", 0, 8, 2.0, 40.0), Point("two", 0, 6, 2.0, 30.0),
    Point("one", 1, 4, 1.0, 12.0), Point("one", 1, 8, 2.2, 44.0), Point("two", 1, 6, 2.0, 30.0),
]  # fmt: skip


def test_a_table_has_every_candidate_by_the_ends_of_its_distillations() -> None:
    assert [end.top1 for end in last_points(POINTS)["one"]] == [40.0, 44.0]
    rows = summary(POINTS).splitlines()[2:]
    assert rows == ["| one | 8 | 2 | 2 | 42.0 ± 2.8 |", "| two | 6 | 2 | 2 | 30.0 ± 0.0 |"]


def test_one_distillation_has_no_deviation() -> None:
    assert summary(POINTS[:3]).splitlines()[2] == "| one | 8 | 2 | 1 | 40.0 |"


def test_the_figure_is_a_picture(tmp_path: Path) -> None:
    draw(POINTS, "Suite toy: blobs", tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("points", "page"),
    [
        ("variance", "docs/parameters.md"),
        ("variance_steps", "docs/parameters.md"),
        ("variance_real_rounds", "benchmarks/README.md"),
    ],
)
def test_the_tables_of_the_pages_are_those_of_the_kept_points(points: str, page: str) -> None:
    rows = _read(ROOT / "docs" / f"{points}.csv")
    kept = [
        Point(
            row["candidate"],
            int(row["distillation"]),
            int(row["steps"]),
            float(row["seconds"]),
            float(row["top1"]),
        )
        for row in rows
    ]
    assert summary(kept) in (ROOT / page).read_text(encoding="utf-8")
