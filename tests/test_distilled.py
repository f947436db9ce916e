"""A distilled set comes back exactly, is read from bare folders too, and serves only the classes it is of."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lgm_core.distilled import DistilledSet, class_folders, image_grid, load_distilled, picture_names
from lgm_core.foundation.belonging import INPUTS
from lgm_core.foundation.errors import DamagedFileError, InputError, MissingFileError, StaleFileError
from lgm_core.foundation.layout import Layout
from lgm_core.foundation.provenance import versions
from lgm_core.foundation.store import write_tensors
from lgm_core.settings.method import MethodSettings
from stages import advice
from stages.distilled import distilled_set

CLASSES = ("cat", "dog")
FACTS: dict[str, Any] = {"dataset": "pets", "source": "vit", "variant": "", "seed": 3, "seconds": 1.5}


def distilled(classes: tuple[str, ...] = CLASSES, ipc: int = 2) -> DistilledSet:
    """Random images of every class, with facts and losses."""
    images = torch.rand(len(classes) * ipc, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(len(classes)).repeat_interleave(ipc)
    return DistilledSet(images, labels, classes, FACTS, (0.75, 0.5, 0.123456789))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the stage `distill@pets-vit` of a suite in `tmp_path` puts its set."""
    layout = Layout(tmp_path, "embedded")
    monkeypatch.setattr(advice, "read_params", lambda: None)
    monkeypatch.setattr(advice, "read_layout", lambda params: layout)
    return layout.cell("pets", "vit").distilled


# Written and read


def test_images_and_labels_come_back_bit_by_bit(folder: Path) -> None:
    distilled().save(folder)
    found = load_distilled(folder)
    assert torch.equal(found.images, distilled().images)
    assert found.images.dtype == torch.float32
    assert torch.equal(found.labels, torch.tensor([0, 0, 1, 1]))
    assert (found.classes, found.facts) == (CLASSES, FACTS)


def test_a_folder_may_be_a_text(folder: Path) -> None:
    distilled().save(str(folder))
    assert torch.equal(load_distilled(str(folder)).images, distilled().images)


def test_pngs_are_the_images_rounded_to_eight_bits(folder: Path) -> None:
    distilled().save(folder)
    paths = [folder / "images" / name / f"{number}.png" for name in CLASSES for number in range(2)]
    assert sorted((folder / "images").rglob("*.png")) == sorted(paths)
    assert distilled().pictures() == [path.relative_to(folder).as_posix() for path in paths]
    for path, image in zip(paths, distilled().images, strict=True):
        with Image.open(path) as opened:
            assert opened.mode == "RGB"
            pixels = torch.from_numpy(np.array(opened)).permute(2, 0, 1) / 255
        assert (pixels - image).abs().max() <= 0.5 / 255 + 1e-6


def test_history_and_settings_say_what_happened(folder: Path, method: Callable[..., MethodSettings]) -> None:
    made = {**FACTS, "method": asdict(method(ipc=2)), "versions": versions()}
    replace(distilled(), facts=made).save(folder)
    with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["step"], float(row["loss"])) for row in rows] == [("0", 0.75), ("1", 0.5), ("2", 0.123457)]
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    assert settings["method"] == json.loads(json.dumps(asdict(method(ipc=2))))
    assert {key: settings[key] for key in FACTS} == FACTS
    assert settings["versions"] == versions()
    assert settings["versions"]["torch"] == torch.__version__
    assert settings["classes"] == list(CLASSES)
    assert settings["pictures"] == distilled().pictures()


def test_grid_shows_all_images(folder: Path) -> None:
    distilled().save(folder)
    with Image.open(folder / "grid.png") as opened:
        assert opened.size == (4 * 128 + 3 * 2, 128)


def test_saving_again_replaces_the_whole_folder(folder: Path) -> None:
    distilled(("cat", "dog", "fox")).save(folder)
    (folder / "stray.txt").write_text("from an older version", encoding="utf-8")
    distilled().save(folder)
    assert not (folder / "stray.txt").exists()
    assert not (folder / "images" / "fox").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["vit"]


