"""Stage `distill`: Linear Gradient Matching of one data set under one backbone."""

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


def main(dataset: str, backbone: str) -> None:
    """Distil `dataset` with `backbone` and write images, pictures and the loss history."""
    params = read_params()
    check_cell(params, dataset, backbone)
    from lgm_core.backbones import open_backbone
    from lgm_core.checkpoint import Checkpoints, Keeper, run_facts
    from lgm_core.distill import Distiller, RealBank
    from lgm_core.distilled import save_distilled
    from lgm_core.features import load_features
    from lgm_core.parallel import own_ranks
    from lgm_core.seeds import derive_seed

    layout, machine, method, ranks = read_layout(params), read_machine(), params.method, own_ranks()
    made_by = f"dvc repro -f features@{dataset}-{backbone}"
    cache = load_features(layout.features(dataset, backbone), made_by=made_by)
    row = params.backbones[backbone]
    model = open_backbone(
        row,
        input_size=method.input_size,
        normalization=params.normalization,
        device=machine.device,
        compiled=machine.compiled,
    )
    distiller = Distiller(
        model,
        RealBank(cache.real_views, cache.train_labels, len(cache.classes)),
        method,
        seed=derive_seed(params.seed, "distill", dataset, backbone),
        micro_batch=machine.micro_batch,
        ranks=ranks,
    )
    facts = run_facts(distiller, dataset=dataset, backbone=row, normalization=params.normalization)
    checkpoints = Checkpoints(checkpoint_folder(params, dataset, backbone), facts)
    with finishing_steps() as ending, Keeper(distiller, checkpoints, params.checkpoint, ending) as keep:
        with progress_bar(method.steps, f"distill {dataset} {backbone}", "steps", shown=ranks.first) as bar:
            bar.update(distiller.state.step)
            result = distiller.run(losses_on(bar), keep)
        if ranks.first:
            facts = {"dataset": dataset, "backbone": backbone, "seed": params.seed, "seconds": keep.seconds()}
            save_distilled(layout.distilled(dataset, backbone), result, cache.classes, method, facts)


if __name__ == "__main__":
    run_shared_stage(main, ("dataset", "backbone"))
