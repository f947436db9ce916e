"""Stage `align`: mutual k-NN alignment between all backbones on test images."""

from lgm_core.layout import remaking
from stages.boundary import check_cell, read_layout, read_params, run_stage


def main(dataset: str) -> None:
    """Measure every pair of backbones on the same test images of `dataset`."""
    params = read_params()
    check_cell(params, dataset)
    from lgm_core.alignment import alignment_matrix
    from lgm_core.features import load_features
    from lgm_core.provenance import Measurement, versions
    from lgm_core.store import write_json

    layout, measurement = read_layout(params), Measurement("cpu")
    features = {
        name: load_features(layout.features(dataset, name), made_by=remaking("features", dataset, name)).test
        for name in params.backbones
    }
    facts = {"dataset": dataset, "versions": versions()}
    write_json(layout.alignment(dataset), {**facts, **alignment_matrix(features, params.alignment)})
    measurement.write(layout.run("align", dataset))


if __name__ == "__main__":
    run_stage(main, ("dataset",))
