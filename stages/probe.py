"""Stage `probe`: what one source distilled, and the real images it would choose, on every backbone.

With --images: any image set on any backbone, as `python -m stages.probe_images --help` says.
"""

if __name__ == "__main__":
    from stages.shared import run_shared_stage

    run_shared_stage("probe", __doc__, "dataset source [variant]", {"--images": "probe_images"})

from lgm_core.evaluation.neighbors import find_neighbors, save_neighbors
from lgm_core.evaluation.small_sets import RANDOM, evaluate_sets, probe_count, probe_facts
from lgm_core.features.cache import load_features
from lgm_core.foundation.provenance import Measurement
from lgm_core.foundation.ranks import own_ranks
from lgm_core.foundation.seeds import derive_seed
from lgm_core.foundation.store import write_json
from stages.backbones import opened
from stages.distilled import chosen_images, train_and_distilled
from stages.machine import read_machine
from stages.params import check_cell, read_layout, read_params
from stages.progress import progress_bar


def main(dataset: str, source: str, variant: str = "") -> None:
    """Evaluate what `source` distilled, and real images it chooses, on all backbones; Random on itself."""
    params = read_params()
    machine = read_machine()
    ranks = own_ranks()
    check_cell(params, dataset, source)
    layout = read_layout(params)
    measurement = Measurement(machine.device)
    cells = layout.replicates(params.distillations, dataset, source, variant)
    size, side = params.method.input_size, params.method.resolution
    train, distilled = train_and_distilled(params, machine, cells)
    own = load_features(cells[0].features)
    model = opened(params, source, machine)
    near = [find_neighbors(model, own, one.images, one.labels, size) for one in distilled]
    real = {} if variant else chosen_images(train, near, cells[0].baselines, side)
    targets = {}
    for target in list(dict.fromkeys((source, *params.backbones)))[ranks.rank :: ranks.world]:
        cache = own if target == source else load_features(layout.cell(dataset, target).features)
        seen = model if target == source else opened(params, target, machine)
        shown = {name: sets for name, sets in real.items() if target == source or name != RANDOM}
        sets = {"distilled": distilled, **shown}
        seed = derive_seed(params.seed, "probe", dataset, source, target)
        how = {"input_size": size, "seed": seed, "draws": (RANDOM,)}
        bar = progress_bar(sum(map(len, sets.values())), f"probe {dataset} on {target}", "sets")
        with bar, measurement.part(f"probe on {target}", probe_count(sets, params.probe)):
            targets[target] = evaluate_sets(seen, cache, sets, params.probe, **how, progress=bar.update)
    every = {"targets": {target: runs for part in ranks.collect(targets) for target, runs in part.items()}}
    if ranks.first:
        save_neighbors(cells[0].neighbors, near[0], train, distilled[0].labels, side)
        names = {"dataset": dataset, "source": source, "variant": variant}
        write_json(cells[0].probe, probe_facts(params.probe, **names, seed=params.seed) | every)
        measurement.write(cells[0].run("probe"))
