"""The cells that tables and figures are made of: read by name, never looked for, and summarised."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lgm_core.errors import InputError
from lgm_core.layout import BASE, Layout, making
from lgm_core.store import read_json, read_tensors

if TYPE_CHECKING:
    import numpy as np

DISTILLED = "distilled"


@dataclass(frozen=True)
class Value:
    """A number of a table.

    Attributes:
        mean: over runs; in percent, but for alignments and correlations.
        std: standard deviation over runs; None where there is one run only.
        digits: decimals to print.
        origin: the file it was read from; None where it was computed from several.
    """

    mean: float
    std: float | None = None
    digits: int = 1
    origin: Path | None = field(default=None, compare=False)


def summarize(runs: list[float], origin: Path | None = None) -> Value:
    """Mean and population standard deviation of at least one run."""
    mean = math.fsum(runs) / len(runs)
    if len(runs) == 1:
        return Value(mean, origin=origin)
    deviation = math.sqrt(math.fsum((run - mean) ** 2 for run in runs) / len(runs))
    return Value(mean, deviation, origin=origin)


def average(values: list[Value]) -> Value:
    """Mean of the means, and mean of the standard deviations as the paper's average column has it."""
    stds = [value.std for value in values if value.std is not None]
    return Value(
        math.fsum(value.mean for value in values) / len(values),
        math.fsum(stds) / len(stds) if stds else None,
    )


class Cells:
    """Reads the cells of one suite's results.

    A missing cell, or one without what is asked of it, is an error that names the stage to run.

    Args:
        layout: where they lie.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def transfer(
        self,
        dataset: str,
        source: str,
        target: str,
        *,
        variant: str = BASE,
        training_set: str = DISTILLED,
        measure: str = "top1",
    ) -> Value:
        """What `target` reaches with what `source` distilled, or with real images chosen by `source`."""
        path = self.layout.probe(dataset, source, variant)
        cell = read_json(path, made_by=making("probe", dataset, source, variant))
        keys = ("targets", target, training_set, measure)
        return summarize(_found(cell, keys, path, making("probe", dataset, source, variant)), path)

    def full(self, dataset: str, backbone: str, measure: str = "top1") -> Value:
        """What a probe on all training images reaches."""
        path, made_by = self.layout.baselines(dataset, backbone), making("baselines", dataset, backbone)
        return summarize(_found(read_json(path, made_by=made_by), ("full", measure), path, made_by), path)

    def ceiling(self, dataset: str, backbone: str, *keys: str) -> Value:
        """A closed-form or constant baseline: `nearest_class_mean`, `ridge`, or `majority` and a measure."""
        path, made_by = self.layout.baselines(dataset, backbone), making("baselines", dataset, backbone)
        return Value(_found(read_json(path, made_by=made_by), keys, path, made_by), origin=path)

    def alignment(self, dataset: str, a: str, b: str) -> Value:
        """Mutual k-NN of two backbones, in [0, 1]."""
        path, made_by = self.layout.alignment(dataset), making("align", dataset)
        cell = read_json(path, made_by=made_by)
        return Value(_found(cell, ("matrix", a, b), path, made_by), digits=3, origin=path)

    def distilled(self, dataset: str, source: str, variant: str = BASE) -> dict[str, Any]:
        """Settings, class names and names of the pictures of a distilled set."""
        path = self.layout.distilled(dataset, source, variant) / "settings.json"
        return read_json(path, made_by=making("distill", dataset, source, variant))

    def neighbors(self, dataset: str, source: str, variant: str = BASE) -> list[dict[str, Any]]:
        """Picture, name and similarity of the real image nearest to each distilled one."""
        path = self.layout.neighbors(dataset, source, variant) / "neighbors.json"
        return read_json(path, made_by=making("probe", dataset, source, variant))["neighbors"]

    def distilled_features(self, dataset: str, source: str) -> tuple[np.ndarray, np.ndarray]:
        """Features [k, F] of the distilled images under the backbone that distilled them, and labels [k]."""
        path = self.layout.neighbors(dataset, source) / "features.safetensors"
        tensors, _ = read_tensors(path, made_by=making("probe", dataset, source))
        return tensors["features"].double().numpy(), tensors["labels"].numpy()

    def history(self, dataset: str, source: str, variant: str = BASE) -> list[float]:
        """Loss before every step."""
        path = self.layout.distilled(dataset, source, variant) / "history.csv"
        if not path.is_file():
            raise InputError(
                f"{path} is missing. Make it with: {making('distill', dataset, source, variant)}"
            )
        return [float(line.split(",")[1]) for line in path.read_text(encoding="utf-8").split()[1:]]


def _found(cell: dict[str, Any], keys: tuple[str, ...], path: Path, made_by: str) -> Any:
    value: Any = cell
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            raise InputError(
                f"{path} has no {' / '.join(keys)}: it is older than params.yaml. "
                f"Make it again with: {made_by}"
            )
        value = value[key]
    return value
