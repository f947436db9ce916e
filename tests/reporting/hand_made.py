"""Hand-made results: every printed number can be worked out with pencil and paper."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from lgm_core.foundation.belonging import named
from lgm_core.foundation.layout import Cell, Layout
from lgm_core.foundation.store import write_json
from lgm_core.reporting.alignment_blocks import alignment_told
from lgm_core.reporting.blocks import Compared
from lgm_core.reporting.carried import carried_told
from lgm_core.reporting.published import PAPER_BACKBONES
from lgm_core.reporting.results import Results
from lgm_core.reporting.table_formats import to_csv
from lgm_core.reporting.tables import Table
from lgm_core.settings.params import NOTHING, Params, parse_params

REAL = {
    "neighbors": [70.0, 71.0, 72.0],
    "centroids": [85.0, 85.0, 85.0],
    "random": [40.0, 50.0, 60.0],
}
CHOSEN = {"neighbors": [20.0, 21.0, 22.0], "centroids": [30.0, 30.0, 30.0]}
"""What another model makes of the real images that a model chose."""

MODELS = ("a", "b", "c")
VARIANTS = ("no_pyramid", "no_augment")
PAPERS = tuple(f"table{number}" for number in range(1, 9))
"""The paper's tables."""
# 1-NN accuracy of what a row distilled under a column, and the models' alignment.
NEAREST = {
    "a": {"a": 80, "b": 30, "c": 20},
    "b": {"a": 60, "b": 60, "c": 10},
    "c": {"a": 20, "b": 15, "c": 40},
}
ALIGNMENT = {
    "a": {"a": 1, "b": 0.4, "c": 0.2},
    "b": {"a": 0.4, "b": 1, "c": 0.3},
    "c": {"a": 0.2, "b": 0.3, "c": 1},
}

ALIGNED_WITH = {"neighbors": 2, "samples": 1001, "chance": 0.002}


def write_of(cell: Cell, place: str | Path, content: dict[str, Any]) -> None:
    """Write a cell's JSON, by its name or path, as its stage does: it says what it is of."""
    write_json(getattr(cell, place) if isinstance(place, str) else place, named(cell) | content)


def sets(distilled: list[float], **real: list[float]) -> dict[str, Any]:
    """What one backbone reaches with each training set, as a probe's result holds it."""
    return {
        name: {"top1": [[run] for run in runs] if name == "random" else [runs], "nearest_neighbor": [[0.0]]}
        for name, runs in {"distilled": distilled, **real}.items()
    }


def baselines(full: list[float], nearest_class_mean: float = 60.0, ridge: float = 65.0) -> dict[str, Any]:
    """What all images reach."""
    return {"full": {"top1": full}, "nearest_class_mean": nearest_class_mean, "ridge": ridge, "selection": {}}


def write_two(layout: Layout) -> None:
    """Two backbones, a and b, on two data sets; cars has the accuracies of pets less ten."""
    for dataset, less in (("pets", 0.0), ("cars", 10.0)):
        runs = {
            "a": {"a": [80.0, 85.0, 90.0], "b": [30.0, 40.0, 50.0]},
            "b": {"a": [20.0, 20.0, 20.0], "b": [61.0, 62.0, 63.0]},
        }
        for source, targets in runs.items():
            found = {
                target: sets([value - less for value in values], **(REAL if target == source else CHOSEN))
                for target, values in targets.items()
            }
            write_of(
                layout.cell(dataset, source),
                "probe",
                {"source": source, "targets": found},
            )
        for source, full in (("a", baselines([94.0 - less, 95.0 - less, 96.0 - less], ridge=91.0)),
                             ("b", baselines([80.0 - less] * 3, ridge=71.5))):  # fmt: skip
            write_of(layout.cell(dataset, source), "baselines", full)


def runs(top1: list[float], *, groups: bool = False) -> dict[str, list[float]]:
    """Accuracies of several runs; balanced is 10 and the worst group 20 below top-1."""
    found = {"top1": top1}
    if groups:
        found |= {"balanced": [v - 10 for v in top1], "worst_group": [v - 20 for v in top1]}
    return found


def one_set(top1: list[float], nearest: float = 0.0, *, groups: bool = False) -> dict[str, list[list[float]]]:
    """One training set's accuracies."""
    found = {measure: [values] for measure, values in runs(top1, groups=groups).items()}
    return {**found, "nearest_neighbor": [[nearest]]}


