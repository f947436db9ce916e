"""Probing image sets on every backbone: what the stages `probe` and `judge` have in common."""

from __future__ import annotations

from typing import Any

from lgm_core.evaluation.small_sets import RANDOM, LabeledImages, evaluate_sets, probe_count
from lgm_core.foundation.finished import forget
from lgm_core.foundation.layout import Cell
from lgm_core.foundation.provenance import Measurement
from lgm_core.foundation.ranks import own_ranks
from lgm_core.foundation.seeds import derive_seed
from stages.params import checkpoint_folder
from stages.progress import progress_bar
from stages.work import Opened, Work


def probed(
    work: Work,
    own: list[Opened],
    sets: dict[str, list[LabeledImages]],
    measurement: Measurement,
    *,
    for_members: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Accuracies of image sets on the members of a source and on all backbones that are compared.

    Args:
        work: data set and source.
        own: the source's members.
        sets: training sets by name.
        measurement: notes the seconds of a probe on every backbone.
        for_members: names of sets that only the members are shown.

    Returns:
        Backbone → set → measure → runs, whichever rank measured it.
    """
    params = work.params
    ranks = own_ranks()
    known = {one.name: one for one in own}
    found = {}
    for target in list(dict.fromkeys((*known, *params.backbones)))[ranks.rank :: ranks.world]:
        seen = known.get(target) or work.opened(target)
        shown = {name: of for name, of in sets.items() if target in known or name not in for_members}
        seed = derive_seed(params.seed, "probe", work.dataset, work.source, target)
        how = {"input_size": params.method.input_size, "seed": seed, "draws": (RANDOM,)}
        bar = progress_bar(sum(map(len, shown.values())), f"probe {work.dataset} on {target}", "sets")
        with bar, measurement.part(f"probe on {target}", probe_count(shown, params.probe)):
            found[target] = evaluate_sets(
                seen.backbone, seen.cache, shown, params.probe, **how, progress=bar.update
            )
    return {target: runs for part in ranks.collect(found) for target, runs in part.items()}


def forget_checkpoints(cells: list[Cell], distilled: list[LabeledImages]) -> None:
    """Remove what is left of the runs that made these sets: DVC runs what reads them once it keeps them."""
    for cell, found in zip(cells, distilled, strict=True):
        forget(checkpoint_folder(cell), found.images)
