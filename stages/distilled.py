"""A distilled set as a stage's input, and the training images that it is compared with."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from lgm_core.data.integrity import unchanged
from lgm_core.data.sources import load_images
from lgm_core.distilled import load_distilled
from lgm_core.foundation.errors import InputError, StaleFileError
from lgm_core.foundation.layout import Cell
from lgm_core.images import ImageSet
from lgm_core.settings.params import Params
from stages.machine import Machine


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


def train_and_distilled(params: Params, machine: Machine, cell: Cell) -> tuple[ImageSet, Tensor, Tensor]:
    """The training images whose features a cell has, and images and labels of its distilled set.

    Raises:
        InputError: if the images changed since, or either is missing or damaged.
    """
    images = load_images(params.datasets[cell.dataset], "train", machine.data_root)
    train = unchanged(images, "train", cell.features)
    return train, *distilled_for(train.classes, cell.distilled)
