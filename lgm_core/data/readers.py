"""Layouts in which people have data sets on disk: class folders, lists of files, tables; no image is opened.

A reader takes the data set's folder and a split and returns a :class:`Listing` of the images that exist.
Files that a list names but that are not there are left out, so that counting them finds a partial copy.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path, PurePosixPath

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.store import IMAGE_SUFFIXES

logger = logging.getLogger(__name__)


IMAGENET1K = "imagenet1k.txt"
IMAGENET100 = "imagenet100.txt"
IMAGENET_NAMES = "imagenet_names.txt"
FLOWERS102 = "flowers102.txt"


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
    """The lines of one of this package's lists: IMAGENET1K and its names, IMAGENET100 or FLOWERS102."""
    text = resources.files("lgm_core").joinpath("data", "lists", name).read_text(encoding="utf-8")
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


def listing(
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
            f"lacks {len(absent)} of {len(classes)} class folders in {root / folder}: {some(absent)}."
        )
    files = {name: image_names(root, f"{folder}/{name}") for name in classes}
    empty = [name for name in classes if not files[name]]
    if empty:
        raise InputError(f"has, in {root / folder}, class folders without an image: {some(empty)}.")
    names = [(name, label) for label, owner in enumerate(classes) for name in files[owner]]
    return Listing(root, classes, tuple(name for name, _ in names), tuple(label for _, label in names))


def some(names: list[str]) -> str:
    """The first few names, for a message."""
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")


def read_split_folders(root: Path, split: str) -> Listing:
    """`<root>/{train,test}/<class>/<image>`; `val` serves as the test split where there is no `test`."""
    candidates = ["train"] if split == "train" else ["test", "val"]
    folder = next((name for name in candidates if (root / name).is_dir()), None)
    if folder is None:
        looked = " and ".join(str(root / name) for name in candidates)
        raise InputError(f"has no {split} split: looked for {looked}.")
    return read_class_folders(root, folder)


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
