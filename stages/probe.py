"""Stage `probe`: what one backbone distilled, probed on every backbone, beside its real baselines."""

from typing import Any

from stages.boundary import check_cell, named, progress_bar, read_layout, read_machine, read_params
from stages.launch import run_shared_stage


def main(dataset: str, source: str) -> None:
    """Evaluate the set distilled with `source` on all backbones, and real images on `source` itself."""
    params = read_params()
    check_cell(params, dataset, source)
    from lgm_core.backbones import open_backbone
    from lgm_core.datasets import load_splits
    from lgm_core.distilled import load_distilled
    from lgm_core.evaluation import LabeledImages, evaluate_sets, real_baselines
    from lgm_core.features import load_features
    from lgm_core.parallel import own_ranks
    from lgm_core.seeds import derive_seed
    from lgm_core.store import read_json, write_json

    layout, machine, method, ranks = read_layout(params), read_machine(), params.method, own_ranks()
    train, _ = load_splits(named(params.datasets, dataset, "datasets"), machine.data_root)
    made_by = f"dvc repro -f distill@{dataset}-{source}"
    images, labels = load_distilled(layout.distilled(dataset, source), train.classes, made_by=made_by)
    targets: dict[str, Any] = {}
    for target, row in list(params.backbones.items())[ranks.rank :: ranks.world]:
        made_by = f"dvc repro -f features@{dataset}-{target}"
        cache = load_features(layout.features(dataset, target), made_by=made_by)
        model = open_backbone(
            row,
            input_size=method.input_size,
            normalization=params.normalization,
            device=machine.device,
            precision=machine.precision,
            compiled=machine.compiled,
        )
        sets = {"distilled": [LabeledImages(images, labels)]}
        if target == source:
            made_by = f"dvc repro -f baselines@{dataset}-{source}"
            chosen = read_json(layout.baselines(dataset, source), made_by=made_by)["selection"]
            sets |= real_baselines(model, cache, train, sets["distilled"][0], chosen, method)
        total = sum(len(members) for members in sets.values())
        seed = derive_seed(params.seed, "probe", dataset, source, target)
        with progress_bar(total, f"probe {dataset} {source} on {target}", "sets") as bar:
            targets[target] = evaluate_sets(
                model, cache, sets, params.probe, input_size=method.input_size, seed=seed, progress=bar.update
            )
    every = {target: found for part in ranks.collect(targets) for target, found in part.items()}
    if ranks.first:
        write_json(layout.probe(dataset, source), {"source": source, "targets": every})


if __name__ == "__main__":
    run_shared_stage(main, ("dataset", "source"))
