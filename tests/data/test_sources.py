"""Every source becomes labelled RGB images, and what is missing or broken is named."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from data.miniatures import lay_out_classes
from image_zoo import SOUND, noise
from PIL import Image

from lgm_core.data.catalogue import DATASETS
from lgm_core.data.sources import dataset_license, find_dataset, load_images, load_splits
from lgm_core.data.toy.sets import ROWS, toy_image
from lgm_core.foundation.errors import InputError, KeyFaultError
from lgm_core.foundation.sources import DatasetSource

COLOURS = {"cat": (250, 10, 20), "dog": (0, 128, 255), "owl": (30, 200, 90)}
Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """`folder("train", "test")`: a data set of flat-coloured images, two and more per class."""

    def make(*splits: str) -> Path:
        root = tmp_path / "animals"
        for split in splits:
            for number, (name, colour) in enumerate(COLOURS.items()):
                place = root / split / name
                place.mkdir(parents=True)
                for index in range(2 + number):
                    Image.new("RGB", (6 + index, 5), colour).save(place / f"{index}.png")
        return root

    return make


# Sources


@pytest.mark.parametrize("source", ["toy:shapes", "digits"])
def test_splits_have_the_same_classes_and_no_image_in_common(source: str) -> None:
    train, test = load_splits(DatasetSource(source), Path())
    assert train.classes == test.classes
    assert not set(train.names) & set(test.names)
    for images in (train, test):
        assert len(images) == len(images.labels) == len(set(images.names))
        assert set(images.labels.tolist()) == set(range(len(images.classes)))
        picture = images.decode(len(images) - 1)
        assert picture.mode == "RGB"
        assert picture.tobytes() == images.decode(len(images) - 1).tobytes()


def test_toy_images_are_named_by_split_class_and_number() -> None:
    images = load_images(DatasetSource("toy:shapes"), "test", Path())
    per_class = ROWS["shapes"].counts["test"]["square", ""]
    assert images.names[per_class + 3] == "test/square/3"
    assert images.classes[images.labels[per_class + 3]] == "square"
    expected = toy_image("shapes", "test", per_class + 3)
    assert images.decode(per_class + 3).tobytes() == expected.tobytes()


def test_digits_are_scikit_learns_split_within_each_class() -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    train, test = load_splits(DatasetSource("digits"), Path())
    assert len(train) + len(test) == len(digits.target)
    shares = {
        c: n / (n + Counter(test.labels.tolist())[c]) for c, n in Counter(train.labels.tolist()).items()
    }
    assert all(abs(share - 0.7) < 0.01 for share in shares.values())
    for images in (train, test):
        for index in (0, 100, len(images) - 1):
            number = int(images.names[index].removeprefix("digits/"))
            assert images.classes[images.labels[index]] == str(digits.target[number])
            grey = np.asarray(images.decode(index))
            assert grey.shape == (8, 8, 3)
            np.testing.assert_allclose(grey[:, :, 0], digits.images[number] * 255 / 16, atol=0.5)
            assert (grey == grey[:, :, :1]).all()


@pytest.mark.parametrize("source", ["cifar", "toy", "folders:x", "", "Digits"])
def test_unknown_source_is_refused_with_the_known_ones(source: str) -> None:
    with pytest.raises(InputError) as error:
        load_images(DatasetSource(source), "train", Path())
    message = str(error.value)
    assert repr(source) in message or "toy data set ''" in message
    assert "shapes" in message


def test_unknown_toy_set_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"toy data set 'spheres' is unknown; allowed: .*shapes"):
        load_images(DatasetSource("toy:spheres"), "train", Path())


# Folders


@pytest.mark.parametrize("relative", [True, False])
def test_folder_gives_classes_labels_and_names_in_order(folder: Folder, relative: bool) -> None:
    root = folder("train", "test")
    place = root.name if relative else str(root)
    images = load_images(DatasetSource(f"folder:{place}"), "train", root.parent)
    assert images.classes == ("cat", "dog", "owl")
    assert images.labels.tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert images.names[:3] == ("train/cat/0.png", "train/cat/1.png", "train/dog/0.png")
    for index, label in enumerate(images.labels.tolist()):
        assert images.decode(index).getpixel((0, 0)) == list(COLOURS.values())[label]
    assert images.decode(4).size == (8, 5)


def test_val_serves_as_test_where_there_is_no_test(folder: Folder) -> None:
    root = folder("train", "val")
    assert load_images(DatasetSource(f"folder:{root}"), "test", Path()).names[0] == "val/cat/0.png"
    folder("test")
    assert load_images(DatasetSource(f"folder:{root}"), "test", Path()).names[0] == "test/cat/0.png"


def test_images_are_found_below_and_other_files_ignored(folder: Folder) -> None:
    root = folder("train")
    (root / "train" / "cat" / "more").mkdir()
    noise(4, 4).save(root / "train" / "cat" / "more" / "x.JPG", "JPEG")
    (root / "train" / "cat" / "notes.txt").write_text("no image")
    (root / "train" / "readme.md").write_text("no class")
    images = load_images(DatasetSource(f"folder:{root}"), "train", Path())
    assert images.names[:3] == ("train/cat/0.png", "train/cat/1.png", "train/cat/more/x.JPG")
    assert len(images) == 10


def test_a_folder_named_like_an_image_is_none(folder: Folder) -> None:
    root = folder("train")
    (root / "train" / "cat" / "scans.png").mkdir()
    images = load_images(DatasetSource(f"folder:{root}"), "train", Path())
    assert "train/cat/scans.png" not in images.names


def test_unusual_images_are_found_by_their_names_and_become_rgb(folder: Folder) -> None:
    root = folder("train")
    for name, (make, _) in SOUND.items():
        make(root / "train" / "cat" / name)
    images = load_images(DatasetSource(f"folder:{root}"), "train", Path())
    for name, (_, expected) in SOUND.items():
        decoded = images.decode(images.names.index(f"train/cat/{name}"))
        assert decoded.mode == "RGB"
        assert np.abs(np.asarray(decoded).astype(int) - expected).max() <= 3


def test_missing_split_says_where_it_was_looked_for(folder: Folder) -> None:
    root = folder("train")
    with pytest.raises(InputError) as error:
        load_images(DatasetSource("folder:animals"), "test", root.parent)
    message = str(error.value)
    assert "folder:animals has no test split" in message
    assert all(str(root / name) in message for name in ("test", "val"))
    assert f"Relative paths start at {root.parent}." in message
    with pytest.raises(InputError, match="has no train split"):
        load_images(DatasetSource("folder:"), "train", root / "train")


def test_empty_class_is_named(folder: Folder) -> None:
    root = folder("train")
    (root / "train" / "bat").mkdir()
    (root / "train" / "bat" / "notes.txt").write_text("no image")
    with pytest.raises(InputError, match="class folders without an image: bat"):
        load_images(DatasetSource(f"folder:{root}"), "train", Path())


def test_split_without_classes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(InputError, match="no class folders"):
        load_images(DatasetSource(f"folder:{tmp_path}"), "train", Path())


def test_classes_that_differ_between_splits_are_named(folder: Folder) -> None:
    root = folder("train", "test")
    (root / "test" / "owl").rename(root / "test" / "bat")
    with pytest.raises(InputError, match=r"only in train: \['owl'\], only in test: \['bat'\]"):
        load_splits(DatasetSource(f"folder:{root}"), Path())


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (DatasetSource("cub", train_split="x"), "train_split; allowed beside source cub: partial"),
        (DatasetSource("folder:x", partial=True), "partial; allowed beside source folder:x: none"),
        (DatasetSource("digits", partial=False), "partial; allowed beside source digits: none"),
        (DatasetSource("toy:shapes", label_key="x", image_key="y"), "image_key, label_key; allowed beside"),
        (
            DatasetSource("hfds/x", partial=True),
            "partial; allowed beside source hfds/x: train_split",
        ),
        (
            DatasetSource("torch/cifar10", label_key="x"),
            "label_key; allowed beside source torch/cifar10: none",
        ),
    ],
    ids=lambda value: value.source if isinstance(value, DatasetSource) else "",
)
def test_keys_that_a_source_does_not_have_are_refused(
    source: DatasetSource, message: str, tmp_path: Path
) -> None:
    with pytest.raises(KeyFaultError, match=f"^unknown key {message}"):
        load_images(source, "train", tmp_path)


def test_groups_are_absent_where_a_set_has_none(tmp_path: Path) -> None:
    lay_out_classes(tmp_path / "mine")
    images = load_images(DatasetSource("folder:mine"), "train", tmp_path)
    assert images.groups is None
    assert images.group_names == ()
    assert images.labels.dtype == torch.int64
    assert pickle.loads(pickle.dumps(images.decode))(1).size == (6, 5)


@pytest.mark.parametrize("content", ["empty", "text", "half a png", "half a jpg"])
def test_undecodable_file_is_named(content: str, folder: Folder) -> None:
    root = folder("train")
    path = root / "train" / "cat" / "1.png"
    noise(30, 30).save(path, "JPEG" if content.endswith("jpg") else "PNG")
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"no image"}.get(content, whole[: len(whole) // 2]))
    images = load_images(DatasetSource(f"folder:{root}"), "train", Path())
    images.decode(0)
    with pytest.raises(InputError, match=r"train/cat/1\.png cannot be decoded as an image"):
        images.decode(1)


# What can be told without opening images


@pytest.mark.parametrize(
    ("source", "terms"),
    [
        ("cub", "non-commercial research and education (CUB-200-2011)"),
        ("spawrious:/my/folder", "CC-BY-4.0 (Spawrious (one-to-one, hard))"),
        ("toy:shapes", "procedural images, no third party's"),
        ("digits", "UCI's handwritten digits as scikit-learn has them, CC BY 4.0"),
        ("folder:mine", "those of folder:mine; state them before you pass the images on"),
    ],
)
def test_terms_of_the_images_are_told_as_far_as_they_are_known(source: str, terms: str) -> None:
    assert dataset_license(DatasetSource(source)) == terms


def test_a_data_set_is_found_without_being_listed(folder: Folder) -> None:
    root = folder("train", "test")
    (root.parent / "cub").mkdir()
    for source in (
        "cub",
        f"cub:{root}",
        "folder:animals",
        f"folder:{root}",
        "digits",
        "torch/cifar10",
        "hfds/x",
    ):
        find_dataset(DatasetSource(source), root.parent)


def test_a_data_set_that_is_not_found_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"folder:mine has no train split: looked for {tmp_path}/mine/train"):
        find_dataset(DatasetSource("folder:mine"), tmp_path)
    with pytest.raises(InputError, match=f"looked for {tmp_path}/away") as caught:
        find_dataset(DatasetSource("cub:away"), tmp_path)
    assert DATASETS["cub"].get in str(caught.value)


def test_a_class_name_that_no_text_can_hold_is_told_before_any_image_is_read(folder: Folder) -> None:
    root = folder("train", "test")
    for split in ("train", "test"):
        (root / split / "cat").rename(root / split / "cat\udcff")
    for look in (find_dataset, load_splits):
        with pytest.raises(InputError, match=r"'cat\\udcff' has a name that is not UTF-8"):
            look(DatasetSource("folder:animals"), root.parent)
