"""Probe any image set on any backbone: python -m stages.probe --images DIR --backbone NAME [--dataset NAME].

DIR is an export, a result folder, or class folders. NAME is a backbone of params.yaml or a source such as
timm:<tag>. The data set, whose test images decide, is the set's own unless it is given.
"""

import argparse
import sys
from statistics import fmean, pstdev

from lgm_core.errors import InputError
from stages.boundary import named, progress_bar, read_machine, read_params, run_stage


def main(images: str, backbone: str, dataset: str) -> None:
    """Print the accuracies of probes and of 1-NN."""
    params = read_params()
    from dataclasses import replace

    from lgm_core.backbones import open_backbone
    from lgm_core.datasets import load_images
    from lgm_core.evaluation import LabeledImages, evaluate_sets
    from lgm_core.export import load_distilled
    from lgm_core.extraction import extract_test
    from lgm_core.seeds import derive_seed

    found = load_distilled(images)
    dataset = dataset or found.facts.get("dataset", "")
    if not dataset:
        raise InputError(f"{images} does not say what it was distilled from; add --dataset <name>.")
    machine, spec = read_machine(), params.features()
    test = load_images(named(params.datasets, dataset, "datasets"), "test", machine.data_root)
    model = open_backbone(
        params.backbones.get(backbone, {"source": backbone}),
        input_size=spec.input_size,
        normalization=params.normalization,
        device=machine.device,
        precision=machine.precision,
    )
    sets = {"images": [LabeledImages(found.images, found.labels_in(test.classes))]}
    with progress_bar(len(test), f"test images of {dataset}", "images") as bar:
        cache = extract_test(model, test, spec, workers=machine.workers, progress=bar.update)
    seed = derive_seed(params.seed, "probe images", dataset, backbone)
    # There are no training features to hold out for early stopping: the final epoch counts.
    probe = replace(params.probe, patience=0)
    result = evaluate_sets(model, cache, sets, probe, input_size=spec.input_size, seed=seed)["images"]
    for measure, runs in result.items():
        print(f"{measure:17} {fmean(runs):.2f} ± {pstdev(runs):.2f} % over {len(runs)} runs")


def run() -> None:
    """Read the options and probe."""
    parser = argparse.ArgumentParser(prog="python -m stages.probe", description=__doc__)
    parser.add_argument("--images", required=True)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--dataset")
    given = parser.parse_args()
    sys.argv[1:] = [given.images, given.backbone, given.dataset or ""]
    run_stage(main, ("images", "backbone", "dataset"))
