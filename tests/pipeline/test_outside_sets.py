"""Sets and statistics that go in and out of a suite: outside sets by name, exports, class sums."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from toy_project import BACKBONES, COLORS, DATASET, ENSEMBLE, LAYOUT, run

import lgm_core
from lgm_core import load_distilled
from lgm_core.distilled import DistilledSet
from lgm_core.foundation.errors import InputError, SettingError
from lgm_core.foundation.store import read_json, write_png
from lgm_core.images import squares
from lgm_core.method.statistics import load_statistics
from lgm_core.reporting.results import Results
from stages.distilled import selected
from stages.params import read_params
from stages.reading import training_images
from stages.work import Work

pytestmark = pytest.mark.slow

SOURCE = BACKBONES[0]
Project = dict[str, Any]


@pytest.fixture
def medoids(project: Project) -> DistilledSet:
    """The k-means medoids of the data set, as a set."""
    work = Work.on(read_params(), LAYOUT, DATASET, SOURCE)
    (numbers,) = selected(work, work.members()[0], 1)["medoids"]
    train = training_images(work, SOURCE)
    side = work.params.method.resolution
    return DistilledSet(squares(train, numbers, side), train.labels[numbers], train.classes)


def told(text: str) -> dict[str, str]:
    """Measure → what was printed of it."""
    return {line.split()[0]: line.split()[1] for line in text.splitlines() if line.split()[1:]}


def judged(name: str) -> float:
    """What the judges' table has of 1-NN with a training set, which draws nothing."""
    found = read_json(LAYOUT.cell(DATASET, SOURCE).judged)
    ((percent,),) = found["targets"][SOURCE][name]["nearest_neighbor"]
    return percent


