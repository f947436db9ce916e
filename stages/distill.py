"""Stage `distill`: Linear Gradient Matching of one data set under one backbone, or of a variant of it."""

if __name__ == "__main__":
    from stages.shared import run_shared_stage

    run_shared_stage("distill", __doc__, "dataset source [variant]")

from dataclasses import asdict, replace

from lgm_core.features.cache import load_features
from lgm_core.foundation.provenance import Measurement, versions
from lgm_core.foundation.ranks import own_ranks
from lgm_core.foundation.seeds import derive_seed
from lgm_core.foundation.store import read_json
from lgm_core.method.distiller import Distiller
from lgm_core.method.real import real_bank
from lgm_core.method.resuming import Checkpoints, Keeper, run_facts
from stages.backbones import opened
from stages.machine import read_machine
from stages.params import check_cell, checkpoint_folder, read_layout, read_params
from stages.progress import losses_on, progress_bar
from stages.signals import finishing_steps


def main(dataset: str, source: str, variant: str = "") -> None:
    """Distil `dataset` with `source` and what `variant`, `<group>/<name>`, changes, from the same draws."""
    params = read_params()
    machine = read_machine()
    ranks = own_ranks()
    check_cell(params, dataset, source)
    cell = read_layout(params).cell(dataset, source, variant)
    measurement = Measurement(machine.device)
    method = params.variant(variant, read_json(cell.overrides))
    distiller = Distiller(
        opened(params, source, machine),
        real_bank(load_features(cell.features), method),
        method,
        seed=derive_seed(params.seed, "distill", dataset, source),
        micro_batch=machine.micro_batch,
        ranks=ranks,
    )
    facts = run_facts(
        distiller,
        dataset=dataset,
        backbone=asdict(params.backbone(source)),
        normalization=params.normalization,
    )
    checkpoints = Checkpoints(checkpoint_folder(cell), facts)
    with finishing_steps() as ending, Keeper(distiller, checkpoints, params.checkpoint, ending) as keep:
        with progress_bar(method.steps, f"distill {dataset} {source}", "steps", shown=ranks.first) as bar:
            bar.update(distiller.state.step)
            result = distiller.run(losses_on(bar), keep)
        if ranks.first:
            made = {"dataset": dataset, "backbone": source, "variant": variant, "seed": params.seed}
            made |= {"method": asdict(method), "versions": versions()}
            replace(result, facts=made).save(cell.distilled)
            measurement.write(cell.run("distill"), keep.seconds())
