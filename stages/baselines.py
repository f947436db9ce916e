"""Stage `baselines`: choose real images, and measure what the full data set reaches, from features alone."""

from lgm_core.layout import making
from stages.boundary import read_layout, read_machine, read_params, run_stage


def main(dataset: str, backbone: str) -> None:
    """Select Centroids and Random, probe the full data set, compute the ceilings."""
    params = read_params()
    from lgm_core.ceilings import FULL_PROBE_SETTINGS, evaluate_full
    from lgm_core.features import load_features
    from lgm_core.provenance import Measurement, settings_of, versions
    from lgm_core.seeds import derive_seed
    from lgm_core.selection import select_baselines
    from lgm_core.store import write_json

    layout, machine = read_layout(params), read_machine()
    measurement = Measurement(machine.device)
    made_by = making("features", dataset, backbone)
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
    facts = {"dataset": dataset, "backbone": backbone, "ipc": params.method.ipc, "seed": params.seed}
    facts |= {"probe": settings_of(params.probe, FULL_PROBE_SETTINGS), "versions": versions()}
    write_json(layout.baselines(dataset, backbone), {**facts, **accuracies, "selection": selection})
    measurement.write(layout.run("baselines", dataset, backbone))


if __name__ == "__main__":
    run_stage(main, ("dataset", "backbone"))
