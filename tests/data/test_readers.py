"""Every published data set, in miniature and in its own layout, gives the right images, labels and names."""

from __future__ import annotations

import csv
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from lgm_core.data import sources as datasets
from lgm_core.data.catalogue import DATASETS
from lgm_core.data.readers import FLOWERS102, IMAGENET1K, IMAGENET100, class_list, first_folder
from lgm_core.data.sources import load_images, load_splits
from lgm_core.foundation.errors import InputError
from lgm_core.images import ImageSet

WNIDS = class_list(IMAGENET1K)
FRUITS = (953, 954, 949, 950, 951, 957, 952, 945, 943, 948)


def picture(path: Path, shade: int = 0) -> None:
    """An image file of 6 × 5 pixels in one shade."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 5), (shade, shade, shade)).save(path, format="PNG")


def mat_cells(texts: list[str]) -> np.ndarray:
    """Texts as a MATLAB cell array."""
    cells = np.empty((len(texts), 1), dtype=object)
    cells[:, 0] = texts
    return cells


def read(source: str, root: Path) -> tuple[ImageSet, ImageSet]:
    """Both splits of an incomplete copy."""
    return load_splits({"source": source, "partial": True}, root)


def summary(images: ImageSet) -> list[tuple[str, str]]:
    """(name, class) of every image."""
    return [
        (name, images.classes[label])
        for name, label in zip(images.names, images.labels.tolist(), strict=True)
    ]


def groups(images: ImageSet) -> list[str]:
    """The name of every image's group."""
    assert images.groups is not None
    return [images.group_names[group] for group in images.groups.tolist()]


def lay_out_imagenet(root: Path, wnids: list[str]) -> None:
    """Two training and two validation images of some classes, in class folders."""
    for shade, wnid in enumerate(wnids):
        for number in range(2):
            picture(root / f"train/{wnid}/{wnid}_{number}.JPEG", shade)
            picture(root / f"val/{wnid}/ILSVRC2012_val_{2 * shade + number + 1:08d}.JPEG", shade)


def test_imagenet_subset_is_a_list_of_classes_in_its_own_order(tmp_path: Path) -> None:
    chosen = [WNIDS[number] for number in FRUITS]
    lay_out_imagenet(tmp_path / "imagenet", [*sorted(chosen), "n01440764"])
    train, test = read("imagenet-fruits", tmp_path)
    assert train.classes == tuple(chosen)
    assert len(train) == len(test) == 20
    assert train.names[0] == f"train/{chosen[0]}/{chosen[0]}_0.JPEG"
    assert train.decode(0).getpixel((0, 0)) == (sorted(chosen).index(chosen[0]),) * 3
    assert train.labels.tolist() == [label for label in range(10) for _ in range(2)]


def test_imagenet100_is_sorted_and_found_in_a_folder_of_its_own(tmp_path: Path) -> None:
    lay_out_imagenet(tmp_path / "imagenet100", list(class_list(IMAGENET100)))
    train, test = read("imagenet100", tmp_path)
    assert list(train.classes) == sorted(train.classes)
    assert (len(train), len(test)) == (200, 200)


def test_imagenet1k_numbers_classes_by_sorted_wnid(tmp_path: Path) -> None:
    lay_out_imagenet(tmp_path / "elsewhere", list(WNIDS))
    train, _ = read(f"imagenet1k:{tmp_path / 'elsewhere'}", tmp_path)
    assert train.classes == WNIDS == tuple(sorted(WNIDS))
    assert summary(train)[-1][1] == WNIDS[-1]


def flat_validation(root: Path, wnids: list[str]) -> list[str]:
    """Validation images without class folders; the class of each."""
    truth = [wnids[number % len(wnids)] for number in range(2 * len(wnids))]
    for number in range(len(truth)):
        picture(root / f"val/ILSVRC2012_val_{number + 1:08d}.JPEG")
    return truth


