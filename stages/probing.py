"""Probing image sets on every backbone: what the stages `probe` and `judge` have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from lgm_core.evaluation.small_sets import RANDOM, LabeledImages, Runs, evaluate_sets, probe_count
from lgm_core.foundation.finished import forget
from lgm_core.foundation.layout import Cell
from lgm_core.foundation.provenance import Measurement
from lgm_core.foundation.ranks import own_ranks
from lgm_core.foundation.seeds import derive_seed
from stages.params import checkpoint_folder
from stages.progress import progress_bar
from stages.work import Opened, Work

Found = TypeVar("Found")


def on_every_backbone(work: Work, own: list[Opened], what: Callable[[Opened], Found]) -> dict[str, Found]:
    """What is found on the members of a source and on all backbones that are compared.

    Args:
        work: data set and source.
        own: the source's members.
        what: done on every backbone, each opened once.

    Returns:
        By backbone, whichever rank found it.
    """
    ranks = own_ranks()
    known = {one.name: one for one in own}
    targets = work.targets()[ranks.rank :: ranks.world]
    found = {target: what(known.get(target) or work.opened(target)) for target in targets}
    return {target: one for part in ranks.collect(found) for target, one in part.items()}


def probed(
    work: Work, target: Opened, sets: dict[str, list[LabeledImages]], measurement: Measurement
) -> dict[str, Runs]:
    """Accuracies of image sets on one backbone, set → measure → runs; notes the seconds of a probe."""
    params = work.params
    seed = derive_seed(params.seed, "probe", work.dataset, work.source, target.name)
    how = {"input_size": params.method.input_size, "seed": seed, "draws": (RANDOM,)}
    bar = progress_bar(sum(map(len, sets.values())), f"probe {work.dataset} on {target.name}", "sets")
    with bar, measurement.part(f"probe on {target.name}", probe_count(sets, params.probe)):
        return evaluate_sets(
            target.backbone,
            target.cache,
            sets,
            params.probe,
            **how,
            by_class=("distilled",),
            progress=bar.update,
        )


def forget_checkpoints(cells: list[Cell], distilled: list[LabeledImages]) -> None:
    """Remove what is left of the runs that made these sets: DVC runs what reads them once it keeps them."""
    for cell, found in zip(cells, distilled, strict=True):
        forget(checkpoint_folder(cell), found.images)
