"""Stage `distill`: Linear Gradient Matching of one data set under one backbone."""

from stages.boundary import check_cell, named, progress_bar, read_layout, read_machine, read_params
from stages.launch import run_shared_stage


def main(dataset: str, backbone: str) -> None:
    """Distil `dataset` with `backbone` and write images, pictures and the loss history."""
    params = read_params()
    check_cell(params, dataset, backbone)
    from lgm_core.backbones import open_backbone
    from lgm_core.distill import Distiller, RealBank
    from lgm_core.distilled import save_distilled
    from lgm_core.features import load_features
    from lgm_core.parallel import own_ranks
    from lgm_core.seeds import derive_seed

    layout, machine, method, ranks = read_layout(params), read_machine(), params.method, own_ranks()
    made_by = f"dvc repro -f features@{dataset}-{backbone}"
    cache = load_features(layout.features(dataset, backbone), made_by=made_by)
    model = open_backbone(
        named(params.backbones, backbone, "backbones"),
        input_size=method.input_size,
        normalization=params.normalization,
        device=machine.device,
        precision=machine.precision,
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
    what = f"distill {dataset} {backbone}"
    with progress_bar(method.steps, what, "steps", shown=ranks.first) as bar:

        def show(step: int, loss: float) -> None:
            bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
            bar.update()

        result = distiller.run(show)
        seconds = bar.format_dict["elapsed"]
    if not ranks.first:
        return
    facts = {"dataset": dataset, "backbone": backbone, "seed": params.seed, "seconds": seconds}
    save_distilled(layout.distilled(dataset, backbone), result, cache.classes, method, facts)


if __name__ == "__main__":
    run_shared_stage(main, ("dataset", "backbone"))
