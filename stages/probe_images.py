"""Probe any image set on any backbone: python -m stages.probe_images --images DIR --backbone NAME.

DIR is an export, a result folder, or class folders, whose classes are matched by name. NAME is a backbone of
params.yaml or a source such as timm:<tag>. The data set, whose test images decide, is the set's own unless
--dataset names another. Beside the accuracies stand the measures of Table 11, where this suite has probed as
many random images and all images on that backbone.
"""

if __name__ == "__main__":
    from stages.process import run_stage

    run_stage("probe_images", __doc__, options=("images", "backbone", "[dataset]"))

from statistics import fmean

from lgm_core.data.sources import load_images
from lgm_core.distilled import load_distilled
from lgm_core.evaluation.accuracies import in_words
from lgm_core.evaluation.small_sets import probe
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.seeds import derive_seed
from lgm_core.foundation.sources import BackboneSource
from lgm_core.models.libraries import open_backbone
from stages.machine import read_machine
from stages.measures import measures
from stages.params import check_cell, read_params
from stages.progress import progress_bar


def main(images: str, backbone: str, dataset: str = "") -> None:
    """Print the accuracies of probes and of 1-NN."""
    params = read_params()
    machine = read_machine()
    found = load_distilled(images)
    dataset = dataset or found.facts.get("dataset", "")
    if not dataset:
        raise InputError(f"{images} does not say what it was distilled from; add --dataset <name>.")
    check_cell(params, dataset)
    test = load_images(params.datasets[dataset], "test", machine.data_root)
    model = open_backbone(
        params.backbones.get(backbone, BackboneSource(backbone)),
        input_size=params.method.input_size,
        normalization=params.normalization,
        device=machine.device,
        precision=machine.precision,
    )
    seed = derive_seed(params.seed, "probe images", dataset, backbone)
    with progress_bar(len(test), f"test images of {dataset}", "images") as bar:
        how = {"seed": seed, "workers": machine.workers, "progress": bar.update}
        result = probe(model, found, test, params.probe, **how)
    print("\n".join(in_words(result)))
    if backbone in params.backbones:
        print("\n".join(measures(params, dataset, backbone, found, fmean(result["top1"]))))
