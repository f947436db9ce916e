"""Every run that a suite's settings ask for, by the stage that makes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lgm_core.foundation.layout import BASE
from lgm_core.settings.params import Params


@dataclass(frozen=True)
class Run:
    """One run of a stage: its verb, data set, source and variant."""

    verb: str
    dataset: str
    backbone: str = ""
    variant: str = BASE


def distilled_runs(params: Params) -> Iterator[Run]:
    """Every distillation: data sets × backbones, Figure 8's own, the ensembles, and the variants."""
    for dataset in params.datasets:
        for backbone in params.backbones:
            yield Run("distill", dataset, backbone)
    for dataset in params.figures["figure8"].datasets:
        for backbone in params.figure_backbones:
            yield Run("distill", dataset, backbone)
    for dataset in params.tables["table9"].datasets:
        for ensemble in params.ensembles:
            yield Run("distill", dataset, ensemble)
    yield from _variants(params)


def _variants(params: Params) -> Iterator[Run]:
    shown = {
        "ablation": params.tables["table3"],
        "rounds": params.figures["figure3"],
        "longer": params.tables["table9"],
        "objectives": params.tables["table10"],
        "ipc": params.figures["figure9"],
        "recipes": params.figures["figure10"],
    }
    for group, places in shown.items():
        for dataset in places.datasets:
            for name in params.variants.groups[group]:
                for backbone in (places.backbones or ()) if places.source is None else (places.source,):
                    yield Run("distill", dataset, backbone, f"{group}/{name}")


def all_runs(params: Params) -> Iterator[Run]:
    """Every run of the settings, stage by stage."""
    pairs = [(dataset, backbone) for dataset in params.datasets for backbone in params.backbones]
    pairs += [
        (name, backbone)
        for name in params.figures["figure8"].datasets
        for backbone in params.figure_backbones
    ]
    for verb in ("features", "baselines"):
        for dataset, backbone in pairs:
            yield Run(verb, dataset, backbone)
    yield from distilled_runs(params)
    for run in distilled_runs(params):
        yield Run("probe", run.dataset, run.backbone, run.variant)
    for dataset in params.datasets:
        yield Run("align", dataset)
    for dataset in params.tables["table11"].datasets:
        for source in params.tables["table11"].sources or ():
            yield Run("judge", dataset, source)
