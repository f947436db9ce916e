"""Stage `neighbors`: real images nearest to what a backbone of Figure 8 alone distilled, unprobed."""

if __name__ == "__main__":
    from stages.process import run_stage

    run_stage("neighbors", __doc__, "dataset source")

from lgm_core.data.integrity import unchanged
from lgm_core.data.sources import load_images
from lgm_core.evaluation.neighbors import find_neighbors, save_neighbors
from lgm_core.features.cache import load_features
from stages.backbones import opened
from stages.distilled import distilled_for
from stages.machine import read_machine
from stages.params import check_cell, read_layout, read_params


def main(dataset: str, source: str) -> None:
    """Find and keep the training images nearest to what `source` distilled from `dataset`."""
    params = read_params()
    machine = read_machine()
    check_cell(params, dataset, source)
    cell = read_layout(params).cell(dataset, source)
    method = params.method
    train = load_images(params.datasets[dataset], "train", machine.data_root)
    train = unchanged(train, "train", cell.features)
    images, labels = distilled_for(train.classes, cell.distilled)
    model = opened(params, source, machine)
    near = find_neighbors(model, load_features(cell.features), images, labels, method.input_size)
    save_neighbors(cell.neighbors, near, train, labels, method.resolution)
