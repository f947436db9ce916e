"""The results that tables and figures are made of: read by name, never looked for, and summarised."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
        std: sample standard deviation over runs; None where there is one run only.
        digits: decimals to print.
        origin: the file it was read from; None where it was computed from several.
        runs: what it is the mean of: distillations, draws, or a probe's seeds.
    """

    mean: float
    std: float | None = None
    digits: int = 1
    origin: Path | None = field(default=None, compare=False)
    runs: tuple[float, ...] = field(default=(), compare=False)

    @property
    def error(self) -> float:
        """Standard error of the mean; 0 where there is no spread to tell it from."""
        return 0.0 if self.std is None else self.std / math.sqrt(len(self.runs))


def summarize(runs: list[float], origin: Path | None = None) -> Value:
    """Mean and sample standard deviation of at least one run."""
    mean = math.fsum(runs) / len(runs)
    if len(runs) == 1:
        return Value(mean, origin=origin, runs=tuple(runs))
    deviation = math.sqrt(math.fsum((run - mean) ** 2 for run in runs) / (len(runs) - 1))
    return Value(mean, deviation, origin=origin, runs=tuple(runs))


def summarize_sets(sets: list[list[float]], origin: Path | None = None) -> Value:
    """The same over the means of several sets, or over the runs of one."""
    return summarize(sets[0] if len(sets) == 1 else [math.fsum(runs) / len(runs) for runs in sets], origin)


def average(values: list[Value]) -> Value:
    """Mean over columns, run by run: the first of one column with the first of every other.

    Distillations and draws of different backbones that have a number in common are independent but for what
    they share by name, so the deviation is that of the average. Without as many runs everywhere it has none.
    """
    mean = math.fsum(value.mean for value in values) / len(values)
    if len({len(value.runs) for value in values}) != 1 or len(values[0].runs) < 2:
        return Value(mean)
    runs = zip(*(value.runs for value in values), strict=True)
    return replace(summarize([math.fsum(run) / len(run) for run in runs]), mean=mean)


def difference(one: Value, other: Value) -> Value:
    """One mean less the other; what stands for the deviation is the standard error of the difference."""
    return Value(one.mean - other.mean, math.hypot(one.error, other.error))


def resolved(one: Value, other: Value) -> bool:
    """Whether two means differ by more than two standard errors of their difference."""
    return abs(one.mean - other.mean) > 2 * math.hypot(one.error, other.error)


class Results:
    """Reads the results of one suite, cell by cell.

    A missing file, or one without what is asked of it, is an error that names it.

    Args:
        layout: where they lie.
        class_titles: what classes are called in print, where that is not their name.
    """

    def __init__(self, layout: Layout, class_titles: Mapping[str, str] | None = None) -> None:
        self.layout = layout
        self.class_titles = class_titles or {}

    def class_title(self, name: str) -> str:
        """What a class is called in print."""
        return self.class_titles.get(name, name)

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
        return summarize_sets(_found(path, "targets", target, training_set, measure), path)

    def judged(
        self, dataset: str, source: str, target: str, training_set: str, measure: str = "top1"
    ) -> Value:
        """What `target` reaches with a training set that is judged beside what `source` distilled."""
        path = self.layout.cell(dataset, source).judged
        return summarize_sets(_found(path, "targets", target, training_set, measure), path)

    def png_bytes(self, dataset: str, source: str, training_set: str) -> float:
        """Bytes of a training set that is judged, as PNG files; the mean where there are several."""
        found = _found(self.layout.cell(dataset, source).judged, "png_bytes", training_set)
        return math.fsum(found) / len(found)

    def judged_probe_seconds(self, dataset: str, source: str) -> float:
        """Seconds of one probe on such a set, with the features of its views."""
        return _found(self.layout.cell(dataset, source).judged, "seconds", "probe")

    def full_probe_seconds(self, dataset: str, backbone: str) -> float:
        """Seconds of one probe on all images, without the features of their views."""
        return _found(self.layout.cell(dataset, backbone).run("baselines"), "parts", "probe on all images")

    def distill_seconds(self, dataset: str, source: str, variant: str = BASE) -> float:
        """Seconds of all distillations of a cell together."""
        return _found(self.layout.cell(dataset, source, variant).run("distill"), "seconds")

    def has_real_sets(self, dataset: str, source: str, variant: str) -> bool:
        """Whether a variant's probe saw real selections beside its distilled set."""
        targets = _found(self.layout.cell(dataset, source, variant).probe, "targets")
        return all("random" in sets for sets in targets.values())

    def full(self, dataset: str, backbone: str, measure: str = "top1") -> Value:
        """What a probe on all training images reaches."""
        path = self.layout.cell(dataset, backbone).baselines
        return summarize(_found(path, "full", measure), path)

    def ceiling(self, dataset: str, backbone: str, *keys: str) -> Value:
        """A closed-form or constant baseline: `nearest_class_mean`, `ridge`, or `majority` and a measure."""
        path = self.layout.cell(dataset, backbone).baselines
        return Value(_found(path, *keys), origin=path)

    def image_count(self, dataset: str, backbone: str) -> int:
        """How many training images there are."""
        return _found(self.layout.cell(dataset, backbone).baselines, "images")

    def best_of_all_images(self, dataset: str, backbone: str) -> Value:
        """The better of the full probe and of ridge, which shares are taken of."""
        return max(
            self.full(dataset, backbone),
            self.ceiling(dataset, backbone, "ridge"),
            key=lambda value: value.mean,
        )

    def alignment(self, dataset: str, a: str, b: str) -> Value:
        """Mutual k-NN of two backbones, in [0, 1]."""
        path = self.layout.cell(dataset).alignment
        return Value(_found(path, "matrix", a, b), digits=3, origin=path)

    def alignment_facts(self, dataset: str) -> dict[str, Any]:
        """`neighbors`, `samples` and `chance` of a data set's alignment."""
        path = self.layout.cell(dataset).alignment
        return {key: _found(path, key) for key in ("neighbors", "samples", "chance")}

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

    def class_means(self, dataset: str, source: str) -> dict[str, Path]:
        """Picture of the mean of real images of a class, by class, of those that figures show."""
        folder = self.layout.cell(dataset, source).features / "samples"
        return {name: folder / picture for name, picture in _found(folder / "samples.json", "mean").items()}

    def by_class(self, dataset: str, source: str, variant: str = BASE) -> dict[str, list[float | None]]:
        """What the first distilled set gives every class under every backbone, in percent."""
        path = self.layout.cell(dataset, source, variant).probe
        return {
            target: _found(path, "targets", target, DISTILLED, "by_class")[0]
            for target in _found(path, "targets")
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