def test_a_failure_on_the_way_leaves_the_old_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distilled().save(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def stopped(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lgm_core.distilled.write_json", stopped)
    with pytest.raises(KeyboardInterrupt):
        distilled(("cat", "dog", "fox")).save(folder)
    assert {path: path.read_bytes() for path in folder.parent.rglob("*") if path.is_file()} == before


# Refused


def test_a_missing_or_damaged_set_names_the_command(folder: Path) -> None:
    with pytest.raises(MissingFileError, match=r"vit is missing\.$") as missing:
        load_distilled(folder)
    assert advice.explained(missing.value).endswith("Make it with: dvc repro distill@pets-vit")
    distilled().save(folder)
    path = folder / "images.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match="damaged") as damaged:
        load_distilled(folder)
    assert advice.explained(damaged.value).endswith("Make it again with: dvc repro -f distill@pets-vit")


def test_pictures_alone_do_not_stand_for_the_exact_images(folder: Path) -> None:
    """A result without its tensors is damaged; its pictures are rounded."""
    distilled().save(folder)
    (folder / "images.safetensors").unlink()
    with pytest.raises(MissingFileError, match=r"images\.safetensors is missing"):
        load_distilled(folder)


@pytest.mark.parametrize(
    ("images", "labels", "reason"),
    [
        (torch.rand(4, 3, 2, 2), [0, 0, 1, 2], "labels beyond its 2 classes"),
        (torch.rand(4, 3, 2, 2), [0, 0, 1, -1], "no labelled images"),
        (torch.rand(3, 3, 2, 2), [0, 0, 1, 1], "no labelled images"),
        (torch.rand(0, 3, 2, 2), [], "no labelled images"),
        (torch.rand(4, 12), [0, 0, 1, 1], "no labelled images"),
        (torch.rand(4, 3, 2, 2) + 1.1, [0, 0, 1, 1], r"values in \[0, 1\]"),
        (torch.full((4, 3, 2, 2), torch.nan), [0, 0, 1, 1], r"values in \[0, 1\]"),
    ],
    ids=["beyond", "negative", "fewer images", "none", "flat", "too bright", "not a number"],
)
def test_a_file_that_is_no_set_of_labelled_images_is_refused(
    images: torch.Tensor, labels: list[int], reason: str, folder: Path
) -> None:
    tensors = {"images": images, "labels": torch.tensor(labels, dtype=torch.int64)}
    write_tensors(folder / "images.safetensors", tensors, {"classes": list(CLASSES), "facts": {}})
    with pytest.raises(DamagedFileError, match=reason):
        load_distilled(folder)


# Classes


@pytest.mark.parametrize(
    "other",
    [("cat", "fox"), ("cat",), ("cat", "dog", "fox"), ("Cat", "dog"), ("0_cat", "1_dog")],
    ids="-".join,
)
def test_other_classes_are_refused_and_named(folder: Path, other: tuple[str, ...]) -> None:
    distilled().save(folder)
    found = load_distilled(folder)
    assert torch.equal(found.labels_in(CLASSES), found.labels)
    with pytest.raises(InputError, match=r"the names have to agree\.$") as caught:
        found.labels_in(other)
    assert f"only in the set: {sorted({*CLASSES} - {*other})}" in str(caught.value)
    assert f"only in the data set: {sorted({*other} - {*CLASSES})}" in str(caught.value)


def test_classes_in_another_order_are_found_by_name(folder: Path) -> None:
    distilled().save(folder)
    turned = load_distilled(folder).labels_in(("dog", "cat"))
    assert turned.tolist() == (1 - distilled().labels).tolist()


def test_numbered_folders_of_an_export_are_found_by_name() -> None:
    # ("dog", "cat") lies in the folders 0_dog and 1_cat.
    bare = replace(distilled(), classes=("0_dog", "1_cat"), facts={})
    assert torch.equal(bare.labels_in(("dog", "cat")), bare.labels)


def test_a_stage_that_needs_other_classes_says_how_to_distil_again(folder: Path) -> None:
    distilled().save(folder)
    cell = Layout(folder.parents[4], "embedded").cell("pets", "vit")
    assert cell.distilled == folder
    assert torch.equal(distilled_set(cell, CLASSES, {}).labels, distilled().labels)
    with pytest.raises(StaleFileError, match="is not of this data set") as caught:
        distilled_set(cell, ("cat", "fox"), {})
    assert advice.explained(caught.value).endswith("Make it again with: dvc repro -f distill@pets-vit")


def test_a_set_of_another_cell_is_refused_by_a_stage(folder: Path) -> None:
    distilled().save(folder)
    cell = Layout(folder.parents[4], "embedded").cell("pets", "vit")
    for facts in ({"source": "conv"}, {"dataset": "cars"}, {"variant": "rounds/once"}, {"replicate": 1}):
        replace(distilled(), facts=FACTS | facts).save(folder)
        with pytest.raises(StaleFileError, match=f"is of {next(iter(facts))} "):
            distilled_set(cell, CLASSES, {})


def test_a_set_from_other_features_is_refused_by_a_stage(folder: Path) -> None:
    now = {"pets/features/vit": "now"}
    cell = Layout(folder.parents[4], "embedded").cell("pets", "vit")
    for made in ({}, {INPUTS: {}}, {INPUTS: {"pets/features/vit": "before"}}):
        replace(distilled(), facts=FACTS | made).save(folder)
        with pytest.raises(StaleFileError, match="was not made from pets/features/vit as it is now"):
            distilled_set(cell, CLASSES, now)
    replace(distilled(), facts=FACTS | {INPUTS: now}).save(folder)
    assert len(distilled_set(cell, CLASSES, now).images) == len(distilled().images)


def test_a_set_that_lacks_a_class_is_refused_even_for_its_own_classes() -> None:
    lacking = replace(distilled(), labels=torch.tensor([1, 1, 1, 1]))
    with pytest.raises(InputError, match="no image of 'cat'"):
        lacking.labels_in(CLASSES)


def test_bare_folders_are_a_set_whose_classes_may_stand_in_any_order(tmp_path: Path) -> None:
    for name, shade in (("dog", 200), ("cat", 100)):
        (tmp_path / "bare" / name).mkdir(parents=True)
        Image.new("RGB", (5, 5), (shade,) * 3).save(tmp_path / "bare" / name / "0.png")
    found = load_distilled(tmp_path / "bare")
    assert (found.classes, found.facts, found.losses) == (("cat", "dog"), {}, ())
    assert found.images[:, 0, 0, 0].mul(255).round().tolist() == [100, 200]
    assert found.labels_in(("dog", "cat")).tolist() == [1, 0]
    with pytest.raises(InputError, match=r"only in the set: \['cat'\], only in the data set: \['owl'\]"):
        found.labels_in(("dog", "owl"))


def test_a_folder_without_a_set_and_uneven_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no distilled set"):
        load_distilled(tmp_path)
    for side in (4, 5):
        (tmp_path / "a").mkdir(exist_ok=True)
        Image.new("RGB", (side, side)).save(tmp_path / "a" / f"{side}.png")
    with pytest.raises(InputError, match="different sizes"):
        load_distilled(tmp_path)


# Names of pictures


@pytest.mark.parametrize(
    "classes",
    [("cats/big", "dogs\\small"), ("../../out", "/etc"), ("a/b", "a_b"), ("..", "."), ("día", "犬")],
    ids=["slashes", "upwards", "alike", "dots", "letters"],
)
def test_any_class_name_gives_every_image_its_own_file_inside(
    folder: Path, tmp_path: Path, classes: tuple[str, str]
) -> None:
    distilled(classes).save(folder)
    found = sorted(tmp_path.rglob("*.png"))
    assert len(found) == 1 + 4
    below = [path.relative_to(folder / "images") for path in found if path.name != "grid.png"]
    assert all(len(path.parts) == 2 for path in below)
    assert len({path.parts[0] for path in below}) == 2
    again = load_distilled(folder)
    assert torch.equal(again.images, distilled().images)
    assert torch.equal(again.labels_in(classes), again.labels)


def test_pictures_are_counted_within_their_class() -> None:
    assert class_folders(("b", "a")) == ["0_b", "1_a"]
    names = picture_names(("b", "a"), [1, 0, 1], "train")
    assert names == ["train/1_a/0.png", "train/0_b/0.png", "train/1_a/1.png"]


# The grid


def flat(count: int, side: int) -> torch.Tensor:
    """Images of one grey each, dark to light, none of them white."""
    return (torch.arange(count) / (count + 1))[:, None, None, None].expand(count, 3, side, side)


def test_three_images_stand_in_a_row_with_white_gaps() -> None:
    images = torch.rand(3, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    grid = image_grid(images)
    assert grid.shape == (3, 128, 128 * 3 + 2 * 2)
    for number, image in enumerate(images):
        assert torch.equal(grid[:, :, number * 130 : number * 130 + 128], image)
    assert (grid[:, :, 128:130] == 1).all()
    assert (grid[:, :, 258:260] == 1).all()


def test_columns_break_rows_and_the_rest_stays_white() -> None:
    images = flat(3, 128)
    grid = image_grid(images, columns=2)
    assert grid.shape == (3, 258, 258)
    assert torch.equal(grid[:, :128, :128], images[0])
    assert torch.equal(grid[:, :128, 130:], images[1])
    assert torch.equal(grid[:, 130:, :128], images[2])
    assert (grid[:, 130:, 130:] == 1).all()
    assert (grid[:, 128:130] == 1).all()


def test_small_images_are_enlarged_by_whole_pixels() -> None:
    image = torch.tensor([[0.0, 0.25], [0.5, 0.75]]).expand(1, 3, 2, 2)
    grid = image_grid(image)
    assert grid.shape == (3, 128, 128)
    assert torch.equal(grid[0, :64, :64], torch.zeros(64, 64))
    assert torch.equal(grid[0, 64:, 64:], torch.full((64, 64), 0.75))
    assert torch.equal(grid, image[0].repeat_interleave(64, 1).repeat_interleave(64, 2))


@pytest.mark.parametrize(("side", "shown"), [(64, 128), (100, 100), (200, 200), (43, 86)])
def test_images_are_never_made_smaller(side: int, shown: int) -> None:
    assert image_grid(flat(1, side)).shape == (3, shown, shown)


def test_more_than_twenty_images_wrap() -> None:
    grid = image_grid(flat(21, 128))
    assert grid.shape == (3, 2 * 130 - 2, 20 * 130 - 2)
    assert grid[0, 130, 0] == flat(21, 128)[20, 0, 0, 0]


def test_the_images_are_left_alone() -> None:
    images = flat(2, 128).clone()
    before = images.clone()
    image_grid(images)[:] = 0
    assert torch.equal(images, before)
