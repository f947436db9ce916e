"""Stage `probe`: what one source distilled, and the real images it would choose, on every backbone.

With --images: any image set on any backbone, as `python -m stages.probe_images --help` says.
"""

if __name__ == "__main__":
    from stages.shared import run_shared_stage

    run_shared_stage("probe", __doc__, "dataset source [variant]", {"--images": "probe_images"})

from lgm_core.evaluation.neighbors import save_neighbors
from lgm_core.evaluation.small_sets import RANDOM, probe_facts
from lgm_core.foundation.provenance import Measurement
from lgm_core.foundation.ranks import own_ranks
from lgm_core.foundation.store import read_json, write_json
from lgm_core.settings.params import SEVERAL
from stages.distilled import Selection, chosen_images, distilled_for, near_images, selected
from stages.params import read_layout, read_params
from stages.probing import forget_checkpoints, probed
from stages.reading import training_images
from stages.work import Opened, Work

# What a curve of images per class varies beside the count; the real images are those of the plain curve.
_STARTS = {"slots", "init"}


def main(dataset: str, source: str, variant: str = "") -> None:
    """Evaluate what `source` distilled, and real images it chooses, on all backbones."""
    params = read_params()
    work = Work.on(params, read_layout(params), dataset, source)
    measurement = Measurement(work.machine.device)
    cells = work.cells(variant)
    own = work.members()
    train = training_images(work, own[0].name)
    distilled = [distilled_for(train.classes, cell.distilled) for cell in cells]
    near = near_images(work, own, distilled)
    side = params.method.resolution
    selection = _selection(work, own, variant)
    real = {} if selection is None else chosen_images(train, near, selection, side)
    # Every backbone has the same Random sets: a table of the method itself reads them where they are its own.
    targets = probed(
        work, own, {"distilled": distilled, **real}, measurement, for_members=() if variant else (RANDOM,)
    )
    if own_ranks().first:
        save_neighbors(cells[0].neighbors, near[0], train, distilled[0].labels, side)
        facts = probe_facts(params.probe, dataset=dataset, source=source, variant=variant, seed=params.seed)
        write_json(cells[0].probe, facts | {"targets": targets})
        measurement.write(cells[0].run("probe"))
        forget_checkpoints(cells, distilled)


def _selection(work: Work, own: list[Opened], variant: str) -> Selection | None:
    """The real images that are probed beside Neighbors; None where not even these are."""
    if not variant:
        return read_json(work.features(own[0].name).baselines)["selection"] if len(own) == 1 else {}
    group, _, name = variant.partition("/")
    changes = work.params.variants.ipc[name] if group == SEVERAL else None
    if changes is None or changes.keys() & _STARTS:
        return None
    return selected(work, own[0], changes["ipc"])
