"""Where images come from: published data sets, one's own folders, other libraries, procedural sets, digits.

A source is one word: a name in the catalogue, `folder:<path>`, `torch/<name>` and
`hfds/<repository>` through timm's data-set factory, `toy:<name>`, or `digits`. Whatever the source, the rest
of the library sees an :class:`ImageSet`: class names, labels, a stable name for every image, and a way to
decode image number i as RGB.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image

from lgm_core.data.catalogue import DATASETS, DatasetRow
from lgm_core.data.libraries import HUB_KEYS, Collection, read_hub, read_torchvision
from lgm_core.data.readers import Listing, first_folder, read_split_folders, split_classes
from lgm_core.data.toy import sets
from lgm_core.foundation.errors import InputError, KeyFaultError
from lgm_core.foundation.given import given_path
from lgm_core.foundation.seeds import derive_seed
from lgm_core.foundation.sources import DatasetSource
from lgm_core.images import ImageSet, decode_file

SPLITS = ("train", "test")
Read = TypeVar("Read")


def load_images(source: DatasetSource, split: str, data_root: Path) -> ImageSet:
    """Open one split of a data set.

    Args:
        source: its name, and what may stand beside it: `partial` beside a published data set's, the names of
            splits and columns beside `hfds/…`.
        split: `train` or `test`.
        data_root: folder that relative paths start from.

    Raises:
        InputError: if the source is unknown, or its data are missing or incomplete.
    """
    kind = source.kind
    place = source.place
    family = kind.partition("/")[0]
    allowed = ("partial",) if kind in DATASETS else HUB_KEYS if family == "hfds" else ()
    unknown = sorted(set(source.beside) - set(allowed))
    if unknown:
        told = f"allowed beside source {source.source}: {', '.join(allowed) or 'none'}"
        raise KeyFaultError("unknown", unknown, told)
    if kind in DATASETS:
        return _read_published(kind, place, split, data_root, whole=not source.partial)
    if family == "hfds":
        return _from_library(read_hub(kind, split, given_path(place, data_root) if place else None, source))
    if family == "torch":
        return _from_library(read_torchvision(kind, split, given_path(place, data_root)))
    reader = _READERS.get(kind)
    if reader is None:
        raise InputError(
            f"The data set {source.source!r} is unknown; allowed: {', '.join(DATASETS)}, "
            f"{', '.join(f'toy:{name}' for name in sets.ROWS)}, digits, folder:<path>, torch/<name>, "
            "hfds/<repository>."
        )
    return reader(place, split, data_root)


_LICENSES = {
    "toy": "procedural images, no third party's",
    "digits": "UCI's handwritten digits as scikit-learn has them, CC BY 4.0",
}


def dataset_license(source: DatasetSource) -> str:
    """Terms of a data set's images, as far as they are known here."""
    kind = source.kind
    if kind in DATASETS:
        return f"{DATASETS[kind].license} ({DATASETS[kind].title})"
    return _LICENSES.get(kind, f"those of {source.source}; state them before you pass the images on")


def load_splits(source: DatasetSource, data_root: Path) -> tuple[ImageSet, ImageSet]:
    """Train and test split, with the same classes in the same order.

    Raises:
        InputError: naming the classes that only one split has.
    """
    train, test = (load_images(source, split, data_root) for split in SPLITS)
    check_class_names(train.classes, source.source)
    if sorted(train.classes) == sorted(test.classes) and train.classes != test.classes:
        raise InputError(
            f"Data set {source.source}: train and test name the same classes in another order "
            f"({train.classes[:5]} …, {test.classes[:5]} …), so their labels would not agree."
        )
    if train.classes != test.classes:
        only_train = sorted(set(train.classes) - set(test.classes))
        only_test = sorted(set(test.classes) - set(train.classes))
        raise InputError(
            f"Data set {source.source}: the classes of train and test differ "
            f"(only in train: {only_train[:5]}, only in test: {only_test[:5]}). Both need the same folders."
        )
    return train, test


def check_class_names(classes: tuple[str, ...], source: str) -> None:
    """Refuse names that no text can hold, and those that are the same to a file system, or to a reader, that
    ignores case and outer spaces.

    Raises:
        InputError: naming them.
    """
    known: dict[str, str] = {}
    for name in classes:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            raise InputError(
                f"Data set {source}: the class {name!r} has a name that is not UTF-8, which tables and "
                "figures cannot show. Rename its folders."
            ) from None
        other = known.setdefault(unicodedata.normalize("NFC", name).strip().casefold(), name)
        if other is not name:
            raise InputError(
                f"Data set {source}: the classes {other!r} and {name!r} have the same name but for case, "
                "spaces or accents' encoding. Join or rename them."
            )


def _read_toy(place: str, split: str, data_root: Path) -> ImageSet:
    row = sets.ROWS.get(place)
    if row is None:
        raise InputError(f"The toy data set {place!r} is unknown; allowed: {', '.join(sets.ROWS)}.")
    members = row.members(split)
    groups = ["/".join(filter(None, member[:2])) for member in members]
    group_names = tuple(dict.fromkeys(groups))
    return ImageSet(
        row.classes,
        torch.tensor([row.classes.index(name) for name, _, _ in members]),
        tuple(f"{split}/{group}/{member[2]}" for group, member in zip(groups, members, strict=True)),
        partial(sets.toy_image, place, split),
        **_grouping(groups, group_names if len(group_names) > len(row.classes) else ()),
    )


def _grouping(groups: list[str], names: tuple[str, ...]) -> dict[str, Any]:
    """The fields of an :class:`ImageSet` about groups; none where there are no names."""
    if not names:
        return {}
    return {"groups": torch.tensor([names.index(group) for group in groups]), "group_names": names}


