"""A distilled set as a stage's input, and the training images that it is compared with."""

from __future__ import annotations

from pathlib import Path

from lgm_core.data.integrity import unchanged
from lgm_core.data.sources import load_images
from lgm_core.distilled import load_distilled
from lgm_core.evaluation.neighbors import Neighbors
from lgm_core.evaluation.small_sets import LabeledImages, real_sets
from lgm_core.foundation.errors import InputError, StaleFileError
from lgm_core.foundation.layout import Cell
from lgm_core.foundation.store import read_json
from lgm_core.images import ImageSet
from lgm_core.settings.params import Params
from stages.machine import Machine


def distilled_for(classes: tuple[str, ...], folder: Path) -> LabeledImages:
    """A distilled set, labelled as a data set's classes are numbered.

    Raises:
        FileError: if it is missing, damaged or of other classes.
    """
    found = load_distilled(folder)
    try:
        return LabeledImages(found.images, found.labels_in(classes))
    except InputError as error:
        raise StaleFileError(folder, f"is not of this data set ({error})") from error


def train_and_distilled(
    params: Params, machine: Machine, cells: list[Cell]
) -> tuple[ImageSet, list[LabeledImages]]:
    """The training images whose features the cells have, and the distilled set of each cell.

    Args:
        params: the settings.
        machine: where the images lie.
        cells: distillations of the same data set from the same source.

    Raises:
        InputError: if the images changed since, or any of them is missing or damaged.
    """
    images = load_images(params.datasets[cells[0].dataset], "train", machine.data_root)
    train = unchanged(images, "train", cells[0].features)
    return train, [distilled_for(train.classes, cell.distilled) for cell in cells]


def chosen_images(
    train: ImageSet, near: list[Neighbors], baselines: Path, side: int
) -> dict[str, list[LabeledImages]]:
    """The real training sets that a source chooses: Neighbors, and what its baselines name.

    Args:
        train: the training images.
        near: those nearest to the images of every distilled set.
        baselines: JSON of the others.
        side: of the images in pixels.
    """
    numbers = [found.numbers.tolist() for found in near]
    return real_sets(train, {"neighbors": numbers, **read_json(baselines)["selection"]}, side)
