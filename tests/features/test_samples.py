"""Sample pictures are of the classes that figures show, from fixed places among their images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from lgm_core.features.samples import save_samples
from lgm_core.images import ImageSet
from lgm_core.settings.shown import MOST_CLASSES

SIDE = 8


def _grey(number: int) -> Image.Image:
    return Image.new("RGB", (16, 12), (number, number, number))


def _numbered(classes: tuple[str, ...], labels: list[int], first: int = 0) -> ImageSet:
    """Image i is as bright as its number."""
    names = tuple(str(number) for number in range(len(labels)))
    return ImageSet(classes, torch.tensor(labels), names, lambda index: _grey(first + index))


def _saved(folder: Path) -> dict[str, dict[str, list[str]]]:
    found = json.loads((folder / "samples" / "samples.json").read_text(encoding="utf-8"))
    return {split: classes for split, classes in found.items() if split != "mean"}


def _means(folder: Path) -> dict[str, str]:
    return json.loads((folder / "samples" / "samples.json").read_text(encoding="utf-8"))["mean"]


def _brightness(path: Path) -> set[object]:
    with Image.open(path) as opened:
        assert opened.mode == "RGB"
        assert opened.size == (SIDE, SIDE)
        return {pixel for _, pixel in opened.getcolors() or ()}


def test_two_images_of_every_class_and_split_are_kept(tmp_path: Path) -> None:
    train = _numbered(("cat", "dog"), [0] * 10 + [1] * 5)
    test = _numbered(("cat", "dog"), [1, 0, 1, 0, 1, 0], first=100)
    save_samples(tmp_path, {"train": train, "test": test}, SIDE, {})
    found = _saved(tmp_path)
    assert found == {
        "train": {"cat": ["train/0/0.png", "train/0/1.png"], "dog": ["train/1/0.png", "train/1/1.png"]},
        "test": {"cat": ["test/0/0.png", "test/0/1.png"], "dog": ["test/1/0.png", "test/1/1.png"]},
    }
    # Images 3 and 6 of ten cats, 1 and 3 of five dogs; 0 and 1 of three each in the test set.
    numbers = {"train": (3, 6, 11, 13), "test": (101, 103, 100, 102)}
    for split, classes in found.items():
        pictures = [picture for names in classes.values() for picture in names]
        for picture, number in zip(pictures, numbers[split], strict=True):
            assert _brightness(tmp_path / "samples" / picture) == {(number,) * 3}


def test_the_mean_of_a_class_is_of_its_training_images_spread_over_all_of_them(tmp_path: Path) -> None:
    train = _numbered(("few", "many", "none"), [0, 1, 0] + [1] * 127)
    test = _numbered(("few", "many", "none"), [0, 0, 1], first=200)
    save_samples(tmp_path, {"train": train, "test": test}, SIDE, {})
    assert _means(tmp_path) == {"few": "mean/0.png", "many": "mean/1.png"}
    # Of images 0 and 2; and of 64 of the 128 images 1, 3, 4, …, 129: every second of them.
    every_second = [1, *range(3, 130)][::2]
    assert len(every_second) == 64
    for picture, mean in (("mean/0.png", 1), ("mean/1.png", round(sum(every_second) / 64))):
        assert _brightness(tmp_path / "samples" / picture) == {(mean,) * 3}


def test_only_classes_that_figures_show_are_kept(tmp_path: Path) -> None:
    classes = tuple(f"class {number}" for number in range(25))
    save_samples(tmp_path, {"train": _numbered(classes, list(range(25)))}, SIDE, {})
    shown = [f"class {number}" for number in (0, 2, 5, 7, 10, 12, 15, 17, 20, 22)]
    assert list(_saved(tmp_path)["train"]) == sorted(shown)
    assert len(shown) == MOST_CLASSES
    assert len(list((tmp_path / "samples").rglob("*.png"))) == 3 * MOST_CLASSES
    assert list(_means(tmp_path)) == list(_saved(tmp_path)["train"])


@pytest.mark.parametrize("names", [("../../up", "/etc"), ("a/b", "a\\b"), ("..", ".")])
def test_no_class_name_leads_out_of_the_folder(tmp_path: Path, names: tuple[str, str]) -> None:
    save_samples(tmp_path / "in", {"train": _numbered(names, [0, 1])}, SIDE, {})
    assert {path.name for path in tmp_path.iterdir()} == {"in"}
    assert set(_saved(tmp_path / "in")["train"]) == set(names)


def test_a_class_without_an_image_has_no_picture(tmp_path: Path) -> None:
    """A test set may lack a class; its features are wanted all the same."""
    save_samples(tmp_path, {"test": _numbered(("cat", "dog"), [1, 1])}, SIDE, {})
    assert _saved(tmp_path) == {"test": {"cat": [], "dog": ["test/1/0.png", "test/1/1.png"]}}


def test_pictures_are_the_same_every_time(tmp_path: Path) -> None:
    for folder in ("one", "other"):
        save_samples(tmp_path / folder, {"train": _numbered(("cat",), [0, 0, 0])}, SIDE, {})
    one, other = (
        {path.relative_to(tmp_path / folder): path.read_bytes() for path in files if path.is_file()}
        for folder in ("one", "other")
        for files in [(tmp_path / folder).rglob("*")]
    )
    assert one == other
