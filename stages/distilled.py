"""A distilled set as a stage's input: of the data set that it is shown beside."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from lgm_core.distilled import load_distilled
from lgm_core.foundation.errors import InputError, StaleFileError


def distilled_for(classes: tuple[str, ...], folder: Path) -> tuple[Tensor, Tensor]:
    """Images and labels of a distilled set, numbered as a data set's classes are.

    Raises:
        FileError: if it is missing, damaged or of other classes.
    """
    found = load_distilled(folder)
    try:
        return found.images, found.labels_in(classes)
    except InputError as error:
        raise StaleFileError(folder, f"is not of this data set ({error})") from error
