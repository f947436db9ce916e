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

    Raises:
        InputError: naming a folder that cannot be read.
    """
    return list(_image_files(root, folder))


def _image_files(root: Path, folder: str) -> dict[str, str]:
    """The names of :func:`image_names` → where each file really lies."""
    files = {
        str(PurePosixPath(place.relative_to(root).as_posix()) / name): real
        for place, names in _walk(root / folder)
        for name, real in names
    }
    found = {name: files[name] for name in sorted(files) if Path(name).suffix.lower() in IMAGE_SUFFIXES}
    if len(found) < len(files):
        other = min(name for name in files if name not in found)
        count = len(files) - len(found)
        logger.warning("%d files in %s are no images by their names, such as %s", count, root / folder, other)
    return found


def _walk(folder: Path) -> Iterator[tuple[Path, list[tuple[str, str]]]]:
    """Every folder once, with the names of the files in it and where each really lies."""
    seen: set[str] = set()
    pending = [folder]
    while pending:
        place = pending.pop()
        real = os.path.realpath(place)
        if real in seen:
            continue
        seen.add(real)
        names = []
        for entry in _entries(place):
            if _is_folder(entry):
                pending.append(place / entry.name)
            else:
                own = os.path.realpath(entry.path) if entry.is_symlink() else f"{real}/{entry.name}"
                names.append((entry.name, own))
        yield place, names


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, the last name first.

    Raises:
        InputError: if it cannot be read: images left out without a word would give other results.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name, reverse=True)
    except OSError as error:
        raise _unreadable(str(folder), error) from error


def _is_folder(place: os.DirEntry[str] | Path) -> bool:
    try:
        return place.is_dir()
    except OSError as error:
        raise _unreadable(os.fspath(place), error) from error


def _unreadable(place: str, error: OSError) -> InputError:
    return InputError(
        f"has a folder that cannot be read, {place} ({error.strerror}). Allow it, or remove it."
    )


def class_folders(folder: Path) -> list[str]:
    """Names of the folders in a split's folder, sorted.

    Raises:
        InputError: if it, or one of them, cannot be read.
    """
    return sorted(entry.name for entry in _entries(folder) if _is_folder(entry))


def _existing(root: Path, names: Iterable[str]) -> Iterator[bool]:
    """Whether each file exists, reading every folder once."""
    folders: dict[str, set[str]] = {}
    for name in names:
        folder, _, file = name.rpartition("/")
        if folder not in folders:
            place = root / folder
            folders[folder] = {entry.name for entry in _entries(place)} if _is_folder(place) else set()
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
        InputError: naming class folders that are missing or have no image, a folder that cannot be read, or
            two classes that links give the same image.
    """
    present = class_folders(root / folder)
    classes = tuple(present) if classes is None else classes
    if not classes:
        raise InputError(f"has no class folders in {root / folder}.")
    absent = sorted(set(classes) - set(present))
    if absent:
        raise InputError(
            f"lacks {len(absent)} of {len(classes)} class folders in {root / folder}: {some(absent)}."
        )
    files = {name: _image_files(root, f"{folder}/{name}") for name in classes}
    empty = [name for name in classes if not files[name]]
    if empty:
        raise InputError(f"has, in {root / folder}, class folders without an image: {some(empty)}.")
    _check_owners(files)
    names = [(name, label) for label, owner in enumerate(classes) for name in files[owner]]
    return Listing(root, classes, tuple(name for name, _ in names), tuple(label for _, label in names))


def _check_owners(files: dict[str, dict[str, str]]) -> None:
    """Refuse one image with two labels, which links between class folders make.

    Args:
        files: class → name of an image → where it really lies.

    Raises:
        InputError: naming the image by both its paths.
    """
    known: dict[str, tuple[str, str]] = {}
    for owner, images in files.items():
        for name, real in images.items():
            other, same = known.setdefault(real, (owner, name))
            if other != owner:
                raise InputError(
                    f"has one image in the two classes {other} and {owner}, through a link: {same} and "
                    f"{name} are the same file. Remove it from one of them."
                )


def some(names: list[str]) -> str:
    """The first few names, for a message."""
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")


def read_split_folders(root: Path, split: str) -> Listing:
    """`<root>/{train,test}/<class>/<image>`; `val` serves as the test split where there is no `test`."""
    return read_class_folders(root, _split_folder(root, split))


def split_classes(root: Path, split: str) -> tuple[str, ...]:
    """The classes of :func:`read_split_folders`, without a look at their images."""
    return tuple(class_folders(root / _split_folder(root, split)))


def _split_folder(root: Path, split: str) -> str:
    candidates = ["train"] if split == "train" else ["test", "val"]
    folder = next((name for name in candidates if _is_folder(root / name)), None)
    if folder is None:
        looked = " and ".join(str(root / name) for name in candidates)
        raise InputError(f"has no {split} split: looked for {looked}.")
    return folder


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
