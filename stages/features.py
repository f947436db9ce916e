"""Stage `features`: turn a data set into features of one backbone, once."""

from stages.boundary import named, progress_bar, read_layout, read_machine, read_params, run_stage


def main(dataset: str, backbone: str) -> None:
    """Cache the features of `dataset` under `backbone`."""
    params = read_params()
    from lgm_core.backbones import open_backbone
    from lgm_core.datasets import load_splits
    from lgm_core.extraction import extract_features, feature_facts
    from lgm_core.features import save_features
    from lgm_core.inventory import require_inputs
    from lgm_core.store import replacing_folder

    machine, spec = read_machine(), params.features()
    source = named(params.datasets, dataset, "datasets")
    require_inputs(params, dataset, machine.data_root, alone=machine.alone)
    splits = load_splits(source, machine.data_root)
    model = open_backbone(
        named(params.backbones, backbone, "backbones"),
        input_size=spec.input_size,
        normalization=params.normalization,
        device=machine.device,
    )
    total = sum(len(split) for split in splits)
    with progress_bar(total, f"features {dataset} {backbone}", "images") as bar:
        cache = extract_features(
            model, splits, spec, seed=params.seed, workers=machine.workers, progress=bar.update
        )
    with replacing_folder(read_layout(params).features(dataset, backbone)) as folder:
        save_features(folder, cache, feature_facts(spec, params.seed))


if __name__ == "__main__":
    run_stage(main, ("dataset", "backbone"))
