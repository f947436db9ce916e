"""Stage `distill`: Linear Gradient Matching of one data set under one backbone, or of a variant of it."""

if __name__ == "__main__":
    from stages.shared import run_shared_stage

    run_shared_stage("distill", __doc__, "dataset source [variant]")

from dataclasses import asdict, replace

from lgm_core.distilled import save_distilled
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
    """Distil `dataset` with `source` and what `variant`, `<group>/<name>`, changes; `distillations` times."""
    params = read_params()
    machine = read_machine()
    ranks = own_ranks()
    check_cell(params, dataset, source)
    layout = read_layout(params)
    measurement = Measurement(machine.device)
    method = params.variant(variant, read_json(layout.cell(dataset).overrides))
    backbone = opened(params, source, machine)
    bank = real_bank(load_features(layout.cell(dataset, source).features), method).to(backbone.device)
    told = {"backbone": asdict(params.backbone(source)), "normalization": params.normalization}
    made = {"dataset": dataset, "backbone": source, "variant": variant, "seed": params.seed}
    made |= {"method": asdict(method), "versions": versions()}
    done = []
    for cell in layout.replicates(params.distillations, dataset, source, variant):
        further = ("again", cell.replicate) if cell.replicate else ()
        seed = derive_seed(params.seed, "distill", dataset, source, *further)
        how = {"seed": seed, "micro_batch": machine.micro_batch, "ranks": ranks}
        distiller = Distiller(backbone, bank, method, **how)
        checkpoints = Checkpoints(checkpoint_folder(cell), run_facts(distiller, dataset=dataset, **told))
        with finishing_steps() as ending, Keeper(distiller, checkpoints, params.checkpoint, ending) as keep:
            title = f"distill {dataset} {source}{f' {cell.replicate}' if cell.replicate else ''}"
            with progress_bar(method.steps, title, "steps", shown=ranks.first) as bar:
                bar.update(distiller.state.step)
                result = distiller.run(losses_on(bar), keep)
        facts = made | {"replicate": cell.replicate}
        done.append((replace(result, facts=facts), checkpoints, keep.seconds()))
    if ranks.first:
        first = layout.cell(dataset, source, variant)
        save_distilled(first.distilled, [result for result, _, _ in done])
        measurement.write(first.run("distill"), sum(seconds for _, _, seconds in done))
        for _, checkpoints, _ in done:
            checkpoints.clear()
