"""Stage `distill`: Linear Gradient Matching of one data set under one backbone."""

from lgm_core.layout import remaking
from stages.boundary import (
    check_cell,
    checkpoint_folder,
    finishing_steps,
    losses_on,
    progress_bar,
    read_layout,
    read_machine,
    read_params,
)
from stages.launch import run_shared_stage


def main(dataset: str, backbone: str, variant: str = "") -> None:
    """Distil `dataset` with `backbone` and what `variant`, `<group>/<name>`, changes, from the same draws."""
    params = read_params()
    check_cell(params, dataset, backbone)
    from lgm_core.bank import real_bank
    from lgm_core.checkpoint import Checkpoints, Keeper, run_facts
    from lgm_core.distill import Distiller
    from lgm_core.distilled import save_distilled
    from lgm_core.features import load_features
    from lgm_core.parallel import own_ranks
    from lgm_core.provenance import Measurement
    from lgm_core.seeds import derive_seed
    from lgm_core.store import read_json
    from stages.models import opened

    layout, machine, ranks = read_layout(params), read_machine(), own_ranks()
    overrides = read_json(layout.overrides(dataset), made_by=f"dvc repro overrides@{dataset}")
    method, measurement = params.variant(variant, overrides), Measurement(machine.device)
    made_by = remaking(params.stage("features", backbone), dataset, backbone)
    cache = load_features(layout.features(dataset, backbone), made_by=made_by)
    distiller = Distiller(
        opened(params, backbone, machine),
        real_bank(cache, method),
        method,
        seed=derive_seed(params.seed, "distill", dataset, backbone),
        micro_batch=machine.micro_batch,
        ranks=ranks,
    )
    row, statistics = params.backbone(backbone), params.normalization
    facts = run_facts(distiller, dataset=dataset, backbone=row, normalization=statistics)
    checkpoints = Checkpoints(checkpoint_folder(params, dataset, backbone, variant), facts)
    with finishing_steps() as ending, Keeper(distiller, checkpoints, params.checkpoint, ending) as keep:
        with progress_bar(method.steps, f"distill {dataset} {backbone}", "steps", shown=ranks.first) as bar:
            bar.update(distiller.state.step)
            result = distiller.run(losses_on(bar), keep)
        if ranks.first:
            facts = {"dataset": dataset, "backbone": backbone, "variant": variant, "seed": params.seed}
            save_distilled(layout.distilled(dataset, backbone, variant), result, cache.classes, method, facts)
            measurement.write(layout.run("distill", dataset, backbone, variant), keep.seconds())


if __name__ == "__main__":
    run_shared_stage(main, ("dataset", "backbone"), ("variant",))
