"""Images are what they seem: each decodes, none is in both splits, none changed since it became features.

While features are made, every image's decoded pixels are hashed. The hashes, the images' names and their
files' sizes and dates are kept beside the features; a stage that opens images later compares them.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Int
from PIL import Image
from torch import Tensor

from lgm_core.data.sources import SPLITS
from lgm_core.foundation.errors import InputError, StaleFileError
from lgm_core.foundation.ranks import ALONE, Ranks
from lgm_core.foundation.shared import shared_zeros
from lgm_core.foundation.store import read_tensors, write_tensors
from lgm_core.images import ImageSet, is_unturned

logger = logging.getLogger(__name__)

_FILE = "images.safetensors"
_UNSEEN = 0
_UNREADABLE = 1
_SHOWN_NAMES = 5


def digest(picture: Image.Image) -> int:
    """63 bits of a hash of the pixels, above the two numbers that mean something else."""
    content = hashlib.sha256(f"{picture.mode}{picture.size}".encode())
    content.update(picture.tobytes())
    return (int.from_bytes(content.digest()[:8], "little") >> 1) | 2


class Watched:
    """Decodes images and notes what it saw in memory that worker processes share.

    An image that cannot be decoded is noted and stands as a black one, so that all of them are found.

    Args:
        images: of one split.
    """

    def __init__(self, images: ImageSet) -> None:
        self.images = images
        self.digests = shared_zeros((len(images),), torch.int64)  # _UNSEEN
        self.unturned: list[int] = []

    def __call__(self, index: int) -> Image.Image:
        """The image, decoded and noted."""
        try:
            picture = self.images.decode(index)
        except InputError as error:
            logger.warning("%s", error)
            self.digests[index] = _UNREADABLE
            return Image.new("RGB", (1, 1))
        # Until all are judged, the sign keeps that the picture could not be turned upright.
        self.digests[index] = -digest(picture) if is_unturned(picture) else digest(picture)
        return picture


@dataclass(frozen=True)
class Inspection:
    """Both splits while they are decoded for the first time.

    Attributes:
        watched: of train and test.
    """

    watched: tuple[Watched, Watched]

    @classmethod
    def of(cls, splits: tuple[ImageSet, ImageSet]) -> Inspection:
        """Begin to watch."""
        train, test = splits
        return cls((Watched(train), Watched(test)))

    @property
    def splits(self) -> tuple[ImageSet, ImageSet]:
        """The same images, with decoders that note what they see."""
        train, test = self.watched
        return replace(train.images, decode=train), replace(test.images, decode=test)

    def finish(self, ranks: Ranks = ALONE) -> None:
        """Judge all images, once each of them was decoded on some rank.

        Raises:
            InputError: listing every image that could not be decoded, and why.
        """
        for one in self.watched:
            seen = ranks.collect(one.digests.tolist() if ranks.world > 1 else one.digests)
            noted = torch.as_tensor(seen[0])[None] if ranks.world == 1 else torch.tensor(seen)
            one.unturned = (noted < 0).any(dim=0).nonzero().flatten().tolist()
            one.digests = noted.abs().amax(dim=0)
        reasons = [reason for one in self.watched for reason in _reasons(one)]
        if reasons:
            raise InputError(
                f"{len(reasons)} images cannot be decoded; replace or remove them:\n  " + "\n  ".join(reasons)
            )
        if ranks.first:
            _warn_of_unturned(*self.watched)
            _warn_of_duplicates(*self.watched)

    def note_in(self, noted: Callable[[str, int], Tensor]) -> None:
        """Go on from what an earlier run saw.

        Args:
            noted: name of a split, number of its images → what was seen of them, where notes go from now on.
        """
        for name, one in zip(SPLITS, self.watched, strict=True):
            one.digests = noted(name, len(one.images))

    @cached_property
    def facts(self) -> dict[str, dict[str, str]]:
        """What can be told of the images of both splits without decoding them."""
        return {name: _facts(one.images) for name, one in zip(SPLITS, self.watched, strict=True)}

    def save(self, folder: Path) -> None:
        """Keep what was seen beside the features, for :func:`unchanged`."""
        tensors = {name: one.digests for name, one in zip(SPLITS, self.watched, strict=True)}
        write_tensors(folder / _FILE, tensors, self.facts)


def _reasons(one: Watched) -> list[str]:
    reasons = []
    for index in (one.digests == _UNREADABLE).nonzero().flatten().tolist():
        try:
            one.images.decode(index)
            reasons.append(f"{one.images.names[index]} could not be decoded at first, and can now.")
        except InputError as error:
            reasons.append(str(error))
    return reasons


def _warn_of_unturned(train: Watched, test: Watched) -> None:
    names = [one.images.names[index] for one in (train, test) for index in one.unturned]
    if names:
        logger.warning(
            "%d images have EXIF data that cannot be read and are used as they lie, not turned upright: %s%s",
            len(names), ", ".join(names[:_SHOWN_NAMES]), " …" if len(names) > _SHOWN_NAMES else "",
        )  # fmt: skip


def _warn_of_duplicates(train: Watched, test: Watched) -> None:
    known = dict(zip(train.digests.tolist(), train.images.names, strict=True))
    pairs = [
        f"{known[seen]} = {name}"
        for seen, name in zip(test.digests.tolist(), test.images.names, strict=True)
        if seen in known
    ]
    if pairs:
        shown = "; ".join(pairs[:_SHOWN_NAMES])
        logger.warning(
            "%d of %d test images are in the training set too, so accuracies are too high: %s%s",
            len(pairs), len(test.digests), shown, " …" if len(pairs) > _SHOWN_NAMES else "",
        )  # fmt: skip


def _hash(lines: Iterable[str]) -> str:
    content = hashlib.sha256()
    for line in lines:
        content.update(f"{line}\n".encode("utf-8", "surrogateescape"))
    return content.hexdigest()[:16]


def _facts(images: ImageSet) -> dict[str, str]:
    """What can be told of images without decoding them."""
    labels = images.labels.tolist()
    facts = {
        "names": _hash(
            f"{images.classes[label]}/{name}" for label, name in zip(labels, images.names, strict=True)
        )
    }
    if images.root is not None:
        stats = [_size_and_date(images.root / name) for name in images.names]
        facts["sizes"] = _hash(size for size, _ in stats)
        facts["dates"] = _hash(date for _, date in stats)
    return facts


def _size_and_date(path: Path) -> tuple[str, str]:
    try:
        found = path.stat()
    except OSError:
        return "gone", "gone"
    return str(found.st_size), str(found.st_mtime_ns)


@dataclass(frozen=True)
class _Compared:
    """Decodes images that must be what they were.

    Attributes:
        images: of one split.
        digests: [N], as they were.
        folder: of the features, for the message.
    """

    images: ImageSet
    digests: Int[Tensor, " n"]
    folder: Path

    def __call__(self, index: int) -> Image.Image:
        picture = self.images.decode(index)
        if digest(picture) != int(self.digests[index]):
            changed = self.images.names[index]
            raise StaleFileError(self.folder, f"is of other images: {changed} changed since it was cached")
        return picture


def unchanged(images: ImageSet, split: str, folder: Path) -> ImageSet:
    """The same images, with a decoder that refuses one that changed since its features were cached.

    Args:
        images: of one split.
        split: `train` or `test`.
        folder: of the feature cache.

    Raises:
        InputError: if images were added, removed, renamed, moved between classes or written anew.
    """
    tensors, metadata = read_tensors(folder / _FILE)
    before = metadata[split]
    now = _facts(images)
    for fact, what in (
        ("names", "images or classes were added, removed or renamed"),
        ("sizes", "files changed"),
    ):
        if before.get(fact) != now.get(fact):
            raise StaleFileError(folder, f"is of other {split} images: {what} since it was cached")
    if before.get("dates") != now.get("dates"):
        logger.warning(
            "files of the %s images have other dates than when their features were cached in %s; those used "
            "here are compared by content. If others were edited, make the features again", split, folder,
        )  # fmt: skip
    return replace(images, decode=_Compared(images, tensors[split], folder))
