"""Every published data set, in miniature and in its own layout, gives the right images, labels and names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data.miniatures import groups, lay_out_classes, picture, read, summary
from scipy.io import savemat

from lgm_core.data import sources
from lgm_core.data.catalogue import DATASETS
from lgm_core.data.readers import FLOWERS102, class_list
from lgm_core.data.sources import load_images
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.sources import DatasetSource


def mat_cells(texts: list[str]) -> np.ndarray:
    """Texts as a MATLAB cell array."""
    cells = np.empty((len(texts), 1), dtype=object)
    cells[:, 0] = texts
    return cells


DOGS = ["n02085620-Chihuahua", "n02085782-Japanese_spaniel", "n02088094-Afghan_hound"]


def lay_out_dogs(root: Path, lists: str = "") -> None:
    for split, numbers in {"train": (1, 2), "test": (3,)}.items():
        files = [f"{name}/{name[:9]}_{number}.jpg" for name in reversed(DOGS) for number in numbers]
        for file in files:
            picture(root / "Images" / file)
        labels = [[DOGS.index(file.split("/")[0]) + 1] for file in files]
        (root / lists).mkdir(exist_ok=True)
        savemat(
            root / lists / f"{split}_list.mat", {"file_list": mat_cells(files), "labels": np.array(labels)}
        )


@pytest.mark.parametrize("lists", ["", "lists"])
def test_stanford_dogs(lists: str, tmp_path: Path) -> None:
    lay_out_dogs(tmp_path / "dogs", lists)
    train, test = read("dogs", tmp_path)
    assert train.classes == tuple(DOGS)
    assert summary(test)[0] == ("Images/n02088094-Afghan_hound/n02088094_3.jpg", DOGS[2])
    assert (len(train), len(test)) == (6, 3)


def test_stanford_dogs_without_lists_names_them(tmp_path: Path) -> None:
    lay_out_dogs(tmp_path / "dogs")
    (tmp_path / "dogs/test_list.mat").unlink()
    with pytest.raises(InputError, match=r"test_list\.mat(.|\n)*expected layout(.|\n)*get it from.*Dogs"):
        read("dogs", tmp_path)


CUB = {1: "001.Black_footed_Albatross", 2: "002.Laysan_Albatross", 10: "010.Red_winged_Blackbird"}


def lay_out_cub(root: Path) -> None:
    root.mkdir(parents=True)
    rows = []
    for number, (label, name) in enumerate((pair for pair in CUB.items() for _ in range(3)), start=1):
        file = f"{name}/{name[4:]}_{number:04d}.jpg"
        picture(root / "images" / file)
        rows.append((number, file, label, int(number % 3 != 0)))
    (root / "images.txt").write_text("".join(f"{n} {file}\n" for n, file, _, _ in rows))
    (root / "image_class_labels.txt").write_text("".join(f"{n} {label}\n" for n, _, label, _ in rows))
    (root / "train_test_split.txt").write_text("".join(f"{n} {train}\n" for n, _, _, train in rows))
    (root / "classes.txt").write_text("".join(f"{label} {name}\n" for label, name in CUB.items()))


@pytest.mark.parametrize("place", ["cub", "cub/CUB_200_2011", "CUB_200_2011"])
def test_cub(place: str, tmp_path: Path) -> None:
    lay_out_cub(tmp_path / place)
    train, test = read("cub", tmp_path)
    assert train.classes == tuple(CUB.values())
    assert train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert summary(test)[0] == (f"images/{CUB[1]}/Black_footed_Albatross_0003.jpg", CUB[1])


def test_files_that_a_list_names_but_that_are_not_there_make_the_copy_incomplete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out_cub(tmp_path / "cub")
    expected = {"images": {"train": 6, "test": 3}, "per_class": {"train": (2, 2), "test": (1, 1)}}
    monkeypatch.setitem(sources.DATASETS, "cub", replace(DATASETS["cub"], classes=3, **expected))
    assert len(load_images(DatasetSource("cub"), "train", tmp_path)) == 6
    next((tmp_path / "cub/images").glob("002*/*_0004.jpg")).unlink()
    with pytest.raises(
        InputError, match=r"found 5 images in 3 classes.*expected 6 images in 3.*002.*partial: true"
    ):
        load_images(DatasetSource("cub"), "train", tmp_path)
    assert len(read("cub", tmp_path)[0]) == 5


def lay_out_flowers(root: Path) -> None:
    labels = [number % 3 + 1 for number in range(9)]
    for number in range(9):
        picture(root / f"jpg/image_{number + 1:05d}.jpg")
    savemat(root / "imagelabels.mat", {"labels": np.array([labels])})
    splits = {"trnid": np.array([[3, 1, 2]]), "valid": np.array([[4, 5, 6]]), "tstid": np.array([[9, 8, 7]])}
    savemat(root / "setid.mat", splits)


def test_flowers102_trains_on_the_official_train_split_only(tmp_path: Path) -> None:
    lay_out_flowers(tmp_path / "flowers102/flowers-102")
    train, test = read("flowers102", tmp_path)
    names = class_list(FLOWERS102)
    assert len(names) == 102
    assert summary(train) == [(f"jpg/image_{n:05d}.jpg", names[n - 1]) for n in (1, 2, 3)]
    assert test.names == tuple(f"jpg/image_{n:05d}.jpg" for n in (7, 8, 9))


def test_a_damaged_mat_file_is_named(tmp_path: Path) -> None:
    lay_out_flowers(tmp_path / "flowers102")
    (tmp_path / "flowers102/imagelabels.mat").write_bytes(b"not a matrix")
    with pytest.raises(InputError, match=r"imagelabels\.mat is no readable MATLAB file"):
        read("flowers102", tmp_path)


def test_food101(tmp_path: Path) -> None:
    root = tmp_path / "food101/food-101"
    (root / "meta").mkdir(parents=True)
    (root / "meta/classes.txt").write_text("apple_pie\nwaffles\n")
    for split, number in (("train", 10), ("test", 20)):
        (root / f"meta/{split}.txt").write_text(f"apple_pie/{number}\nwaffles/{number + 1}\n")
        picture(root / f"images/apple_pie/{number}.jpg")
        picture(root / f"images/waffles/{number + 1}.jpg")
    train, test = read("food101", tmp_path)
    assert summary(train) == [("images/apple_pie/10.jpg", "apple_pie"), ("images/waffles/11.jpg", "waffles")]
    assert test.names == ("images/apple_pie/20.jpg", "images/waffles/21.jpg")


SPAWRIOUS = {
    "bulldog": ("jungle", "mountain"),
    "corgi": ("desert", "jungle"),
    "dachshund": ("mountain", "snow"),
    "labrador": ("snow", "desert"),
}


def test_spawrious_takes_each_class_from_its_own_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lgm_core.data.published._SPAWRIOUS_SIZE", 4)
    monkeypatch.setattr("lgm_core.data.published._SPAWRIOUS_SPURIOUS", {"0": 3, "1": 2})
    for environment in "01":
        for place in ("jungle", "mountain", "desert", "snow", "beach", "dirt"):
            for name in SPAWRIOUS:
                for number in range(4):
                    picture(tmp_path / f"spawrious/spawrious224/{environment}/{place}/{name}/{number}.png")
    train, test = read("spawrious", tmp_path)
    assert train.classes == tuple(SPAWRIOUS)
    assert (len(train), len(test)) == (32, 32)
    for label, (name, (train_place, test_place)) in enumerate(SPAWRIOUS.items()):
        own = [
            group for group, owner in zip(groups(train), train.labels.tolist(), strict=True) if owner == label
        ]
        assert own == 3 * [f"{name}/{train_place}"] + [f"{name}/beach"] + 2 * [
            f"{name}/{train_place}"
        ] + 2 * [f"{name}/beach"]
        seen = {
            group for group, owner in zip(groups(test), test.labels.tolist(), strict=True) if owner == label
        }
        assert seen == {f"{name}/{test_place}"}
    assert train.group_names == test.group_names
    assert train.names[:3] == tuple(f"0/jungle/bulldog/{number}.png" for number in range(3))


def lay_out_waterbirds(root: Path) -> None:
    root.mkdir(parents=True)
    lines = ["img_id,img_filename,y,split,place,place_filename"]
    for number, (y, split, place) in enumerate(
        [(0, 0, 0), (1, 0, 1), (0, 0, 1), (0, 1, 0), (1, 2, 0), (0, 2, 1)]
    ):
        lines.append(f"{number},00{y + 1}.Bird/{number}.jpg,{y},{split},{place},/x/y.jpg")
        picture(root / f"00{y + 1}.Bird/{number}.jpg")
    (root / "metadata.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    "place", ["waterbirds", "waterbird_complete95_forest2water2", "waterbirds/waterbirds_v1.0"]
)
def test_waterbirds_has_groups_of_bird_and_background(place: str, tmp_path: Path) -> None:
    lay_out_waterbirds(tmp_path / place)
    train, test = read("waterbirds", tmp_path)
    assert train.classes == ("landbird", "waterbird")
    assert groups(train) == ["landbird/land", "waterbird/water", "landbird/water"]
    assert groups(test) == ["waterbird/land", "landbird/water"]
    assert test.names == ("002.Bird/4.jpg", "001.Bird/5.jpg")


def test_a_metadata_file_without_the_columns_is_refused(tmp_path: Path) -> None:
    lay_out_waterbirds(tmp_path / "waterbirds")
    (tmp_path / "waterbirds/metadata.csv").write_text("file,label\na.jpg,1\n")
    with pytest.raises(InputError, match="columns img_filename, place, y"):
        read("waterbirds", tmp_path)


def test_artbench_and_cifar10_are_class_folders(tmp_path: Path) -> None:
    lay_out_classes(tmp_path / "artbench/artbench-10-imagefolder-split")
    lay_out_classes(tmp_path / "cifar10")
    for name in ("artbench", "cifar10"):
        train, test = read(name, tmp_path)
        assert summary(train) == [("train/one/0.png", "one"), ("train/two/0.png", "two")]
        assert len(test) == 2
