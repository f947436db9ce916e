"""Stage `baselines`: choose real images, and measure what the full data set reaches, from features alone."""

from stages.boundary import check_cell, read_layout, read_machine, read_params, run_stage


def main(dataset: str, backbone: str) -> None:
    """Select Centroids and Random, probe the full data set, compute the ceilings."""
    params = read_params()
    check_cell(params, dataset, backbone)
    from lgm_core.ceilings import evaluate_full
    from lgm_core.features import load_features
    from lgm_core.seeds import derive_seed
    from lgm_core.selection import select_baselines
    from lgm_core.store import write_json

    layout, machine = read_layout(params), read_machine()
    made_by = f"dvc repro -f features@{dataset}-{backbone}"
    cache = load_features(layout.features(dataset, backbone), made_by=made_by)
    # Random draws are named by the data set alone: every backbone is shown the same random images.
    selection = select_baselines(
        cache,
        params.method.ipc,
        draws=params.probe.random_seeds,
        seed=derive_seed(params.seed, "random images", dataset),
    )
    seed = derive_seed(params.seed, "baselines", dataset, backbone)
    accuracies = evaluate_full(cache, params.probe, seed=seed, device=machine.device)
    write_json(layout.baselines(dataset, backbone), {**accuracies, "selection": selection})


if __name__ == "__main__":
    run_stage(main, ("dataset", "backbone"))
