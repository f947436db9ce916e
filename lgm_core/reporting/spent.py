"""What results cost, from the records of the runs: seconds to distil, and of a probe on little and on all."""

from __future__ import annotations

from dataclasses import dataclass

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
    return [
        Spent(
            dataset,
            backbone,
            distilled=len(results.distilled(dataset, backbone)["pictures"]),
            images=results.image_count(dataset, backbone),
            distill=results.distill_seconds(dataset, backbone) / params.distillations,
            probe=results.seconds("probe", dataset, backbone, f"probe on {backbone}"),
            full=results.full_probe_seconds(dataset, backbone),
            features=results.seconds("features", dataset, backbone),
        )
        for dataset in params.datasets
        for backbone in params.backbones
    ]
