"""Stage `inputs`: before hours are spent, is everything there that a data set and its tables start from?

Its file never changes, so that features are made again only when their own settings change.
"""

from stages.boundary import check_cell, read_layout, read_machine, read_params, run_stage


def main(dataset: str) -> None:
    """Look for `dataset`, the data sets that tables show beside it, and all weights."""
    params = read_params()
    check_cell(params, dataset)
    from lgm_core.inventory import require_inputs
    from lgm_core.store import write_json

    machine = read_machine()
    require_inputs(params, dataset, machine.data_root, alone=machine.alone)
    write_json(read_layout(params).inputs(dataset), {"found": dataset})


if __name__ == "__main__":
    run_stage(main, ("dataset",))
