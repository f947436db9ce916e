"""Published data sets in the layouts people have them, a reader each; no image is opened."""

from __future__ import annotations

import csv
from pathlib import Path

from lgm_core.data.readers import (
    FLOWERS102,
    Listing,
    class_list,
    first_folder,
    image_names,
    listing,
    read_lines,
    read_mat,
    read_split_folders,
)
from lgm_core.foundation.errors import InputError


def read_stanford_dogs(root: Path, split: str) -> Listing:
    """Stanford Dogs: `Images/<class>/*.jpg`, `train_list.mat` and `test_list.mat` here or in `lists/`."""
    content = read_mat(
        first_folder([root, root / "lists"], holding=f"{split}_list.mat") / f"{split}_list.mat"
    )
    files = [str(name) for name in content["file_list"]]
    labels = [int(label) - 1 for label in content["labels"]]
    owners = dict(sorted({(label, name.split("/")[0]) for name, label in zip(files, labels, strict=True)}))
    classes = tuple(owners.values())
    numbers = {owner: number for number, owner in enumerate(classes)}
    return listing(root, classes, [(f"Images/{name}", numbers[name.split("/")[0]]) for name in files])


def read_cub(root: Path, split: str) -> Listing:
    """CUB-200-2011: `images` and the lists images, image_class_labels, train_test_split, classes (.txt)."""
    root = first_folder([root, root / "CUB_200_2011"], holding="images.txt")
    lists = ("images", "image_class_labels", "train_test_split", "classes")
    names, labels, training, classes = (
        dict(line.split(maxsplit=1) for line in read_lines(root / f"{name}.txt")) for name in lists
    )
    numbers = {key: number for number, key in enumerate(sorted(classes, key=int))}
    wanted = "1" if split == "train" else "0"
    entries = [(f"images/{names[key]}", numbers[labels[key]]) for key in names if training[key] == wanted]
    return listing(root, tuple(classes[key] for key in sorted(classes, key=int)), entries)


def read_flowers102(root: Path, split: str) -> Listing:
    """Flowers-102: `jpg/image_00001.jpg`, `imagelabels.mat`, `setid.mat`; official train and test splits."""
    root = first_folder([root, root / "flowers-102"], holding="setid.mat")
    chosen = read_mat(root / "setid.mat")["trnid" if split == "train" else "tstid"]
    labels = read_mat(root / "imagelabels.mat")["labels"]
    entries = sorted((f"jpg/image_{int(n):05d}.jpg", int(labels[int(n) - 1]) - 1) for n in chosen)
    return listing(root, class_list(FLOWERS102), entries)


def read_food101(root: Path, split: str) -> Listing:
    """Food-101: `meta/{classes,train,test}.txt`, `images/<class>/*.jpg`."""
    root = first_folder([root, root / "food-101"], holding="meta")
    classes = tuple(read_lines(root / "meta/classes.txt"))
    numbers = {name: number for number, name in enumerate(classes)}
    names = read_lines(root / f"meta/{split}.txt")
    return listing(root, classes, [(f"images/{name}.jpg", numbers[name.split("/")[0]]) for name in names])


# Spawrious one-to-one, hard: where each class is photographed in training and in testing.
_SPAWRIOUS_PLACES = {
    "bulldog": ("jungle", "mountain"),
    "corgi": ("desert", "jungle"),
    "dachshund": ("mountain", "snow"),
    "labrador": ("snow", "desert"),
}
_SPAWRIOUS_NEUTRAL = "beach"
# Two training environments of 3,168 images per class, with this many in the class's own place.
_SPAWRIOUS_SIZE = 3168
_SPAWRIOUS_SPURIOUS = {"0": int(0.97 * _SPAWRIOUS_SIZE), "1": int(0.87 * _SPAWRIOUS_SIZE)}


def read_spawrious(root: Path, split: str) -> Listing:
    """Spawrious o2o_hard: `{0,1}/<place>/<class>/*.png`; a group is a class in a place.

    As in the authors' package, in training 97 % and 87 % of a class lie in its own place and the rest on the
    beach; here the first files by name are taken, where theirs depend on the file system's order.
    """
    root = first_folder([root, root / "spawrious224"], holding="0")
    entries = []
    groups = []
    for label, (owner, (train_place, test_place)) in enumerate(_SPAWRIOUS_PLACES.items()):
        for environment, spurious in _SPAWRIOUS_SPURIOUS.items():
            parts = [(train_place, spurious), (_SPAWRIOUS_NEUTRAL, _SPAWRIOUS_SIZE - spurious)]
            for place, count in parts if split == "train" else [(test_place, _SPAWRIOUS_SIZE)]:
                found = image_names(root, f"{environment}/{place}/{owner}")[:count]
                entries += [(name, label) for name in found]
                groups += [f"{owner}/{place}"] * len(found)
    group_names = tuple(
        f"{owner}/{place}" for owner, own in _SPAWRIOUS_PLACES.items() for place in (*own, _SPAWRIOUS_NEUTRAL)
    )
    return listing(root, tuple(_SPAWRIOUS_PLACES), entries, groups, group_names)


_WATERBIRDS = {"0": "landbird", "1": "waterbird"}
_BACKGROUNDS = {"0": "land", "1": "water"}
_WATERBIRDS_SPLITS = {"train": "0", "test": "2"}


def read_waterbirds(root: Path, split: str) -> Listing:
    """Waterbirds: `metadata.csv` with img_filename, y, split, place; a group is bird before background."""
    candidates = [root, root / "waterbird_complete95_forest2water2", root / "waterbirds_v1.0"]
    root = first_folder(candidates, holding="metadata.csv")
    with (root / "metadata.csv").open(newline="", encoding="utf-8") as opened:
        rows = [row for row in csv.DictReader(opened) if row.get("split") == _WATERBIRDS_SPLITS[split]]
    needed = {"img_filename", "y", "place"}
    if not rows or not needed <= set(rows[0]):
        raise InputError(
            f"{root / 'metadata.csv'} has no {split} rows with columns {', '.join(sorted(needed))}."
        )
    entries = [(row["img_filename"], int(row["y"])) for row in rows]
    groups = [f"{_WATERBIRDS[row['y']]}/{_BACKGROUNDS[row['place']]}" for row in rows]
    names = tuple(f"{bird}/{ground}" for bird in _WATERBIRDS.values() for ground in _BACKGROUNDS.values())
    return listing(root, tuple(_WATERBIRDS.values()), entries, groups, names)


def read_artbench(root: Path, split: str) -> Listing:
    """ArtBench-10: `{train,test}/<style>/*.jpg`."""
    root = first_folder([root, root / "artbench-10-imagefolder-split"], holding="train")
    return read_split_folders(root, split)
