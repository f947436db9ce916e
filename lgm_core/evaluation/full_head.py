"""The head of a probe on all training images, on disk: what others look at distilled images with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from lgm_core.foundation.errors import DamagedFileError, StaleFileError
from lgm_core.foundation.store import read_tensors, write_tensors

_HEAD = "head"
_DIMENSIONS = 2


def save_head(
    path: Path, head: Float[Tensor, "c g"], classes: tuple[str, ...], facts: Mapping[str, Any]
) -> None:
    """Write a head [C, F + 1], whose last column is the bias, with the names of its classes and `facts`."""
    write_tensors(path, {_HEAD: head}, {**facts, "classes": list(classes)})


def load_head(
    path: Path, classes: tuple[str, ...], width: int
) -> tuple[Float[Tensor, "c g"], dict[str, Any]]:
    """Read a head and its facts.

    Args:
        path: the file.
        classes: names of the C classes it has to tell apart.
        width: F, of the features it is to read.

    Raises:
        FileError: if it is missing, damaged, or of other classes or features.
    """
    tensors, facts = read_tensors(path)
    if _HEAD not in tensors or tensors[_HEAD].ndim != _DIMENSIONS:
        raise DamagedFileError(path, "holds no head")
    shape = tuple(tensors[_HEAD].shape)
    if tuple(facts["classes"]) != classes or shape != (len(classes), width + 1):
        raise StaleFileError(path, f"is of {shape[0]} classes and {shape[1] - 1} features, or of other ones")
    return tensors[_HEAD], facts