@pytest.mark.parametrize("form", ["folders", "a set in another order"])
def test_medoids_from_outside_score_as_inside_whatever_the_order_of_their_classes(
    form: str, medoids: DistilledSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside"
    if form == "folders":
        named = zip(medoids.images, (medoids.classes[label] for label in medoids.labels), strict=True)
        for image, name in reversed(list(named)):
            write_png(outside / name / "one.png", image)
    else:
        order = torch.tensor([2, 0, 1])
        classes = tuple(medoids.classes[number] for number in order)
        DistilledSet(medoids.images[order], torch.arange(3), classes).save(outside)
    run("probe_images", str(outside), SOURCE, DATASET)
    shown = told(capsys.readouterr().out)
    assert float(shown["nearest_neighbor"]) == pytest.approx(judged("medoids"), abs=0.005)
    assert {"share", "ior", "hlr", "lrs"} <= {*shown}


def test_measures_of_an_outside_set_by_hand(
    medoids: DistilledSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    medoids.save(tmp_path / "outside")
    run("probe_images", str(tmp_path / "outside"), SOURCE, DATASET)
    shown = told(capsys.readouterr().out)
    own = LAYOUT.cell(DATASET, SOURCE)
    sets = read_json(own.probe)["targets"][SOURCE]["random"]["top1"]
    random = sum(sum(runs) / len(runs) for runs in sets) / len(sets)
    full = read_json(own.baselines)["full"]["top1"]
    top1 = float(shown["top1"])
    assert float(shown["ior"]) == pytest.approx(top1 - random, abs=0.06)
    assert float(shown["hlr"]) == pytest.approx(sum(full) / len(full) - top1, abs=0.06)


def test_more_images_than_the_random_ones_have_no_measures(
    medoids: DistilledSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twice = DistilledSet(
        medoids.images.repeat_interleave(2, 0), medoids.labels.repeat_interleave(2), medoids.classes
    )
    twice.save(tmp_path / "outside")
    run("probe_images", str(tmp_path / "outside"), SOURCE, DATASET)
    assert "no measures: the set has 2 images per class" in capsys.readouterr().out


def test_a_folder_with_an_unknown_class_is_refused(medoids: DistilledSet, tmp_path: Path) -> None:
    for image, name in zip(medoids.images, ("blue", "green", "purple"), strict=True):
        write_png(tmp_path / "outside" / name / "one.png", image)
    with pytest.raises(InputError, match=r"only in the set: \['purple'\], only in the data set: \['red'\]"):
        run("probe_images", str(tmp_path / "outside"), SOURCE, DATASET)


def test_an_ensembles_set_is_exported_with_all_its_members(project: Project, tmp_path: Path) -> None:
    run("export", DATASET, ENSEMBLE, str(tmp_path / "release"))
    card = (tmp_path / "release/README.md").read_text(encoding="utf-8")
    assert f"# {DATASET} distilled for {' + '.join(BACKBONES)}" in card
    assert "timm:test_vit, timm:test_efficientnet" in card
    assert load_distilled(tmp_path / "release").classes == tuple(COLORS)


def test_a_small_export_says_what_made_it_and_gets_a_line_on_the_page(
    project: Project, tmp_path: Path
) -> None:
    folder = tmp_path / "releases" / DATASET / SOURCE
    run("export", DATASET, SOURCE, str(folder), "small", "cifar10")
    card = (folder / "README.md").read_text(encoding="utf-8")
    for told in (
        f"make suite NAME={read_params().suite}\ndvc repro probe@{DATASET}-{SOURCE}\n",
        f"python -m stages.export {DATASET} {SOURCE} {folder} --size small --terms cifar10\n",
        "floats rounded to 16 bits", "(CIFAR-10)", f"Made by version {lgm_core.__version__} of ",
    ):  # fmt: skip
        assert told in card
    assert {path.name for path in folder.glob("time_lapse*")} <= {"time_lapse.webp"}
    run("releases", str(tmp_path / "releases"))
    found = load_distilled(folder)
    probe = found.facts["accuracies"][SOURCE]["probe"]
    assert tuple(probe["runs"]) == Results(LAYOUT).transfer(DATASET, SOURCE, SOURCE).runs
    page = (tmp_path / "releases/README.md").read_text(encoding="utf-8")
    assert f"| [{DATASET}]({DATASET}/{SOURCE}/README.md) | {SOURCE} |" in page
    assert f"| {probe['mean']:.1f}" in page
    assert f"| {probe['mean']:.1f}" in card


@pytest.mark.parametrize(("size", "terms"), [("tiny", ""), ("", "cifra10")])
def test_an_export_of_no_known_size_or_terms_is_refused(
    project: Project, tmp_path: Path, size: str, terms: str
) -> None:
    with pytest.raises(InputError, match=r"--(size|terms) is '(tiny|cifra10)'; allowed: "):
        run("export", DATASET, SOURCE, str(tmp_path / "release"), size, terms)
    assert not (tmp_path / "release").exists()


def test_statistics_of_the_feature_cache(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "some.safetensors"
    run("statistics", DATASET, SOURCE, str(path))
    work = Work.on(read_params(), LAYOUT, DATASET, SOURCE)
    cache = work.members()[0].cache
    found = load_statistics(path)
    assert (found.classes, found.owners) == (cache.classes, ({},))
    for label, (sums, count) in enumerate(zip(found.sums, found.counts, strict=True)):
        own = cache.real_views[:, cache.train_labels == label].double()
        assert count == own.shape[1]
        torch.testing.assert_close(sums, own.mean(dim=0).sum(dim=0))
    with pytest.raises(InputError, match="exists; give a new file"):
        run("statistics", DATASET, SOURCE, str(path))


def test_statistics_with_noise_are_refused_by_name_before_anything_is_written(
    project: Project, tmp_path: Path
) -> None:
    path = tmp_path / "some.safetensors"
    with pytest.raises(InputError, match="'blue' has 6"):
        run("statistics", DATASET, SOURCE, str(path), "1", "0.1", "5")
    with pytest.raises(SettingError, match=r"--epsilon is 2\.0; allowed: above 0"):
        run("statistics", DATASET, SOURCE, str(path), "2", "0.1", "5")
    with pytest.raises(SettingError, match=r"--norm is ''; allowed: a number"):
        run("statistics", DATASET, SOURCE, str(path), "1", "0.1", "")
    with pytest.raises(InputError, match=r"must end in \.safetensors"):
        run("statistics", DATASET, SOURCE, str(tmp_path / "some.pt"))
    assert not path.exists()
