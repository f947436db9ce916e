"""Write a distilled set for other people's tools: python -m stages.export <dataset> <source> <folder>.

--size small stores floats of 16 bits and no GIF, a quarter of the space, to be kept in a repository.
--terms cifar10 names the published data set whose licence the card tells, where the suite reads its images
from a folder of one's own.
"""

if __name__ == "__main__":
    from stages.process import run_stage

    run_stage("export", __doc__, "dataset source folder", options=("[size]", "[terms]"))

from pathlib import Path

from lgm_core.data.catalogue import DATASETS
from lgm_core.foundation.errors import InputError
from stages.exporting import write_export
from stages.params import check_cell, read_params

SIZES = ("full", "small")


def main(dataset: str, source: str, folder: str, size: str = "", terms: str = "") -> None:
    """Export what `source` distilled from `dataset`, with its accuracies on every backbone."""
    if size not in ("", *SIZES):
        raise InputError(f"--size is {size!r}; allowed: {' or '.join(SIZES)}.")
    if terms and terms not in DATASETS:
        raise InputError(f"--terms is {terms!r}; allowed: {', '.join(DATASETS)}.")
    params = read_params()
    check_cell(params, dataset, source)
    count = write_export(params, dataset, source, Path(folder), size, terms)
    print(f"{count} images: {folder}")
