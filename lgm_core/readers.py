"""Layouts in which people have data sets on disk: class folders, lists of files, tables; no image is opened.

A reader takes the data set's folder and a split and returns a :class:`Listing` of the images that exist.
Files that a list names but that are not there are left out, so that counting them finds a partial copy.
"""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path, PurePosixPath

from lgm_core.errors import InputError

logger = logging.getLogger(__name__)

IMAGENET1K = "imagenet1k.txt"
IMAGENET100 = "imagenet100.txt"
FLOWERS102 = "flowers102.txt"
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff", ".gif"})


@dataclass(frozen=True)
class Listing:
    """One split as it lies on disk.

    Attributes:
        root: folder that the names start from.
        classes: class names; a label is a position in them.
        names: path of every image below `root`.
        labels: one for every image.
        groups: one for every image, positions in `group_names`; empty where there are no groups.
        group_names: the same for both splits.
    """

    root: Path
    classes: tuple[str, ...]
    names: tuple[str, ...]
    labels: tuple[int, ...]
    groups: tuple[int, ...] = ()
    group_names: tuple[str, ...] = ()


@cache
def class_list(name: str) -> tuple[str, ...]:
    """The lines of one of this package's lists: IMAGENET1K, IMAGENET100 or FLOWERS102."""
    text = resources.files("lgm_core").joinpath(name).read_text(encoding="utf-8")
    return tuple(text.splitlines())


def first_folder(candidates: Iterable[Path], *, holding: str = ".") -> Path:
    """The first candidate in which a file or folder exists.

    Args:
        candidates: folders, best first.
        holding: a path below them; by default the folder itself.

    Raises:
        InputError: naming all places looked at.
    """
    places = list(candidates)
    for place in places:
        if (place / holding).exists():
            return place
    looked = ", ".join(str(place / holding if holding != "." else place) for place in places)
    raise InputError(f"nothing found: looked for {looked}.")


def image_names(root: Path, folder: str) -> list[str]:
    """Paths below `root` of all images in a folder and the folders in it, linked ones too, sorted.

    What has no image's suffix is left out and told of.
    """
    files = sorted(
        str(PurePosixPath(place.relative_to(root).as_posix()) / name)
        for place, names in _walk(root / folder)
        for name in names
    )
    found = [name for name in files if Path(name).suffix.lower() in IMAGE_SUFFIXES]
    if len(found) < len(files):
        other = next(name for name in files if Path(name).suffix.lower() not in IMAGE_SUFFIXES)
        count = len(files) - len(found)
        logger.warning("%d files in %s are no images by their names, such as %s", count, root / folder, other)
    return found


def _walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Every folder once, with the names of the files in it."""
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield Path(place), names


def _existing(root: Path, names: Iterable[str]) -> Iterator[bool]:
    """Whether each file exists, reading every folder once."""
    folders: dict[str, set[str]] = {}
    for name in names:
        folder, _, file = name.rpartition("/")
        if folder not in folders:
            place = root / folder
            folders[folder] = set(os.listdir(place)) if place.is_dir() else set()  # noqa: PTH208 (names alone)
        yield file in folders[folder]


def _listing(
    root: Path,
    classes: tuple[str, ...],
    entries: list[tuple[str, int]],
    groups: list[str] | None = None,
    group_names: tuple[str, ...] = (),
) -> Listing:
    """A listing of the (name, label) entries that exist, with the name of each one's group."""
    kept = [place for place, found in enumerate(_existing(root, (name for name, _ in entries))) if found]
    numbers = {name: number for number, name in enumerate(group_names)}
    return Listing(
        root,
        classes,
        tuple(entries[place][0] for place in kept),
        tuple(entries[place][1] for place in kept),
        tuple(numbers[groups[place]] for place in kept) if groups else (),
        group_names,
    )


def read_class_folders(root: Path, folder: str, classes: tuple[str, ...] | None = None) -> Listing:
    """`<root>/<folder>/<class>/<image>`.

    Args:
        root: names of images start there.
        folder: below it, the split's.
        classes: which folders, in the order of their labels; by default all, sorted.

    Raises:
        InputError: naming class folders that are missing or have no image.
    """
    present = sorted(entry.name for entry in (root / folder).iterdir() if entry.is_dir())
    classes = tuple(present) if classes is None else classes
    if not classes:
        raise InputError(f"has no class folders in {root / folder}.")
    absent = sorted(set(classes) - set(present))
    if absent:
        raise InputError(
            f"lacks {len(absent)} of {len(classes)} class folders in {root / folder}: {_some(absent)}."
        )
    files = {name: image_names(root, f"{folder}/{name}") for name in classes}
    empty = [name for name in classes if not files[name]]
    if empty:
        raise InputError(f"has, in {root / folder}, class folders without an image: {_some(empty)}.")
    names = [(name, label) for label, owner in enumerate(classes) for name in files[owner]]
    return Listing(root, classes, tuple(name for name, _ in names), tuple(label for _, label in names))


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")


def read_split_folders(root: Path, split: str) -> Listing:
    """`<root>/{train,test}/<class>/<image>`; `val` serves as the test split where there is no `test`."""
    candidates = ["train"] if split == "train" else ["test", "val"]
    folder = next((name for name in candidates if (root / name).is_dir()), None)
    if folder is None:
        looked = " and ".join(str(root / name) for name in candidates)
        raise InputError(f"has no {split} split: looked for {looked}.")
    return read_class_folders(root, folder)


