"""Stage `overrides`: which settings of the method differ for a data set, in a file that distillation needs.

Its bytes change only when this data set's own settings do, so that another's never cause distilling again.
"""

from lgm_core.store import write_json
from stages.boundary import check_cell, read_layout, read_params, run_stage


def main(dataset: str) -> None:
    """Write what `dataset_overrides` says of `dataset`."""
    params = read_params()
    check_cell(params, dataset)
    write_json(read_layout(params).overrides(dataset), dict(params.dataset_overrides).get(dataset, {}))


if __name__ == "__main__":
    run_stage(main, ("dataset",))
