"""Stage `features`: turn a data set into features of one backbone, once."""

from stages.boundary import named, progress_bar, read_layout, read_machine, read_params, run_stage


def main(dataset: str, backbone: str) -> None:
    """Cache the features of `dataset` under `backbone`."""
    params = read_params()
    from lgm_core.backbones import open_backbone
    from lgm_core.datasets import load_splits
    from lgm_core.extraction import extract_features, feature_facts
    from lgm_core.features import save_features
    from lgm_core.store import read_json, replacing_folder

    layout, machine, spec = read_layout(params), read_machine(), params.features()
    source = named(params.datasets, dataset, "datasets")
    read_json(layout.inputs(dataset), made_by=f"dvc repro inputs@{dataset}")
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
    with replacing_folder(layout.features(dataset, backbone)) as folder:
        save_features(folder, cache, feature_facts(spec, params.seed))


if __name__ == "__main__":
    run_stage(main, ("dataset", "backbone"))
