"""Write a distilled set for other people's tools: python -m stages.export <dataset> <backbone> <folder>."""

from pathlib import Path

from stages.boundary import check_cell, named, read_layout, read_params, run_stage


def main(dataset: str, backbone: str, folder: str) -> None:
    """Export what `backbone` distilled from `dataset`, with its accuracies on every backbone."""
    params = read_params()
    check_cell(params, dataset, backbone)
    from dataclasses import asdict, replace

    from lgm_core.backbones import source_row
    from lgm_core.datasets import dataset_license
    from lgm_core.export import data_card, export_distilled, load_distilled
    from lgm_core.specs import with_overrides
    from lgm_core.store import read_json

    layout = read_layout(params)
    overrides = read_json(layout.overrides(dataset), made_by=f"dvc repro overrides@{dataset}")
    measured = read_json(layout.probe(dataset, backbone), made_by=f"dvc repro probe@{dataset}-{backbone}")
    row = source_row(named(params.backbones, backbone, "backbones"))
    facts = {
        "dataset": dataset,
        "backbone": backbone,
        "settings": {
            "source": params.datasets[dataset]["source"],
            "weights": f"{row.library}:{row.tag}",
            "normalization": params.normalization,
            "seed": params.seed,
            **asdict(with_overrides(params.method, overrides)),
        },
    }
    distilled = replace(load_distilled(layout.distilled(dataset, backbone)), facts=facts)
    accuracies = {target: sets["distilled"] for target, sets in measured["targets"].items()}
    terms = dataset_license(params.datasets[dataset])
    card = data_card(distilled, accuracies, image_terms=terms, weight_terms=row.license)
    export_distilled(Path(folder), distilled, card)
    print(f"{len(distilled.images)} images in {len(distilled.classes)} classes: {folder}")


if __name__ == "__main__":
    run_stage(main, ("dataset", "backbone", "folder"))
