"""Distilling one cell: what the stages `distill` and `distill_ipc` have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from torch import Tensor

from lgm_core.distilled import DistilledSet, save_distilled
from lgm_core.features.clusters import cluster_classes
from lgm_core.foundation.belonging import INPUTS, named
from lgm_core.foundation.layout import Cell
from lgm_core.foundation.provenance import Measurement, versions
from lgm_core.foundation.ranks import own_ranks
from lgm_core.foundation.seeds import derive_seed
from lgm_core.foundation.store import read_json
from lgm_core.method.distiller import Distiller, Member
from lgm_core.method.identity import run_facts
from lgm_core.method.real import real_bank
from lgm_core.method.resuming import Checkpoints, Keeper
from lgm_core.settings.method import CLUSTERS, REAL, MethodSettings
from lgm_core.settings.params import Params
from stages.params import checkpoint_folder
from stages.progress import losses_on, progress_bar
from stages.signals import finishing_steps
from stages.work import Opened, Work

Start = Callable[[Work, str, list[int]], Tensor]
"""From the first member's name and numbers of training images to these images."""


def distil(work: Work, variant: str, start: Start | None = None) -> None:
    """Distil with what `variant`, `<group>/<name>`, changes; `distillations` times.

    Args:
        work: data set and source.
        variant: empty for the method itself.
        start: reads real images, where the method may start from them.
    """
    params = work.params
    measurement = Measurement(work.machine.device)
    method = params.variant(variant, read_json(work.layout.cell(work.dataset).overrides))
    members, images = _members(work, method, work.members(), start)
    inputs = work.inputs(*params.members(work.source))
    told = {name: asdict(params.backbone(name)) for name in params.members(work.source)}
    ranks = own_ranks()
    done = []
    for cell in work.cells(variant):
        further = ("again", cell.replicate) if cell.replicate else ()
        seed = derive_seed(params.seed, "distill", work.dataset, work.source, *further)
        how = {"seed": seed, "micro_batch": work.machine.micro_batch, "ranks": ranks, "start": images}
        distiller = Distiller(members, method, **how)
        facts = {"dataset": work.dataset, "backbones": told, "normalization": params.normalization}
        result, seconds, checkpoints = _run(distiller, cell, run_facts(distiller, **facts), params)
        made = named(cell) | {INPUTS: inputs, "backbone": work.source, "seed": params.seed}
        made |= {"members": params.members(work.source), "method": asdict(method), "versions": versions()}
        done.append((replace(result, facts=made | {"replicate": cell.replicate}), seconds, checkpoints))
    if ranks.first:
        first = work.cells(variant)[0]
        save_distilled(first.distilled, [result for result, _, _ in done])
        measurement.write(first, "distill", sum(seconds for _, seconds, _ in done))
        for result, _, checkpoints in done:
            checkpoints.finish(result.images)


def _members(
    work: Work, method: MethodSettings, own: list[Opened], start: Start | None
) -> tuple[list[Member], Tensor | None]:
    """What distils together, and the images that it starts from; clusters are those of the first member."""
    slots = images = None
    if method.slots == CLUSTERS or method.init == REAL:
        cache = own[0].cache
        seed = work.clusters_seed(own[0].name)
        clusters = cluster_classes(
            cache.train, cache.train_labels, method.ipc, seed=seed, classes=cache.classes
        )
        slots = clusters.slots if method.slots == CLUSTERS else None
        if method.init == REAL and start is not None:
            images = start(work, own[0].name, clusters.medoids.tolist())
    return [
        Member(one.backbone, real_bank(one.cache, method, slots), one.name, one.weight) for one in own
    ], images


def _run(
    distiller: Distiller, cell: Cell, facts: dict[str, Any], params: Params
) -> tuple[DistilledSet, float, Checkpoints]:
    """Distil from the newest checkpoint on; the set, the seconds of the whole run, its checkpoints."""
    checkpoints = Checkpoints(checkpoint_folder(cell), facts)
    with finishing_steps() as ending, Keeper(distiller, checkpoints, params.checkpoint, ending) as keep:
        words = ["distill", cell.dataset, cell.source, cell.variant, str(cell.replicate or "")]
        title = " ".join(filter(None, words))
        with progress_bar(distiller.method.steps, title, "steps", shown=distiller.ranks.first) as bar:
            bar.update(distiller.state.step)
            result = distiller.run(losses_on(bar), keep)
    return result, keep.seconds(), checkpoints
