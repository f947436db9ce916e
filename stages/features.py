"""Stage `features`: turn a data set into features of one backbone, once."""

if __name__ == "__main__":
    from stages.shared import run_shared_stage

    run_shared_stage("features", __doc__, "dataset backbone")

from lgm_core.data.integrity import Inspection
from lgm_core.data.sources import SPLITS, load_splits
from lgm_core.features.blocks import Kept
from lgm_core.features.cache import save_features
from lgm_core.features.extraction import extract_features, extraction_facts, feature_facts
from lgm_core.features.samples import save_samples
from lgm_core.foundation.belonging import named
from lgm_core.foundation.locks import alone
from lgm_core.foundation.provenance import Measurement
from lgm_core.foundation.ranks import own_ranks
from lgm_core.foundation.store import fingerprint, read_json, replacing_folder
from stages.backbones import opened
from stages.machine import read_machine
from stages.params import check_cell, checkpoint_folder, read_layout, read_params
from stages.progress import progress_bar


def main(dataset: str, backbone: str) -> None:
    """Cache the features of `dataset` under `backbone`, and sample pictures of it."""
    params, machine, ranks = read_params(), read_machine(), own_ranks()
    check_cell(params, dataset, backbone)
    cell, spec = read_layout(params).cell(dataset, backbone), params.features()
    measurement = Measurement(machine.device)
    read_json(cell.inputs)
    splits = load_splits(params.datasets[dataset], machine.data_root)
    model = opened(params, backbone, machine)
    inspection = Inspection.of(splits)
    facts = {**extraction_facts(model, spec, params.seed), "images": inspection.facts, "rank": str(ranks)}
    folder = checkpoint_folder(cell) / f"features-{fingerprint(facts)}"
    with alone(folder.with_suffix(".lock"), f"The features of {dataset} under {backbone}"):
        blocks = Kept(folder, facts)
        inspection.note_in(blocks.noted)
        total = sum(len(split) for split in splits) // ranks.world
        part = f" (1 of {ranks.world} ranks)" if ranks.world > 1 else ""
        with progress_bar(total, f"features {dataset} {backbone}{part}", "images", shown=ranks.first) as bar:
            cache = extract_features(
                model,
                inspection.splits,
                spec,
                seed=params.seed,
                workers=machine.workers,
                progress=bar.update,
                ranks=ranks,
                blocks=blocks,
            )
        inspection.finish(ranks)
        if ranks.first:
            with replacing_folder(cell.features) as new:
                inspection.save(new)
                save_features(new, cache, named(cell) | feature_facts(spec, params.seed))
                save_samples(new, dict(zip(SPLITS, splits, strict=True)), spec.resolution, named(cell))
            measurement.write(cell, "features")
        blocks.remove()
