"""Stage `inputs`: before hours are spent, is everything there that a data set and its tables start from?

Its files change only when this data set's own overrides do, so that features are made again only when their
own settings change, and another data set's overrides never cause distilling again.
"""

if __name__ == "__main__":
    from stages.process import run_stage

    run_stage("inputs", __doc__, "dataset")

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.store import write_json
from lgm_core.preflight.inputs import check_counts, peers, require_inputs
from stages.machine import own_inputs_suffice, read_machine
from stages.params import check_cell, read_layout, read_params


def main(dataset: str) -> None:
    """Look for `dataset`, the data sets that tables show beside it, and all weights; note its overrides."""
    params = read_params()
    check_cell(params, dataset)
    alone, data_root = own_inputs_suffice(), read_machine().data_root
    try:
        require_inputs(params, dataset, data_root, alone=alone)
    except InputError as error:
        together = not alone and len(peers(params, dataset)) > 1
        raise InputError(
            f"{error}\n\nRelative paths start at the folder that LGM_DATA names. `make check` looks at "
            "everything, with counts; suite embedded needs no download."
            + (f" LGM_INPUTS=own goes on with {dataset} alone." if together else "")
        ) from error
    check_counts(params, dataset, data_root)
    cell = read_layout(params).cell(dataset)
    write_json(cell.inputs, {"found": dataset})
    write_json(cell.overrides, dict(params.dataset_overrides).get(dataset, {}))
