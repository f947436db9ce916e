"""Stage `probe`: what one source distilled, and the real images it would choose, on every backbone.

With --images: any image set on any backbone, as `python -m stages.probe_images --help` says.
"""

if __name__ == "__main__":
    from stages.shared import run_shared_stage

    run_shared_stage("probe", __doc__, "dataset source [variant]", {"--images": "probe_images"})

from typing import Any

from lgm_core.distilled import sets_behind
from lgm_core.evaluation.neighbors import save_neighbors
from lgm_core.evaluation.seen import seen_facts
from lgm_core.evaluation.small_sets import RANDOM, LabeledImages, probe_facts
from lgm_core.foundation.belonging import INPUTS, named
from lgm_core.foundation.provenance import Measurement
from lgm_core.foundation.ranks import own_ranks
from lgm_core.foundation.store import write_json
from stages.distilled import SHOWN_NEAR, chosen_images, distilled_sets, near_images, probed_selection
from stages.params import read_layout, read_params
from stages.probing import forget_checkpoints, on_every_backbone, probed
from stages.reading import training_images
from stages.seeing import seen_by
from stages.work import Opened, Work

Sets = dict[str, list[LabeledImages]]


def main(dataset: str, source: str, variant: str = "") -> None:
    """Evaluate what `source` distilled, and real images it chooses, on all backbones."""
    params = read_params()
    work = Work.on(params, read_layout(params), dataset, source)
    measurement, cells = Measurement(work.machine.device), work.cells(variant)
    inputs, own = work.inputs() | sets_behind(*cells), work.members()
    train = training_images(work, own[0].name)
    distilled = distilled_sets(work, train.classes, variant)
    near = near_images(work, own, distilled, 1 if variant else SHOWN_NEAR)
    selection = probed_selection(work, own, variant, distilled[0])
    real = {} if selection is None else chosen_images(train, near, selection, params.method.resolution)
    sets = {"distilled": distilled, **real}
    found = on_every_backbone(work, own, lambda one: _shown(work, one, sets, measurement, variant))
    if own_ranks().first:
        first, side = cells[0], params.method.resolution
        made = named(first) | {INPUTS: inputs, "seed": params.seed}
        save_neighbors(first.neighbors, near[0], train, distilled[0].labels, side, made)
        runs, seen = ({name: both[part] for name, both in found.items()} for part in (0, 1))
        write_json(first.probe, probe_facts(params.probe, **made) | {"targets": runs})
        write_json(first.seen, seen_facts(train.classes, **made) | {"targets": seen})
        measurement.write(first, "probe")
        forget_checkpoints(cells, distilled)


def _shown(work: Work, one: Opened, sets: Sets, measurement: Measurement, variant: str) -> tuple[Any, Any]:
    """Accuracies of the sets on one backbone, and what its probe on all images sees in the first of them."""
    # Every backbone has the same Random sets: a table of the method itself reads them where they are its own.
    hidden = () if variant or one.name in work.params.members(work.source) else (RANDOM,)
    shown = {name: of for name, of in sets.items() if name not in hidden}
    return probed(work, one, shown, measurement), seen_by(work, one, sets["distilled"][0])
