"""Stage `neighbors`: real images nearest to what a backbone of Figure 8 alone distilled, unprobed."""

if __name__ == "__main__":
    from stages.process import run_stage

    run_stage("neighbors", __doc__, "dataset source")

from lgm_core.evaluation.neighbors import find_neighbors, save_neighbors
from lgm_core.features.cache import load_features
from stages.backbones import opened
from stages.distilled import train_and_distilled
from stages.machine import read_machine
from stages.params import check_cell, read_layout, read_params


def main(dataset: str, source: str) -> None:
    """Find and keep the training images nearest to what `source` distilled from `dataset`."""
    params = read_params()
    machine = read_machine()
    check_cell(params, dataset, source)
    cell = read_layout(params).cell(dataset, source)
    method = params.method
    train, images, labels = train_and_distilled(params, machine, cell)
    model = opened(params, source, machine)
    near = find_neighbors(model, load_features(cell.features), images, labels, method.input_size)
    save_neighbors(cell.neighbors, near, train, labels, method.resolution)