def kaggle_list(root: Path, truth: list[str]) -> None:
    with (root / "LOC_val_solution.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["ImageId", "PredictionString"])
        for number, wnid in reversed(list(enumerate(truth, start=1))):
            writer.writerow([f"ILSVRC2012_val_{number:08d}", f"{wnid} 1 2 3 4 {wnid} 5 6 7 8"])


def wnid_list(root: Path, truth: list[str]) -> None:
    (root / "imagenet_2012_validation_synset_labels.txt").write_text("\n".join(truth) + "\n")


def development_kit(root: Path, truth: list[str]) -> None:
    data = root / "ILSVRC2012_devkit_t12/data"
    data.mkdir(parents=True)
    own_order = sorted(set(truth), reverse=True)
    rows = np.zeros(len(own_order), dtype=[("ILSVRC2012_ID", object), ("WNID", object), ("words", object)])
    for number, wnid in enumerate(own_order):
        rows[number] = (number + 1, wnid, "words")
    savemat(data / "meta.mat", {"synsets": rows})
    lines = [str(own_order.index(wnid) + 1) for wnid in truth]
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("write_list", [kaggle_list, wnid_list, development_kit])
def test_flat_validation_images_get_their_classes_from_a_list(
    write_list: Callable[[Path, list[str]], None], tmp_path: Path
) -> None:
    chosen = [WNIDS[number] for number in FRUITS]
    for wnid in chosen:
        picture(tmp_path / f"imagenet/train/{wnid}/x.JPEG")
    truth = flat_validation(tmp_path / "imagenet", [*chosen, "n01440764"])
    write_list(tmp_path / "imagenet", truth)
    _, test = read("imagenet-fruits", tmp_path)
    expected = {f"val/ILSVRC2012_val_{number:08d}.JPEG": wnid for number, wnid in enumerate(truth, start=1)}
    assert dict(summary(test)) == {name: wnid for name, wnid in expected.items() if wnid in chosen}
    assert len(test) == 20


def test_flat_validation_images_without_a_list_say_what_is_missing(tmp_path: Path) -> None:
    lay_out_imagenet(tmp_path / "imagenet", [WNIDS[number] for number in FRUITS])
    (tmp_path / "imagenet/val").rename(tmp_path / "imagenet/old")
    flat_validation(tmp_path / "imagenet", ["n01440764"])
    with pytest.raises(InputError, match=r"lie flat.*LOC_val_solution\.csv"):
        read("imagenet-fruits", tmp_path)


def test_kaggles_folders_are_found(tmp_path: Path) -> None:
    chosen = [WNIDS[number] for number in FRUITS]
    lay_out_imagenet(tmp_path / "imagenet/ILSVRC/Data/CLS-LOC", chosen)
    assert len(read("imagenet-fruits", tmp_path)[0]) == 20


def test_missing_class_folders_are_counted_and_named(tmp_path: Path) -> None:
    lay_out_imagenet(tmp_path / "imagenet", [WNIDS[number] for number in FRUITS[1:]])
    with pytest.raises(InputError, match=rf"lacks 1 of 10 class folders in .*/train: {WNIDS[953]}"):
        read("imagenet-fruits", tmp_path)


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
    monkeypatch.setitem(datasets.DATASETS, "cub", replace(DATASETS["cub"], classes=3, **expected))
    assert len(load_images({"source": "cub"}, "train", tmp_path)) == 6
    next((tmp_path / "cub/images").glob("002*/*_0004.jpg")).unlink()
    with pytest.raises(
        InputError, match=r"found 5 images in 3 classes.*expected 6 images in 3.*002.*partial: true"
    ):
        load_images({"source": "cub"}, "train", tmp_path)
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


def lay_out_classes(root: Path, classes: tuple[str, ...] = ("one", "two")) -> None:
    for split in ("train", "test"):
        for name in classes:
            picture(root / f"{split}/{name}/0.png")


def test_artbench_and_cifar10_are_class_folders(tmp_path: Path) -> None:
    lay_out_classes(tmp_path / "artbench/artbench-10-imagefolder-split")
    lay_out_classes(tmp_path / "cifar10")
    for name in ("artbench", "cifar10"):
        train, test = read(name, tmp_path)
        assert summary(train) == [("train/one/0.png", "one"), ("train/two/0.png", "two")]
        assert len(test) == 2


def test_torchvisions_cifar10_through_timms_factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchvision.datasets.CIFAR10._check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, md5: True)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for file in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        content = {"data": np.full((2, 3072), 7, dtype=np.uint8), "labels": [3, 9]}
        (folder / file).write_bytes(pickle.dumps(content))
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    train, test = load_splits({"source": "torch/cifar10"}, tmp_path)
    assert train.classes == tuple(names)
    assert (len(train), test.labels.tolist()) == (10, [3, 9])
    assert train.decode(0).getpixel((0, 0)) == (7, 7, 7)


def test_torchvision_data_that_is_not_there_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"torch/cifar10: torchvision finds no train split below {tmp_path}"):
        load_splits({"source": "torch/cifar10"}, tmp_path)


def test_hub_data_through_timms_factory(tmp_path: Path) -> None:
    hub = pytest.importorskip("datasets")
    lay_out_classes(tmp_path / "images")
    hub.disable_progress_bars()
    source = {"source": f"hfds/{tmp_path / 'images'}:cache"}
    train, test = load_splits(source, tmp_path)
    assert train.classes == ("one", "two")
    assert (train.labels.tolist(), len(test)) == ([0, 1], 2)
    assert train.decode(0).size == (6, 5)
    assert pickle.loads(pickle.dumps(train.decode))(1).size == (6, 5)


def test_hub_data_that_cannot_be_read_names_the_keys(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="train_split, test_split, image_key, label_key"):
        load_splits({"source": "hfds/nobody/nothing-of-this-name:cache"}, tmp_path)


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_that_is_missing_says_where_how_and_under_what_licence(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        load_images({"source": name}, "train", tmp_path)
    message = str(caught.value)
    row = DATASETS[name]
    for told in (
        row.title,
        *(str(tmp_path / folder) for folder in row.folders),
        row.layout,
        row.get,
        row.license,
    ):
        assert told in message


@pytest.mark.parametrize("name", DATASETS)
def test_expected_numbers_agree_with_each_other(name: str) -> None:
    row = DATASETS[name]
    for split, (fewest, most) in row.per_class.items():
        expected = row.images[split]
        assert expected is None or fewest * row.classes <= expected <= most * row.classes


def test_keys_that_a_source_does_not_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no key train_split; allowed beside source cub: partial"):
        load_images({"source": "cub", "train_split": "x"}, "train", tmp_path)
    with pytest.raises(InputError, match="partial is 'yes'; allowed: true or false"):
        load_images({"source": "cub", "partial": "yes"}, "train", tmp_path)
    with pytest.raises(InputError, match="has no key partial"):
        load_images({"source": "folder:x", "partial": True}, "train", tmp_path)


def test_first_folder_names_all_places(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"looked for .*/a/x, .*/b/x"):
        first_folder([tmp_path / "a", tmp_path / "b"], holding="x")


def test_groups_are_absent_where_a_set_has_none(tmp_path: Path) -> None:
    lay_out_classes(tmp_path / "mine")
    images = load_images({"source": "folder:mine"}, "train", tmp_path)
    assert images.groups is None
    assert images.group_names == ()
    assert images.labels.dtype == torch.int64
    assert pickle.loads(pickle.dumps(images.decode))(1).size == (6, 5)
