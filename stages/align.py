"""Stage `align`: mutual k-NN alignment between all backbones on test images."""

if __name__ == "__main__":
    from stages.process import run_stage

    run_stage("align", __doc__, "dataset")

from lgm_core.evaluation.alignment import alignment_matrix
from lgm_core.features.cache import features_behind, features_of
from lgm_core.foundation.belonging import INPUTS, named
from lgm_core.foundation.provenance import Measurement, versions
from lgm_core.foundation.store import write_json
from stages.params import check_cell, read_layout, read_params


def main(dataset: str) -> None:
    """Measure every pair of backbones on the same test images of `dataset`."""
    params = read_params()
    check_cell(params, dataset)
    layout = read_layout(params)
    measurement = Measurement("cpu")
    cells = {name: layout.cell(dataset, name) for name in params.backbones}
    features = {name: features_of(one).test for name, one in cells.items()}
    cell = layout.cell(dataset)
    facts = named(cell) | {INPUTS: features_behind(*cells.values()), "versions": versions()}
    write_json(cell.alignment, {**facts, **alignment_matrix(features, params.alignment)})
    measurement.write(cell, "align")
