"""Stage `distill`: Linear Gradient Matching of one data set under a backbone or an ensemble, or a variant."""

if __name__ == "__main__":
    from stages.shared import run_shared_stage

    run_shared_stage("distill", __doc__, "dataset source [variant]")

from stages.distilling import distil
from stages.params import read_layout, read_params
from stages.work import Work


def main(dataset: str, source: str, variant: str = "") -> None:
    """Distil `dataset` with `source` and what `variant`, `<group>/<name>`, changes; `distillations` times."""
    params = read_params()
    distil(Work.on(params, read_layout(params), dataset, source), variant)