def read_imagenet(root: Path, split: str, classes: tuple[str, ...]) -> Listing:
    """ImageNet: `train/<wnid>/`, and `val` as class folders or flat with a list of its classes.

    Args:
        root: the folder of `train` and `val`, or that of a Kaggle download.
        split: `train` or `test`, which is the official validation set.
        classes: wnids in the order of their labels; a subset is a shorter list.
    """
    base = first_folder([root, root / "ILSVRC/Data/CLS-LOC"], holding="train")
    if split == "train":
        return read_class_folders(base, "train", classes)
    folder = first_folder([base / "val", base / "test", base / "validation"]).name
    flat = [name for name in image_names(base, folder) if name.count("/") == 1]
    if not flat:
        return read_class_folders(base, folder, classes)
    truth = _imagenet_truth(
        [root, base, base / folder, root / "ILSVRC2012_devkit_t12/data", root / "devkit/data"]
    )
    labels = {wnid: label for label, wnid in enumerate(classes)}
    wnids = [truth.get(_validation_number(name), "") for name in flat]
    unknown = [name for name, wnid in zip(flat, wnids, strict=True) if not wnid]
    if unknown:
        raise InputError(f"{base / folder}: no class is known of {_some(unknown)}.")
    entries = [(name, labels[wnid]) for name, wnid in zip(flat, wnids, strict=True) if wnid in labels]
    return _listing(base, classes, sorted(entries, key=lambda entry: (entry[1], entry[0])))


def _validation_number(name: str) -> int:
    """12 of ILSVRC2012_val_00000012.JPEG; 0, which no image has, of other names."""
    digits = PurePosixPath(name).stem.rpartition("_")[2]
    return int(digits) if digits.isdecimal() else 0


def _imagenet_truth(folders: list[Path]) -> dict[int, str]:
    """Validation image number → wnid, from any of the three lists that go round."""
    forms = {
        "LOC_val_solution.csv": _kaggle_truth,
        "ILSVRC2012_validation_ground_truth.txt": _devkit_truth,
        "imagenet_2012_validation_synset_labels.txt": _wnid_truth,
    }
    for folder in folders:
        for name, read in forms.items():
            if (folder / name).is_file():
                return read(folder / name)
    raise InputError(
        f"the validation images lie flat, without class folders, and none of {', '.join(forms)} was found in "
        f"{', '.join(str(folder) for folder in folders)}."
    )


def _kaggle_truth(path: Path) -> dict[int, str]:
    with path.open(newline="", encoding="utf-8") as opened:
        return {
            _validation_number(row["ImageId"]): row["PredictionString"].split()[0]
            for row in csv.DictReader(opened)
        }


def _wnid_truth(path: Path) -> dict[int, str]:
    return dict(enumerate(path.read_text(encoding="utf-8").split(), start=1))


def _devkit_truth(path: Path) -> dict[int, str]:
    """The development kit numbers classes in an order of its own; `meta.mat` beside the list says which."""
    meta = path.with_name("meta.mat")
    if not meta.is_file():
        raise InputError(f"{path} needs {meta} beside it, which says what its numbers mean.")
    synsets = read_mat(meta)["synsets"]
    wnids = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets}
    numbers = path.read_text(encoding="utf-8").split()
    return {place: wnids[int(number)] for place, number in enumerate(numbers, start=1)}


def read_mat(path: Path) -> dict:
    """The variables of a MATLAB file.

    Raises:
        InputError: if it is missing or is none.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    if not path.is_file():
        raise InputError(f"{path} is missing.")
    try:
        return loadmat(path, squeeze_me=True)
    except (MatReadError, ValueError, OSError, NotImplementedError) as error:
        raise InputError(f"{path} is no readable MATLAB file ({error}).") from error


def read_lines(path: Path) -> list[str]:
    """The non-empty lines of a text file.

    Raises:
        InputError: if it is missing.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing.")
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


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
    return _listing(root, classes, [(f"Images/{name}", numbers[name.split("/")[0]]) for name in files])


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
    return _listing(root, tuple(classes[key] for key in sorted(classes, key=int)), entries)


def read_flowers102(root: Path, split: str) -> Listing:
    """Flowers-102: `jpg/image_00001.jpg`, `imagelabels.mat`, `setid.mat`; official train and test splits."""
    root = first_folder([root, root / "flowers-102"], holding="setid.mat")
    chosen = read_mat(root / "setid.mat")["trnid" if split == "train" else "tstid"]
    labels = read_mat(root / "imagelabels.mat")["labels"]
    entries = sorted((f"jpg/image_{int(n):05d}.jpg", int(labels[int(n) - 1]) - 1) for n in chosen)
    return _listing(root, class_list(FLOWERS102), entries)


def read_food101(root: Path, split: str) -> Listing:
    """Food-101: `meta/{classes,train,test}.txt`, `images/<class>/*.jpg`."""
    root = first_folder([root, root / "food-101"], holding="meta")
    classes = tuple(read_lines(root / "meta/classes.txt"))
    numbers = {name: number for number, name in enumerate(classes)}
    names = read_lines(root / f"meta/{split}.txt")
    return _listing(root, classes, [(f"images/{name}.jpg", numbers[name.split("/")[0]]) for name in names])


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
    entries, groups = [], []
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
    return _listing(root, tuple(_SPAWRIOUS_PLACES), entries, groups, group_names)


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
    return _listing(root, tuple(_WATERBIRDS.values()), entries, groups, names)


def read_artbench(root: Path, split: str) -> Listing:
    """ArtBench-10: `{train,test}/<style>/*.jpg`."""
    root = first_folder([root, root / "artbench-10-imagefolder-split"], holding="train")
    return read_split_folders(root, split)