_DIGITS_TEST_SHARE = 0.3


def _read_digits(place: str, split: str, data_root: Path) -> ImageSet:
    """scikit-learn's 1,797 handwritten digits, 8 × 8 pixels, split 70 : 30 within each class."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits: Any = load_digits()
    parts = train_test_split(
        range(len(digits.target)),
        test_size=_DIGITS_TEST_SHARE,
        stratify=digits.target,
        random_state=derive_seed(0, "digits") % 2**32,
    )
    chosen = sorted(parts[SPLITS.index(split)])

    pixels = (digits.images[chosen] * (255 / 16)).round().astype("uint8")
    labels = torch.tensor([int(digits.target[number]) for number in chosen])
    names = tuple(f"digits/{number}" for number in chosen)
    return ImageSet(tuple(str(digit) for digit in range(10)), labels, names, partial(_digit, pixels))


def _digit(pixels: Any, index: int) -> Image.Image:
    return Image.fromarray(pixels[index]).convert("RGB")


def _from_listing(listing: Listing) -> ImageSet:
    return ImageSet(
        listing.classes,
        torch.tensor(listing.labels, dtype=torch.int64),
        listing.names,
        partial(_decode_listed, listing.root, listing.names),
        torch.tensor(listing.groups) if listing.groups else None,
        listing.group_names,
        listing.root,
    )


def _from_library(found: Collection) -> ImageSet:
    return ImageSet(found.classes, torch.tensor(found.labels), found.names, found.decode)


def _decode_listed(root: Path, names: tuple[str, ...], index: int) -> Image.Image:
    return decode_file(root / names[index])


def _read_folder(place: str, split: str, data_root: Path) -> ImageSet:
    """`<path>/{train,test}/<class>/<image>`; `val` serves as the test split where there is no `test`."""
    return _from_listing(_of_folder(place, data_root, split, read_split_folders))


def _of_folder(place: str, data_root: Path, split: str, read: Callable[[Path, str], Read]) -> Read:
    """What is read of a split in a folder of one's own; errors say where it was looked for."""
    root = given_path(place, data_root)
    try:
        return read(root, split)
    except InputError as error:
        raise InputError(
            f"Data set folder:{place} {error} Expected {root}/{{train,test}}/<class>/<image>. Relative "
            f"paths start at {data_root}."
        ) from None


def find_dataset(source: DatasetSource, data_root: Path) -> None:
    """Look for a data set's folder without listing its images; other libraries' sets are not looked for.

    Raises:
        InputError: if it is not there, saying where it was looked for and how to get it, or if the class
            folders of one's own have names that cannot be used.
    """
    kind = source.kind
    place = source.place
    if kind in DATASETS:
        _published_root(kind, place, data_root)
    elif kind == "folder":
        for split in SPLITS:
            check_class_names(_of_folder(place, data_root, split, split_classes), source.source)


def _published_root(name: str, place: str, data_root: Path) -> Path:
    places = [given_path(place, data_root)] if place else _places(name, data_root)
    try:
        return first_folder(places)
    except InputError as error:
        raise _with_directions(name, "", error) from None


def _places(name: str, data_root: Path) -> list[Path]:
    row = DATASETS[name]
    own = row.edition.folders if row.edition else ()
    return [data_root / folder for folder in (*own, *row.folders)]


def _with_directions(name: str, split: str, error: InputError) -> InputError:
    row = DATASETS[name]
    get = f"{row.edition.get}; or {row.get}" if row.edition else row.get
    return InputError(
        f"Data set {name} ({row.title}){split and f', {split}'}: {error}\n"
        f"  expected layout: {row.layout}\n"
        f"  get it from:     {get}\n"
        f"  licence:         {row.license}\n"
        f"  lies elsewhere:  `{name}:/its/folder` as its source, or another data folder"
    )


def _read_published(name: str, place: str, split: str, data_root: Path, *, whole: bool) -> ImageSet:
    """A data set of the catalogue, in its own folder below the data folder or in the one given."""
    root = _published_root(name, place, data_root)
    row = DATASETS[name].of_folder(root)
    try:
        listing = row.read(root, split)
        if whole:
            check_counts(row, listing, split)
    except InputError as error:
        raise _with_directions(name, split, error) from None
    return _from_listing(listing)


def check_counts(row: DatasetRow, listing: Listing, split: str) -> None:
    """Compare what was found with what the data set holds.

    Raises:
        InputError: if images are missing or too many.
    """
    expected = row.images[split]
    (fewest, most) = row.per_class[split]
    counts = Counter(listing.labels)
    odd = [
        f"{name} ({counts[label]:,})"
        for label, name in enumerate(listing.classes)
        if not fewest <= counts[label] <= most
    ]
    found = len(listing.names)
    filled = len(counts)
    if filled == len(listing.classes) == row.classes and found == (expected or found) and not odd:
        return
    wanted = f"{expected:,} images in {row.classes} classes" if expected else f"{row.classes} classes"
    each = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
    named = f", but {', '.join(odd[:3])}{' …' if len(odd) > 3 else ''}" if odd else ""
    raise InputError(
        f"incomplete: found {found:,} images in {filled} classes below {listing.root}, expected {wanted}, "
        f"{each} in each{named}. Complete the copy, or accept it with `partial: true` beside its source."
    )


_READERS: dict[str, Callable[[str, str, Path], ImageSet]] = {
    "toy": _read_toy,
    "digits": _read_digits,
    "folder": _read_folder,
}
