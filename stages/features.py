"""Stage `features`: turn a data set into features of one backbone, once."""

from functools import partial

from stages.boundary import named, progress_bar, read_layout, read_machine, read_params
from stages.launch import run_shared_stage


def main(dataset: str, backbone: str) -> None:
    """Cache the features of `dataset` under `backbone`."""
    params = read_params()
    from lgm_core.backbones import open_backbone
    from lgm_core.datasets import load_splits
    from lgm_core.extraction import extract_features, feature_facts
    from lgm_core.features import save_features
    from lgm_core.memory import file_backed
    from lgm_core.parallel import own_ranks
    from lgm_core.store import replacing_folder

    machine, spec, ranks = read_machine(), params.features(), own_ranks()
    splits = load_splits(named(params.datasets, dataset, "datasets"), machine.data_root)
    model = open_backbone(
        named(params.backbones, backbone, "backbones"),
        input_size=spec.input_size,
        normalization=params.normalization,
        device=machine.device,
        precision=machine.precision,
        compiled=machine.compiled,
    )
    total = sum(len(split) for split in splits) // ranks.world
    what = f"features {dataset} {backbone}" + (f" (1 of {ranks.world} ranks)" if ranks.world > 1 else "")
    target = read_layout(params).features(dataset, backbone)
    target.parent.mkdir(parents=True, exist_ok=True)
    with progress_bar(total, what, "images", shown=ranks.first) as bar:
        cache = extract_features(
            model,
            splits,
            spec,
            seed=params.seed,
            workers=machine.workers,
            progress=bar.update,
            ranks=ranks,
            allocate=partial(file_backed, target.parent),
        )
    if ranks.first:
        with replacing_folder(target) as folder:
            save_features(folder, cache, feature_facts(spec, params.seed))


if __name__ == "__main__":
    run_shared_stage(main, ("dataset", "backbone"))
