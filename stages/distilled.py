"""A distilled set as a stage's input, and the training images that it is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lgm_core.distilled import load_distilled
from lgm_core.evaluation.neighbors import Neighbors, find_neighbors
from lgm_core.evaluation.selection import select_baselines, select_further
from lgm_core.evaluation.small_sets import LabeledImages, real_sets
from lgm_core.foundation.belonging import check_made_from, check_of, read_of
from lgm_core.foundation.errors import InputError, StaleFileError
from lgm_core.foundation.layout import Cell
from lgm_core.foundation.seeds import derive_seed
from lgm_core.images import ImageSet
from lgm_core.settings.params import SEVERAL
from stages.work import Opened, Work

Selection = dict[str, list[list[int]]]
"""Baseline → numbers of the images of each of its sets."""
SHOWN_NEAR = 4
"""Real images that are shown beside each one of the method itself; one beside those of variants."""
# What a curve of images per class varies beside the count; the real images are those of the plain curve.
_STARTS = {"slots", "init"}


def distilled_sets(work: Work, classes: tuple[str, ...], variant: str = "") -> list[LabeledImages]:
    """The distilled sets of all replicates, labelled as a data set's classes are numbered.

    Raises:
        FileError: if one is missing, damaged, of another cell, of other classes or from other features.
    """
    inputs = work.inputs(*work.params.members(work.source))
    return [distilled_set(cell, classes, inputs) for cell in work.cells(variant)]


def distilled_set(cell: Cell, classes: tuple[str, ...], inputs: Mapping[str, str]) -> LabeledImages:
    """The distilled set of a cell, labelled as `classes` are numbered, if it was made from `inputs`."""
    found = load_distilled(cell.distilled)
    check_of(cell.distilled, found.facts, cell)
    try:
        labels = found.labels_in(classes)
    except InputError as error:
        raise StaleFileError(cell.distilled, f"is not of this data set ({error})") from error
    check_made_from(cell.distilled, found.facts, inputs)
    return LabeledImages(found.images, labels)


def near_images(
    work: Work, own: list[Opened], distilled: list[LabeledImages], count: int = 1
) -> list[Neighbors]:
    """The real images nearest to those of every distilled set, as its source sees them, `count` to each."""
    members = [(one.backbone, one.cache) for one in own]
    size = work.params.method.input_size
    return [find_neighbors(members, one.images, one.labels, size, count) for one in distilled]


def chosen_images(
    train: ImageSet, near: list[Neighbors], selection: Selection, side: int
) -> dict[str, list[LabeledImages]]:
    """The real training sets that a source chooses: Neighbors, and a selection by name.

    Args:
        train: the training images.
        near: those nearest to the images of every distilled set.
        selection: the others.
        side: of the images in pixels.
    """
    return real_sets(train, {"neighbors": [found.nearest for found in near], **selection}, side)


def selected(work: Work, member: Opened, ipc: int) -> Selection:
    """All selections of `ipc` real images per class in a member's features.

    Random draws are named by the data set alone: every backbone is shown the same images.
    """
    cache = member.cache
    seed = derive_seed(work.params.seed, "random images", work.dataset)
    plain = select_baselines(cache, ipc, draws=work.params.probe.random_seeds, seed=seed)
    return plain | select_further(cache, ipc, seed=work.clusters_seed(member.name))


def probed_selection(
    work: Work, own: list[Opened], variant: str, distilled: LabeledImages
) -> Selection | None:
    """The real images that are probed beside Neighbors; None where not even these are."""
    if not variant:
        ipc = len(distilled.labels) // len(distilled.labels.unique())
        return _baselines(work, own[0].name, ipc)["selection"] if len(own) == 1 else {}
    group, _, name = variant.partition("/")
    changes = work.params.variants.ipc[name] if group == SEVERAL else None
    if changes is None or changes.keys() & _STARTS:
        return None
    return selected(work, own[0], changes["ipc"])


def _baselines(work: Work, backbone: str, ipc: int) -> dict[str, Any]:
    """What the stage `baselines` found.

    Raises:
        FileError: if it is missing, of another cell, from other features, or of another number of images per
            class.
    """
    cell = work.features(backbone)
    found = read_of(cell.baselines, cell)
    check_made_from(cell.baselines, found, work.inputs(backbone))
    if found["ipc"] != ipc:
        told = f"is of {found['ipc']} images per class, and the distilled set has {ipc}"
        raise StaleFileError(cell.baselines, told)
    return found
