"""Stage `features`: turn a data set into features of one backbone, once."""

if __name__ == "__main__":
    from stages.shared import run_shared_stage

    run_shared_stage("features", __doc__, "dataset backbone")

from functools import partial

from lgm_core.data.integrity import Inspection
from lgm_core.data.sources import SPLITS, load_splits
from lgm_core.features.cache import save_features
from lgm_core.features.extraction import extract_features, feature_facts
from lgm_core.features.samples import save_samples
from lgm_core.foundation.provenance import Measurement
from lgm_core.foundation.ranks import own_ranks
from lgm_core.foundation.store import read_json, replacing_folder
from lgm_core.foundation.transfer import file_backed
from stages.backbones import opened
from stages.machine import read_machine
from stages.params import check_cell, read_layout, read_params
from stages.progress import progress_bar


def main(dataset: str, backbone: str) -> None:
    """Cache the features of `dataset` under `backbone`, and sample pictures of it."""
    params = read_params()
    machine = read_machine()
    ranks = own_ranks()
    check_cell(params, dataset, backbone)
    cell = read_layout(params).cell(dataset, backbone)
    spec = params.features()
    measurement = Measurement(machine.device)
    read_json(cell.inputs)
    splits = load_splits(params.datasets[dataset], machine.data_root)
    inspection = Inspection.of(splits)
    total = sum(len(split) for split in splits) // ranks.world
    what = f"features {dataset} {backbone}" + (f" (1 of {ranks.world} ranks)" if ranks.world > 1 else "")
    cell.features.parent.mkdir(parents=True, exist_ok=True)
    with progress_bar(total, what, "images", shown=ranks.first) as bar:
        cache = extract_features(
            opened(params, backbone, machine),
            inspection.splits,
            spec,
            seed=params.seed,
            workers=machine.workers,
            progress=bar.update,
            ranks=ranks,
            allocate=partial(file_backed, cell.features.parent),
        )
    inspection.finish(ranks)
    if ranks.first:
        with replacing_folder(cell.features) as folder:
            inspection.save(folder)
            save_features(folder, cache, feature_facts(spec, params.seed))
            save_samples(folder, dict(zip(SPLITS, splits, strict=True)), spec.resolution)
        measurement.write(cell.run("features"))
