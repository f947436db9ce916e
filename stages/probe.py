"""Stage `probe`: what one backbone distilled, on every backbone; with --images: `stages.probe_images`."""

import importlib
import sys

from lgm_core.layout import remaking
from stages.boundary import check_cell, progress_bar, read_layout, read_machine, read_params
from stages.launch import run_shared_stage


def main(dataset: str, source: str, variant: str = "") -> None:
    """Evaluate what `source` distilled on all backbones; if not a variant, real images on `source` too."""
    params = read_params()
    check_cell(params, dataset, source)
    from lgm_core.datasets import load_images
    from lgm_core.distilled import load_distilled
    from lgm_core.evaluation import LabeledImages, evaluate_sets, probe_facts, real_baselines
    from lgm_core.features import load_features
    from lgm_core.integrity import unchanged
    from lgm_core.neighbors import find_neighbors, save_neighbors
    from lgm_core.parallel import own_ranks
    from lgm_core.provenance import Measurement
    from lgm_core.seeds import derive_seed
    from lgm_core.store import read_json, write_json
    from stages.models import opened

    layout, machine, ranks = read_layout(params), read_machine(), own_ranks()
    size, side, measurement = params.method.input_size, params.method.resolution, Measurement(machine.device)
    train = load_images(params.datasets[dataset], "train", machine.data_root)
    folder, again = layout.distilled(dataset, source, variant), remaking("distill", dataset, source, variant)
    images, labels = load_distilled(folder, train.classes, made_by=again)
    again = remaking("features", dataset, source)
    train = unchanged(train, "train", layout.features(dataset, source), made_by=again)
    targets = {}
    for target in list(params.backbones)[ranks.rank :: ranks.world]:
        cache = load_features(layout.features(dataset, target), made_by=remaking("features", dataset, target))
        model, sets = opened(params, target, machine), {"distilled": [LabeledImages(images, labels)]}
        if target == source:
            near = find_neighbors(model, cache, images, labels, size)
            save_neighbors(layout.neighbors(dataset, source, variant), near, train, labels, side)
            if not variant:
                again = remaking("baselines", dataset, source)
                real = read_json(layout.baselines(dataset, source), made_by=again)
                sets |= real_baselines(train, near.numbers, real["selection"], side)
        how = {"input_size": size, "seed": derive_seed(params.seed, "probe", dataset, source, target)}
        with progress_bar(sum(map(len, sets.values())), f"probe {dataset} on {target}", "sets") as bar:
            targets[target] = evaluate_sets(model, cache, sets, params.probe, **how, progress=bar.update)
    every = {"targets": {target: found for part in ranks.collect(targets) for target, found in part.items()}}
    if ranks.first:
        facts = probe_facts(params.probe, dataset=dataset, source=source, variant=variant, seed=params.seed)
        write_json(layout.probe(dataset, source, variant), facts | every)
        measurement.write(layout.run("probe", dataset, source, variant))


if __name__ == "__main__":
    if "--images" in sys.argv:  # by name, so that the pipeline's cells do not depend on that module
        sys.exit(importlib.import_module("stages.probe_images").run())
    run_shared_stage(main, ("dataset", "source"), ("variant",))
