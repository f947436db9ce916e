"""Stage `judge`: what one source distilled beside every real selection, by every measure, for Table 11."""

if __name__ == "__main__":
    from stages.shared import run_shared_stage

    run_shared_stage("judge", __doc__, "dataset source")

from lgm_core.distilled import sets_behind
from lgm_core.evaluation.encodings import ENCODINGS, encoded, png_bytes
from lgm_core.evaluation.prototypes import evaluate_prototypes
from lgm_core.evaluation.small_sets import LabeledImages, probe_facts
from lgm_core.foundation.belonging import INPUTS, named
from lgm_core.foundation.provenance import Measurement
from lgm_core.foundation.ranks import own_ranks
from lgm_core.foundation.seeds import derive_seed
from lgm_core.foundation.store import write_json
from stages.distilled import chosen_images, distilled_sets, near_images, selected
from stages.params import read_layout, read_params
from stages.probing import on_every_backbone, probed
from stages.reading import training_images
from stages.work import Work


def main(dataset: str, source: str) -> None:
    """Probe the distilled set, its encodings, all selections and prototypes; note the bytes of each."""
    params = read_params()
    work = Work.on(params, read_layout(params), dataset, source)
    measurement = Measurement(work.machine.device)
    cells = work.cells()
    inputs, own = work.inputs() | sets_behind(*cells), work.members()
    train = training_images(work, own[0].name)
    distilled = distilled_sets(work, train.classes)
    coded = {
        f"distilled_{name}": [LabeledImages(encoded(one.images, name), one.labels) for one in distilled]
        for name in ENCODINGS
    }
    near = near_images(work, own, distilled)
    selection = selected(work, own[0], params.method.ipc)
    sets = {"distilled": distilled, **coded}
    sets |= chosen_images(train, near, selection, params.method.resolution)
    targets = on_every_backbone(work, own, lambda one: probed(work, one, sets, measurement))
    for one in own:
        seed = derive_seed(params.seed, "prototypes", dataset, one.name)
        how = {"seed": seed, "device": work.machine.device}
        targets[one.name]["prototypes"] = evaluate_prototypes(one.cache, params.probe, **how)
    if own_ranks().first:
        cell = cells[0]
        made = named(cell) | {INPUTS: inputs}
        facts = probe_facts(params.probe, **made, seed=params.seed)
        facts["members"] = [one.name for one in own]
        facts["png_bytes"] = {name: [png_bytes(one.images) for one in of] for name, of in sets.items()}
        facts["seconds"] = {"probe": measurement.parts[f"probe on {own[0].name}"]}
        write_json(cell.judged, facts | {"targets": targets})
        measurement.write(cell, "judge")
