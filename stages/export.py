"""Write a distilled set for other people's tools: python -m stages.export <dataset> <source> <folder>."""

if __name__ == "__main__":
    from stages.process import run_stage

    run_stage("export", __doc__, "dataset source folder")

from dataclasses import asdict, replace
from pathlib import Path

from lgm_core.data.catalogue import class_titles
from lgm_core.data.sources import dataset_license
from lgm_core.distilled import load_distilled, load_time_lapse
from lgm_core.foundation.store import read_json
from lgm_core.models.catalogue import backbone_row
from lgm_core.reporting.blocks import CENTROIDS
from lgm_core.reporting.release import Measured, data_card, export_distilled
from lgm_core.reporting.results import Results
from lgm_core.reporting.tables import spread_note
from lgm_core.settings.method import with_overrides
from stages.params import check_cell, read_layout, read_params


def main(dataset: str, source: str, folder: str) -> None:
    """Export what `source` distilled from `dataset`, with its accuracies on every backbone."""
    params = read_params()
    check_cell(params, dataset, source)
    layout = read_layout(params)
    cell = layout.cell(dataset, source)
    members = params.members(source)
    rows = {name: backbone_row(params.backbone(name)) for name in members}
    facts = {
        "dataset": dataset,
        "backbone": " + ".join(members),
        "settings": {
            "source": params.datasets[dataset].source,
            "weights": ", ".join(f"{row.library}:{row.tag}" for row in rows.values()),
            "normalization": params.normalization,
            "seed": params.seed,
            **asdict(with_overrides(params.method, read_json(cell.overrides))),
        },
    }
    lapse = load_time_lapse(cell.distilled)
    distilled = replace(load_distilled(cell.distilled), facts=facts, time_lapse=lapse)
    results = Results(layout)
    accuracies = {
        target: Measured(
            probe=results.transfer(dataset, source, target),
            nearest=results.transfer(dataset, source, target, measure="nearest_neighbor"),
            real=results.transfer(dataset, next(iter(members)), target, training_set=CENTROIDS),
            whole=results.best_of_all_images(dataset, target),
        )
        for target in dict.fromkeys((*members, *params.backbones))
    }
    weight_terms = "; ".join(dict.fromkeys(row.license for row in rows.values()))
    terms = {"image_terms": dataset_license(params.datasets[dataset]), "weight_terms": weight_terms}
    spread = spread_note(params.distillations)
    card = data_card(distilled, accuracies, spread=spread, class_titles=class_titles(), **terms)
    export_distilled(Path(folder), distilled, card)
    print(f"{len(distilled.images)} images in {len(distilled.classes)} classes: {folder}")