def probed(source: str, drop: float, *, groups: bool = False) -> dict[str, Any]:
    """Top-1 is 1-NN ± 2 less `drop`; real sets are 30, 40 and 50 on the source itself."""
    targets: dict[str, Any] = {}
    for target, nearest in NEAREST[source].items():
        values = [nearest - drop + more for more in (-2.0, 0.0, 2.0)]
        targets[target] = {"distilled": one_set(values, nearest, groups=groups)}
        for name, value in (("neighbors", 30.0), ("centroids", 40.0)):
            targets[target][name] = one_set([value], groups=groups)
    targets[source]["random"] = one_set([50.0], groups=groups)
    return {"source": source, "targets": targets}


def write_three(layout: Layout) -> None:
    """Three models on one data set without groups, pets, and one with, biased; variants on pets."""
    for dataset, groups in (("pets", False), ("biased", True)):
        for name in MODELS:
            cell = layout.cell(dataset, name)
            write_of(cell, "probe", probed(name, 0, groups=groups))
            majority = {"top1": 70.0} | ({"balanced": 50.0, "worst_group": 0.0} if groups else {})
            ceilings = {"nearest_class_mean": 60.0, "ridge": 65.0, "majority": majority}
            write_of(cell, "baselines", {"full": runs([88.0, 90.0, 92.0], groups=groups), **ceilings})
        write_of(layout.cell(dataset), "alignment", {"matrix": ALIGNMENT, **ALIGNED_WITH})
    for number, variant in enumerate(VARIANTS, start=1):
        for name in MODELS:
            write_of(
                layout.cell("pets", name, f"ablation/{variant}"),
                "probe",
                probed(name, 10.0 * number),
            )


def write_papers(layout: Layout) -> None:
    """The paper's models with the same hand-made numbers, on its data sets."""
    for dataset in ("imagenet100", "imagenet1k", "cub"):
        for source in PAPER_BACKBONES:
            targets = {
                target: {"distilled": one_set([85.9], 40.0)}
                | {name: one_set([30.0]) for name in ("neighbors", "centroids")}
                for target in PAPER_BACKBONES
            }
            targets[source]["random"] = one_set([30.0])
            cell = layout.cell(dataset, source)
            write_of(cell, "probe", {"targets": targets})
            write_of(cell, "baselines", {**baselines([90.0]), "nearest_class_mean": 1.0, "ridge": 1.0})
        matrix = {a: dict.fromkeys(PAPER_BACKBONES, 0.25) for a in PAPER_BACKBONES}
        write_of(layout.cell(dataset), "alignment", {"matrix": matrix, **ALIGNED_WITH})


def shown_settings(
    suite: dict[str, Any],
    left: str,
    right: str,
    backbones: tuple[str, ...],
    variants: tuple[str, ...] = (),
    own: dict[str, str] | None = None,
) -> Params:
    """Settings that show one or two data sets in every table, and nothing in any figure.

    Args:
        suite: the embedded suite's settings; changed.
        left, right: data sets.
        backbones: names.
        variants: names of ablations.
        own: name → kind of tables of one's own.
    """
    suite["datasets"] = {name: f"folder:{name}" for name in (left, right)}
    suite["backbones"] = dict.fromkeys(backbones, "efficientnet_lite0")
    ablation = {name: {"parameterization": "pixels"} for name in variants}
    suite["variants"] |= {"ablation": ablation, "rounds": {}}
    for shown in (suite["tables"][name] for name in PAPERS):
        known = {"right": right, "backbones": list(backbones)}
        shown |= {place: known.get(place, left) for place in shown}
    for shown in suite["figures"].values():
        shown |= dict.fromkeys(shown, NOTHING)
    suite["own_tables"] = {
        name: {"kind": kind, "left": left, "right": right} for name, kind in (own or {}).items()
    }
    return parse_params(suite)


def csv_rows(table: Table) -> dict[tuple[str, str, str, str], dict[str, str]]:
    """A table's CSV by data set, measure, row and column."""
    lines = csv.DictReader(io.StringIO(to_csv(table)))
    return {(line["dataset"], line["measure"], line["row"], line["column"]): line for line in lines}


def told_of_biased(three: Results, kind: str) -> list[str]:
    """What a kind of table says of the data set `biased`, compared under all three models."""
    told = {"pairs": alignment_told, "matrices": alignment_told, "cross_model": carried_told}
    return [told[kind](three, "biased", Compared(MODELS))] if kind in told else []
