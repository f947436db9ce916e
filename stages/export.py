"""Write a distilled set for other people's tools: python -m stages.export <dataset> <source> <folder>.

--size small stores floats of 16 bits and no GIF, a quarter of the space, to be kept in a repository.
--terms cifar10 names the published data set whose licence the card tells, where the suite reads its images
from a folder of one's own.
"""

if __name__ == "__main__":
    from stages.process import run_stage

    run_stage("export", __doc__, "dataset source folder", options=("[size]", "[terms]"))

from dataclasses import replace
from pathlib import Path

from lgm_core.data.catalogue import DATASETS, class_titles
from lgm_core.data.sources import dataset_license
from lgm_core.distilled import load_distilled, load_time_lapse
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.sources import DatasetSource
from lgm_core.reporting.release import data_card, export_distilled, sixteen_bit
from lgm_core.reporting.tables import spread_note
from stages.exporting import accuracies, commands, facts, weight_terms
from stages.params import check_cell, read_layout, read_params

SIZES = ("full", "small")


def main(dataset: str, source: str, folder: str, size: str = "", terms: str = "") -> None:
    """Export what `source` distilled from `dataset`, with its accuracies on every backbone."""
    if size not in ("", *SIZES):
        raise InputError(f"--size is {size!r}; allowed: {' or '.join(SIZES)}.")
    if terms and terms not in DATASETS:
        raise InputError(f"--terms is {terms!r}; allowed: {', '.join(DATASETS)}.")
    params = read_params()
    check_cell(params, dataset, source)
    made = read_layout(params).cell(dataset, source).distilled
    measured = accuracies(params, dataset, source)
    told = facts(params, dataset, source)
    told["commands"] = commands(params, dataset, source, folder, {"size": size, "terms": terms})
    told["accuracies"] = {target: one.facts() for target, one in measured.items()}
    distilled = replace(load_distilled(made), facts=told, time_lapse=load_time_lapse(made))
    small = size == "small"
    if small:
        distilled = sixteen_bit(distilled)
    card = data_card(
        distilled,
        measured,
        spread=spread_note(params.distillations),
        class_titles=class_titles(),
        image_terms=dataset_license(DatasetSource(terms) if terms else params.datasets[dataset]),
        weight_terms=weight_terms([params.backbone(name) for name in params.members(source)]),
    )
    export_distilled(Path(folder), distilled, card, small=small)
    print(f"{len(distilled.images)} images in {len(distilled.classes)} classes: {folder}")
