"""Stage `features`: turn a data set into features of one backbone, once."""

from functools import partial

from stages.boundary import named, progress_bar, read_layout, read_machine, read_params
from stages.launch import run_shared_stage


def main(dataset: str, backbone: str) -> None:
    """Cache the features of `dataset` under `backbone`."""
    params = read_params()
    from lgm_core.datasets import load_splits
    from lgm_core.extraction import extract_features, feature_facts
    from lgm_core.features import save_features
    from lgm_core.integrity import Inspection
    from lgm_core.memory import file_backed
    from lgm_core.parallel import own_ranks
    from lgm_core.provenance import Measurement
    from lgm_core.store import read_json, replacing_folder
    from stages.models import opened

    machine, spec, ranks = read_machine(), params.features(), own_ranks()
    layout, measurement = read_layout(params), Measurement(machine.device)
    source = named(params.datasets, dataset, "datasets")
    read_json(layout.inputs(dataset), made_by=f"dvc repro inputs@{dataset}")
    inspection = Inspection.of(load_splits(source, machine.data_root))
    model = opened(params, backbone, machine)
    total = sum(len(split) for split in inspection.splits) // ranks.world
    what = f"features {dataset} {backbone}" + (f" (1 of {ranks.world} ranks)" if ranks.world > 1 else "")
    target = layout.features(dataset, backbone)
    target.parent.mkdir(parents=True, exist_ok=True)
    with progress_bar(total, what, "images", shown=ranks.first) as bar:
        cache = extract_features(
            model,
            inspection.splits,
            spec,
            seed=params.seed,
            workers=machine.workers,
            progress=bar.update,
            ranks=ranks,
            allocate=partial(file_backed, target.parent),
        )
    inspection.finish(ranks)
    if ranks.first:
        with replacing_folder(target) as folder:
            inspection.save(folder)
            save_features(folder, cache, feature_facts(spec, params.seed))
        measurement.write(layout.run("features", dataset, backbone))


if __name__ == "__main__":
    run_shared_stage(main, ("dataset", "backbone"))
