"""Stage `neighbors`: real images nearest to what a backbone of Figure 8 alone distilled, unprobed."""

from lgm_core.layout import remaking
from stages.boundary import check_cell, read_layout, read_machine, read_params, run_stage


def main(dataset: str, backbone: str) -> None:
    """Find and keep the training images nearest to what `backbone` distilled from `dataset`."""
    params = read_params()
    check_cell(params, dataset, backbone)
    from lgm_core.datasets import load_images
    from lgm_core.distilled import load_distilled
    from lgm_core.features import load_features
    from lgm_core.integrity import unchanged
    from lgm_core.neighbors import find_neighbors, save_neighbors
    from stages.models import opened

    layout, machine, method = read_layout(params), read_machine(), params.method
    train = load_images(params.datasets[dataset], "train", machine.data_root)
    again = remaking(params.stage("distill", backbone), dataset, backbone)
    images, labels = load_distilled(layout.distilled(dataset, backbone), train.classes, made_by=again)
    folder, again = (
        layout.features(dataset, backbone),
        remaking(params.stage("features", backbone), dataset, backbone),
    )
    train, cache = unchanged(train, "train", folder, made_by=again), load_features(folder, made_by=again)
    near = find_neighbors(opened(params, backbone, machine), cache, images, labels, method.input_size)
    save_neighbors(layout.neighbors(dataset, backbone), near, train, labels, method.resolution)


if __name__ == "__main__":
    run_stage(main, ("dataset", "backbone"))
