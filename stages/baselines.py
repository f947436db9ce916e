"""Stage `baselines`: choose real images, and measure what the full data set reaches, from features alone."""

if __name__ == "__main__":
    from stages.process import run_stage

    run_stage("baselines", __doc__, "dataset backbone")

from lgm_core.evaluation.full_data import evaluate_full, full_probe_facts
from lgm_core.evaluation.full_head import save_head
from lgm_core.evaluation.selection import select_baselines
from lgm_core.features.cache import features_behind, features_of
from lgm_core.foundation.belonging import INPUTS, named
from lgm_core.foundation.provenance import Measurement
from lgm_core.foundation.seeds import derive_seed
from lgm_core.foundation.store import write_json
from stages.machine import read_machine
from stages.params import check_cell, read_layout, read_params


def main(dataset: str, backbone: str) -> None:
    """Select Centroids and Random, probe the full data set, compute the ceilings."""
    params = read_params()
    machine = read_machine()
    check_cell(params, dataset, backbone)
    cell = read_layout(params).cell(dataset, backbone)
    measurement = Measurement(machine.device)
    cache = features_of(cell)
    # Random draws are named by the data set alone: every backbone is shown the same random images.
    selection = select_baselines(
        cache,
        params.method.ipc,
        draws=params.probe.random_seeds,
        seed=derive_seed(params.seed, "random images", dataset),
    )
    seed = derive_seed(params.seed, "baselines", dataset, backbone)
    training = measurement.part("probe on all images", params.probe.seeds)
    how = {"device": machine.device, "training": training}
    accuracies, head = evaluate_full(cache, params.probe, seed=seed, **how)
    made = named(cell) | {INPUTS: features_behind(cell)}
    facts = made | {"ipc": params.method.ipc, "seed": params.seed}
    facts["images"] = len(cache.train_labels)
    facts |= full_probe_facts(params.probe)
    write_json(cell.baselines, {**facts, **accuracies, "selection": selection})
    save_head(cell.head, head, cache.classes, made)
    measurement.write(cell, "baselines")
