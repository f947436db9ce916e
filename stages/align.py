"""Stage `align`: mutual k-NN alignment between all backbones on test images."""

from stages.boundary import check_cell, read_layout, read_params, run_stage


def main(dataset: str) -> None:
    """Measure every pair of backbones on the same test images of `dataset`."""
    params = read_params()
    check_cell(params, dataset)
    from lgm_core.alignment import alignment_matrix
    from lgm_core.features import load_features
    from lgm_core.store import write_json

    layout = read_layout(params)
    features = {
        name: load_features(
            layout.features(dataset, name), made_by=f"dvc repro -f features@{dataset}-{name}"
        ).test
        for name in params.backbones
    }
    write_json(layout.alignment(dataset), alignment_matrix(features, params.alignment))


if __name__ == "__main__":
    run_stage(main, ("dataset",))
