"""Finished blocks of a feature extraction on the disk, so that a killed run goes on, and gives the same bits.

facts.json       what determines the features: of anything else nothing is kept
<split>.features float32 [v, n, f] of this rank, a mapped file: more than memory holds may be in it
<split>.noted    int64 [n], what was noted of every decoded image
<split>.done     a line for every finished block: its number, and checksums of its features and notes
"""

from __future__ import annotations

import json
import math
import mmap
import os
import shutil
import zlib
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.store import write_json

Shape = tuple[int, int, int]


@runtime_checkable
class Part(Protocol):
    """A split's features, block by block.

    Attributes:
        features: [v, n, f].
        done: numbers of the blocks that are finished already.
    """

    features: Float[Tensor, "v n f"]
    done: frozenset[int]

    def finish(self, number: int, place: slice) -> None:
        """A block's features are in place."""
        ...


@runtime_checkable
class Blocks(Protocol):
    """Where features go while they are made."""

    def part(self, name: str, shape: Shape, places: dict[int, slice], first: int) -> Part:
        """The features of a split on this rank.

        Args:
            name: of the split.
            shape: views, images, width.
            places: number of a block → where its images are among this rank's.
            first: number of this rank's first image in the whole split.
        """
        ...


class _InMemory:
    """A split's features in memory."""

    def __init__(self, shape: Shape) -> None:
        self.features = torch.empty(shape)
        self.done: frozenset[int] = frozenset()

    def finish(self, number: int, place: slice) -> None:
        """Nothing is kept of it."""


class Memory:
    """Features in memory: a killed run begins anew."""

    def part(self, name: str, shape: Shape, places: dict[int, slice], first: int) -> Part:
        """Room for a split's features."""
        return _InMemory(shape)


class _OnDisk:
    """A split's features in mapped files."""

    def __init__(self, stem: Path, shape: Shape, places: dict[int, slice], noted: Tensor | None) -> None:
        self.features = mapped(stem.with_suffix(".features"), shape, torch.float32)
        self.noted = noted
        self._journal = stem.with_suffix(".done")
        self.done = frozenset(
            number
            for number, sums in self._read().items()
            if number in places and sums == self._sums(places[number])
        )

    def finish(self, number: int, place: slice) -> None:
        """Write the block down, after its features: a kill in between costs the block, no more."""
        with self._journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps([number, *self._sums(place)]) + "\n")

    def _sums(self, place: slice) -> list[int]:
        kept = [*self.features[:, place], *([] if self.noted is None else [self.noted[place]])]
        return [zlib.crc32(rows.contiguous().numpy().tobytes()) for rows in kept]

    def _read(self) -> dict[int, list[int]]:
        """The journal; a line that a kill cut in half counts for nothing."""
        found: dict[int, list[int]] = {}
        try:
            lines = self._journal.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):
            return found
        for line in lines:
            try:
                number, *sums = json.loads(line)
                found[number] = sums
            except (ValueError, TypeError):
                continue
        return found


class Kept:
    """Features on the disk: a killed run goes on with the first block that is not finished.

    Args:
        folder: of one rank, for one extraction at a time.
        facts: JSON-like, all that determines the features.

    Raises:
        InputError: if the folder cannot be used.
    """

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        self.folder = folder
        self._noted: dict[str, Tensor] = {}
        place = folder / "facts.json"
        try:
            before = json.loads(place.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            before = None  # there is none, or it is damaged
        if before == json.loads(json.dumps(facts)):
            return
        self.remove()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(place, facts)
        except OSError as error:
            raise InputError(f"Cannot keep features in {folder}: {error.strerror or error}.") from error

    def noted(self, name: str, count: int) -> Int[Tensor, " n"]:
        """What was noted of a split's images, 0 where nothing was; it survives the process."""
        self._noted[name] = mapped(self.folder / f"{name}.noted", (count,), torch.int64)
        return self._noted[name]

    def part(self, name: str, shape: Shape, places: dict[int, slice], first: int) -> Part:
        """What there is of a split's features, and room for the rest."""
        noted = self._noted.get(name)
        return _OnDisk(self.folder / name, shape, places, None if noted is None else noted[first:])

    def remove(self) -> None:
        """Forget all, once the features are where they belong."""
        shutil.rmtree(self.folder, ignore_errors=True)


def mapped(path: Path, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor in a file, with what is in it already; zeros where nothing is.

    Raises:
        InputError: if the disk has no room for it.
    """
    size = max(1, math.prod(shape)) * dtype.itemsize
    try:
        with path.open("r+b" if path.exists() else "w+b") as file:
            if path.stat().st_size != size:
                file.truncate(0)
                # Room is taken now: a full disk would end the process later, without a message.
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
                file.truncate(size)
            kept = mmap.mmap(file.fileno(), size)
    except OSError as error:
        raise InputError(
            f"{size / 1e9:.1f} GB of features have no room in {path.parent}: {error.strerror or error}. "
            "Free space, or fix the permissions of that folder, and run the same command again."
        ) from error
    return torch.frombuffer(kept, dtype=dtype)[: math.prod(shape)].reshape(shape)
