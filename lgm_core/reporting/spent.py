"""What results cost, from the records of the runs: seconds to distil, and of a probe on little and on all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lgm_core.foundation.errors import StaleFileError
from lgm_core.foundation.layout import Cell
from lgm_core.foundation.store import read_json
from lgm_core.reporting.results import Results
from lgm_core.settings.params import Params


@dataclass(frozen=True)
class Spent:
    """Costs of one data set under one backbone.

    Attributes:
        dataset, backbone: names.
        distilled, images: numbers of distilled and of training images.
        distill: seconds of one distillation.
        probe: seconds of one probe on the distilled images, with the features of their views.
        full: seconds of one probe on all images, without the features of their views.
        features: seconds for all features of all images.
    """

    dataset: str
    backbone: str
    distilled: int
    images: int
    distill: float
    probe: float
    full: float
    features: float


def spent(results: Results, params: Params) -> list[Spent]:
    """Costs of every data set under every backbone."""
    found = []
    for dataset in params.datasets:
        for backbone in params.backbones:
            cell = results.layout.cell(dataset, backbone)
            found.append(
                Spent(
                    dataset,
                    backbone,
                    distilled=len(results.distilled(dataset, backbone)["pictures"]),
                    images=results.image_count(dataset, backbone),
                    distill=_run(cell, "distill", "seconds") / params.distillations,
                    probe=_run(cell, "probe", "parts", f"probe on {backbone}"),
                    full=_run(cell, "baselines", "parts", "probe on all images"),
                    features=_run(cell, "features", "seconds"),
                )
            )
    return found


def _run(cell: Cell, verb: str, *keys: str) -> float:
    path = cell.run(verb)
    value: Any = read_json(path)
    for key in keys:
        if key not in value:
            raise StaleFileError(path, f"has no {' / '.join(keys)}: it is older than the settings")
        value = value[key]
    return value
