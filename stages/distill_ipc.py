"""Stage `distill_ipc`: a variant with more images per class, which may start from real images.

A script of its own, so that no other distillation is made again when the code that reads images changes.
"""

if __name__ == "__main__":
    from stages.shared import run_shared_stage

    run_shared_stage("distill_ipc", __doc__, "dataset source variant")

from torch import Tensor

from lgm_core.images import squares
from stages.distilling import distil
from stages.params import read_layout, read_params
from stages.reading import training_images
from stages.work import Work


def main(dataset: str, source: str, variant: str) -> None:
    """Distil `dataset` with `source` as the variant `ipc/<name>` says; `distillations` times."""
    params = read_params()
    distil(Work.on(params, read_layout(params), dataset, source), variant, _real_images)


def _real_images(work: Work, backbone: str, numbers: list[int]) -> Tensor:
    """Real images by number, as squares of the size of synthetic ones."""
    return squares(training_images(work, backbone), numbers, work.params.method.resolution)
