"""What an export says of a cell: the commands that make it, and what every backbone makes of it."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import lgm_core
from lgm_core.data.catalogue import class_titles
from lgm_core.data.sources import dataset_license
from lgm_core.distilled import load_distilled, load_time_lapse
from lgm_core.foundation.sources import BackboneSource, DatasetSource
from lgm_core.foundation.store import read_json
from lgm_core.models.catalogue import backbone_row
from lgm_core.reporting.blocks import CENTROIDS
from lgm_core.reporting.release import Measured, data_card, export_distilled, sixteen_bit
from lgm_core.reporting.results import Results
from lgm_core.reporting.tables import spread_note
from lgm_core.settings.method import with_overrides
from lgm_core.settings.params import Params
from stages.params import read_layout


def write_export(
    params: Params,
    dataset: str,
    source: str,
    folder: Path,
    size: str = "",
    terms: str = "",
    *,
    shown: str = "",
) -> int:
    """Export what a source distilled, with its accuracies on every backbone; the number of images.

    Args:
        params: the suite's settings.
        dataset, source: the cell.
        folder: as :func:`export_distilled` takes it.
        size: `small` for floats of 16 bits.
        terms: the published data set whose licence is told; empty for the suite's own source.
        shown: the folder that its command names; empty for the folder itself.
    """
    made = read_layout(params).cell(dataset, source).distilled
    measured = accuracies(params, dataset, source)
    told = facts(params, dataset, source)
    told["commands"] = commands(params, dataset, source, shown or str(folder), {"size": size, "terms": terms})
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
    export_distilled(folder, distilled, card, small=small)
    return len(distilled.images)


def accuracies(params: Params, dataset: str, source: str) -> dict[str, Measured]:
    """What each member of the source, and every other backbone of the suite, makes of the set."""
    results = Results(read_layout(params))
    members = params.members(source)
    chooser = centroids_of(params, dataset, source)
    return {
        target: Measured(
            probe=results.transfer(dataset, source, target),
            nearest=results.transfer(dataset, source, target, measure="nearest_neighbor"),
            real=results.transfer(dataset, chooser, target, training_set=CENTROIDS),
            whole=results.best_of_all_images(dataset, target),
        )
        for target in dict.fromkeys((*members, *params.backbones))
    }


def centroids_of(params: Params, dataset: str, source: str) -> str:
    """The member whose Centroids, which were probed with what it distilled alone, stand beside the set: the
    first of which there are results."""
    layout, members = read_layout(params), list(params.members(source))
    return next((name for name in members if layout.cell(dataset, name).probe.is_file()), members[0])


def facts(params: Params, dataset: str, source: str) -> dict[str, Any]:
    """What made the set: settings, weights, number of real images, version."""
    cell = read_layout(params).cell(dataset, source)
    members = params.members(source)
    rows = [backbone_row(params.backbone(name)) for name in members]
    baselines = read_layout(params).cell(dataset, next(iter(members))).baselines
    return {
        "dataset": dataset,
        "backbone": " + ".join(members),
        "version": lgm_core.__version__,
        "real_images": read_json(baselines)["images"],
        "distillations": params.distillations,
        "centroids_of": centroids_of(params, dataset, source),
        "settings": {
            "source": params.datasets[dataset].source,
            "weights": ", ".join(f"{row.library}:{row.tag}" for row in rows),
            "normalization": params.normalization,
            "seed": params.seed,
            **asdict(with_overrides(params.method, read_json(cell.overrides))),
        },
    }


def commands(params: Params, dataset: str, source: str, folder: str, options: dict[str, str]) -> list[str]:
    """Lines of a shell that make an export, from the suite on; a set that is no stage of the graph is made
    by the stages' own scripts."""
    stage = "probe_figure8" if source in params.figure_backbones else "probe"
    made = [f"dvc repro {stage}@{dataset}-{centroids_of(params, dataset, source)}"]
    if source in params.ensembles and params.tables["table9"].dataset == dataset:
        made.append(f"dvc repro probe_ensembles@{dataset}-{source}")
    elif source in params.ensembles:
        made += [f"python -m stages.{verb} {dataset} {source}" for verb in ("distill", "probe")]
    told = "".join(f" --{name} {value}" for name, value in options.items() if value)
    return [
        f"make suite NAME={params.suite}",
        *made,
        f"python -m stages.export {dataset} {source} {folder}{told}",
    ]


def weight_terms(sources: list[BackboneSource]) -> str:
    """Licences of the weights of some backbones, each once."""
    return "; ".join(dict.fromkeys(backbone_row(source).license for source in sources))
