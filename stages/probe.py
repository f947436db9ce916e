"""Stage `probe`: what one source distilled, on every backbone, and its real baselines on the source itself.

With --images: any image set on any backbone, as `python -m stages.probe_images --help` says.
"""

if __name__ == "__main__":
    from stages.shared import run_shared_stage

    run_shared_stage("probe", __doc__, "dataset source [variant]", {"--images": "probe_images"})

from lgm_core.evaluation.neighbors import find_neighbors, save_neighbors
from lgm_core.evaluation.small_sets import LabeledImages, evaluate_sets, probe_facts, real_baselines
from lgm_core.features.cache import load_features
from lgm_core.foundation.provenance import Measurement
from lgm_core.foundation.ranks import own_ranks
from lgm_core.foundation.seeds import derive_seed
from lgm_core.foundation.store import read_json, write_json
from stages.backbones import opened
from stages.distilled import train_and_distilled
from stages.machine import read_machine
from stages.params import check_cell, read_layout, read_params
from stages.progress import progress_bar


def main(dataset: str, source: str, variant: str = "") -> None:
    """Evaluate what `source` distilled on all backbones; if not a variant, real images on `source` too."""
    params = read_params()
    machine = read_machine()
    ranks = own_ranks()
    check_cell(params, dataset, source)
    layout = read_layout(params)
    measurement = Measurement(machine.device)
    cell = layout.cell(dataset, source, variant)
    method = params.method
    train, images, labels = train_and_distilled(params, machine, cell)
    distilled = LabeledImages(images, labels)
    targets = {}
    for target in list(params.backbones)[ranks.rank :: ranks.world]:
        cache = load_features(layout.cell(dataset, target).features)
        model = opened(params, target, machine)
        sets = {"distilled": [distilled]}
        if target == source:
            near = find_neighbors(model, cache, images, labels, method.input_size)
            save_neighbors(cell.neighbors, near, train, labels, method.resolution)
            if not variant:
                chosen = read_json(cell.baselines)["selection"]
                sets |= real_baselines(train, near.numbers, chosen, method.resolution)
        seed = derive_seed(params.seed, "probe", dataset, source, target)
        how = {"input_size": method.input_size, "seed": seed}
        with progress_bar(sum(map(len, sets.values())), f"probe {dataset} on {target}", "sets") as bar:
            targets[target] = evaluate_sets(model, cache, sets, params.probe, **how, progress=bar.update)
    every = {"targets": {target: runs for part in ranks.collect(targets) for target, runs in part.items()}}
    if ranks.first:
        names = {"dataset": dataset, "source": source, "variant": variant}
        write_json(cell.probe, probe_facts(params.probe, **names, seed=params.seed) | every)
        measurement.write(cell.run("probe"))
