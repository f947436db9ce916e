"""The results that tables and figures are made of: read by name, never looked for, and summarised."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lgm_core.foundation.errors import MissingFileError, StaleFileError
from lgm_core.foundation.layout import BASE, Layout
from lgm_core.foundation.store import read_json, read_tensors

if TYPE_CHECKING:
    import numpy as np

DISTILLED = "distilled"
_SPLITS = ("train", "test")


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


class Results:
    """Reads the results of one suite, cell by cell.

    A missing file, or one without what is asked of it, is an error that names it.

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
        path = self.layout.cell(dataset, source, variant).probe
        return summarize(_found(path, "targets", target, training_set, measure), path)

    def full(self, dataset: str, backbone: str, measure: str = "top1") -> Value:
        """What a probe on all training images reaches."""
        path = self.layout.cell(dataset, backbone).baselines
        return summarize(_found(path, "full", measure), path)

    def ceiling(self, dataset: str, backbone: str, *keys: str) -> Value:
        """A closed-form or constant baseline: `nearest_class_mean`, `ridge`, or `majority` and a measure."""
        path = self.layout.cell(dataset, backbone).baselines
        return Value(_found(path, *keys), origin=path)

    def alignment(self, dataset: str, a: str, b: str) -> Value:
        """Mutual k-NN of two backbones, in [0, 1]."""
        path = self.layout.cell(dataset).alignment
        return Value(_found(path, "matrix", a, b), digits=3, origin=path)

    def distilled(self, dataset: str, source: str, variant: str = BASE) -> dict[str, Any]:
        """Settings, class names and names of the pictures of a distilled set."""
        return read_json(self.layout.cell(dataset, source, variant).distilled / "settings.json")

    def neighbors(self, dataset: str, source: str, variant: str = BASE) -> list[dict[str, Any]]:
        """Picture, name and similarity of the real image nearest to each distilled one."""
        return _found(self.layout.cell(dataset, source, variant).neighbors / "neighbors.json", "neighbors")

    def distilled_features(self, dataset: str, source: str) -> tuple[np.ndarray, np.ndarray]:
        """Features [k, F] of the distilled images under the backbone that distilled them, and labels [k]."""
        tensors, _ = read_tensors(self.layout.cell(dataset, source).neighbors / "features.safetensors")
        return tensors["features"].double().numpy(), tensors["labels"].numpy()

    def training_features(self, dataset: str, source: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        """Features [N, F] of the training images' centre views, labels [N] and class names."""
        tensors, facts = read_tensors(self.layout.cell(dataset, source).features / "train.safetensors")
        return tensors["features"].double().numpy(), tensors["labels"].numpy(), tuple(facts["classes"])

    def samples(self, dataset: str, source: str) -> dict[str, dict[str, list[Path]]]:
        """Sample pictures of the real images: split → class → files, the training images' first."""
        folder = self.layout.cell(dataset, source).features / "samples"
        found = {split: _found(folder / "samples.json", split) for split in _SPLITS}
        return {
            split: {name: [folder / picture for picture in pictures] for name, pictures in classes.items()}
            for split, classes in found.items()
        }

    def history(self, dataset: str, source: str, variant: str = BASE) -> list[float]:
        """Loss before every step."""
        path = self.layout.cell(dataset, source, variant).distilled / "history.csv"
        if not path.is_file():
            raise MissingFileError(path)
        return [float(line.split(",")[1]) for line in path.read_text(encoding="utf-8").split()[1:]]


def _found(path: Path, *keys: str) -> Any:
    """What a JSON file holds below some keys."""
    value: Any = read_json(path)
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            raise StaleFileError(path, f"has no {' / '.join(keys)}: it is older than the settings")
        value = value[key]
    return value
