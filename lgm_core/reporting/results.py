"""The results that tables and figures are made of: read by name, never looked for, and summarised."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lgm_core.foundation.belonging import INPUTS, address, check_of, read_of
from lgm_core.foundation.errors import DamagedFileError, MissingFileError
from lgm_core.foundation.layout import BASE, Cell, Layout
from lgm_core.foundation.store import read_tensors
from lgm_core.reporting.reading import (
    Origins,
    below,
    near_pictures,
    number,
    number_sets,
    numbers,
    picture_name,
    words,
)

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

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
        self._origins = Origins(layout.results)

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
        cell = self.layout.cell(dataset, source, variant)
        found = self._found(cell.probe, cell, "targets", target, training_set, measure)
        return summarize_sets(number_sets(cell.probe, found), cell.probe)

    def judged(
        self, dataset: str, source: str, target: str, training_set: str, measure: str = "top1"
    ) -> Value:
        """What `target` reaches with a training set that is judged beside what `source` distilled."""
        cell = self.layout.cell(dataset, source)
        found = self._found(cell.judged, cell, "targets", target, training_set, measure)
        return summarize_sets(number_sets(cell.judged, found), cell.judged)

    def png_bytes(self, dataset: str, source: str, training_set: str) -> float:
        """Bytes of a training set that is judged, as PNG files; the mean where there are several."""
        cell = self.layout.cell(dataset, source)
        found = numbers(cell.judged, self._found(cell.judged, cell, "png_bytes", training_set))
        return math.fsum(found) / len(found)

    def judged_probe_seconds(self, dataset: str, source: str) -> float:
        """Seconds of one probe on such a set, with the features of its views."""
        cell = self.layout.cell(dataset, source)
        return number(cell.judged, self._found(cell.judged, cell, "seconds", "probe"))

    def measured(self, verb: str, dataset: str, source: str, variant: str = BASE) -> dict[str, Any]:
        """Seconds, peak memory and device of the run that made a cell, and seconds of its parts."""
        cell = self.layout.cell(dataset, source, variant)
        path = cell.run(verb)
        found = self.read(path, cell)
        for key in ("seconds", "peak_memory_mib"):
            number(path, below(path, found, key))
        if not isinstance(below(path, found, "device"), str):
            raise DamagedFileError(path, "is damaged: its device is no name")
        return found

    def seconds(self, verb: str, dataset: str, source: str, *part: str, variant: str = BASE) -> float:
        """Seconds of the run that made a cell, or of a part of it by name."""
        cell = self.layout.cell(dataset, source, variant)
        path = cell.run(verb)
        return number(path, self._found(path, cell, *(("parts", *part) if part else ("seconds",))))

    def full_probe_seconds(self, dataset: str, backbone: str) -> float:
        """Seconds of one probe on all images, without the features of their views."""
        return self.seconds("baselines", dataset, backbone, "probe on all images")

    def distill_seconds(self, dataset: str, source: str, variant: str = BASE) -> float:
        """Seconds of all distillations of a cell together."""
        return self.seconds("distill", dataset, source, variant=variant)

    def has_real_sets(self, dataset: str, source: str, variant: str) -> bool:
        """Whether a variant's probe saw real selections beside its distilled set."""
        cell = self.layout.cell(dataset, source, variant)
        targets = self._mapping(cell.probe, cell, "targets")
        return all(isinstance(sets, dict) and "random" in sets for sets in targets.values())

    def full(self, dataset: str, backbone: str, measure: str = "top1") -> Value:
        """What a probe on all training images reaches."""
        cell = self.layout.cell(dataset, backbone)
        path = cell.baselines
        return summarize(numbers(path, self._found(path, cell, "full", measure)), path)

    def ceiling(self, dataset: str, backbone: str, *keys: str) -> Value:
        """A closed-form or constant baseline: `nearest_class_mean`, `ridge`, or `majority` and a measure."""
        cell = self.layout.cell(dataset, backbone)
        path = cell.baselines
        return Value(number(path, self._found(path, cell, *keys)), origin=path)

    def image_count(self, dataset: str, backbone: str) -> int:
        """How many training images there are."""
        cell = self.layout.cell(dataset, backbone)
        return int(number(cell.baselines, self._found(cell.baselines, cell, "images")))

    def best_of_all_images(self, dataset: str, backbone: str) -> Value:
        """The better of the full probe and of ridge, which shares are taken of."""
        return max(
            self.full(dataset, backbone),
            self.ceiling(dataset, backbone, "ridge"),
            key=lambda value: value.mean,
        )

    def alignment(self, dataset: str, a: str, b: str) -> Value:
        """Mutual k-NN of two backbones, in [0, 1]."""
        cell = self.layout.cell(dataset)
        path = cell.alignment
        return Value(number(path, self._found(path, cell, "matrix", a, b)), digits=3, origin=path)

    def alignment_facts(self, dataset: str) -> dict[str, Any]:
        """`neighbors`, `samples` and `chance` of a data set's alignment."""
        cell = self.layout.cell(dataset)
        path = cell.alignment
        return {key: number(path, self._found(path, cell, key)) for key in ("neighbors", "samples", "chance")}

    def distilled(self, dataset: str, source: str, variant: str = BASE) -> dict[str, Any]:
        """Settings, class names and names of the pictures of a distilled set."""
        cell = self.layout.cell(dataset, source, variant)
        path = cell.distilled / "settings.json"
        found = self.read(path, cell)
        classes, pictures = words(path, below(path, found, "classes")), below(path, found, "pictures")
        for picture in words(path, pictures):
            picture_name(path, picture)
        if len(pictures) % len(classes):
            raise DamagedFileError(path, f"is damaged: {len(pictures)} pictures of {len(classes)} classes")
        self._origins.note(path, {address(cell, cell.distilled): below(path, found, "content")})
        return found

    def method(self, dataset: str, source: str, variant: str = BASE) -> dict[str, Any]:
        """The method's settings that a set was distilled with."""
        cell = self.layout.cell(dataset, source, variant)
        path = cell.distilled / "settings.json"
        found = self._mapping(path, cell, "method")
        for key in ("aug_rounds", "steps", "ipc", "head_bank"):
            number(path, below(path, found, key))
        words(path, [below(path, found, "objective")])
        return found

    def neighbors(self, dataset: str, source: str, variant: str = BASE) -> list[dict[str, Any]]:
        """Picture, name and similarity of the real image nearest to each distilled one; `further` ones."""
        cell = self.layout.cell(dataset, source, variant)
        path = cell.neighbors / "neighbors.json"
        return near_pictures(path, self._found(path, cell, "neighbors"))

    def distilled_features(self, dataset: str, source: str) -> tuple[np.ndarray, np.ndarray]:
        """Features [k, F] of the distilled images under the backbone that distilled them, and labels [k]."""
        cell = self.layout.cell(dataset, source)
        tensors, _ = self._tensors(cell.neighbors / "features.safetensors", cell)
        return tensors["features"].double().numpy(), tensors["labels"].numpy()

    def training_features(self, dataset: str, source: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        """Features [N, F] of the training images' centre views, labels [N] and class names."""
        cell = self.layout.cell(dataset, source)
        tensors, facts = self._tensors(cell.features / "train.safetensors", cell)
        return tensors["features"].double().numpy(), tensors["labels"].numpy(), tuple(facts["classes"])

    def samples(self, dataset: str, source: str) -> dict[str, dict[str, list[Path]]]:
        """Sample pictures of the real images: split → class → files, the training images' first."""
        cell = self.layout.cell(dataset, source)
        folder = cell.features / "samples"
        path = folder / "samples.json"
        return {
            split: {
                name: [
                    folder / picture_name(path, one) for one in (words(path, pictures) if pictures else ())
                ]
                for name, pictures in self._mapping(path, cell, split).items()
            }
            for split in _SPLITS
        }

    def class_means(self, dataset: str, source: str) -> dict[str, Path]:
        """Picture of the mean of real images of a class, by class, of those that figures show."""
        cell = self.layout.cell(dataset, source)
        folder = cell.features / "samples"
        path = folder / "samples.json"
        found = self._mapping(path, cell, "mean")
        return {name: folder / picture_name(path, picture) for name, picture in found.items()}

    def by_class(self, dataset: str, source: str, variant: str = BASE) -> dict[str, list[float | None]]:
        """What the first distilled set gives every class under every backbone, in percent."""
        cell = self.layout.cell(dataset, source, variant)
        path = cell.probe
        found = {
            target: below(path, sets, DISTILLED, "by_class")
            for target, sets in self._mapping(path, cell, "targets").items()
        }
        for sets in found.values():
            if not isinstance(sets, list) or not sets or not isinstance(sets[0], list):
                raise DamagedFileError(path, "is damaged: it has no accuracies of classes")
            for one in sets[0]:
                number(path, 0.0 if one is None else one)
        return {target: sets[0] for target, sets in found.items()}

    def history(self, dataset: str, source: str, variant: str = BASE) -> list[float]:
        """Loss before every step."""
        self.distilled(dataset, source, variant)
        path = self.layout.cell(dataset, source, variant).distilled / "history.csv"
        if not path.is_file():
            raise MissingFileError(path)
        try:
            lines = path.read_text(encoding="utf-8").split()[1:]
            return numbers(path, [float(line.split(",")[1]) for line in lines])
        except (OSError, ValueError, IndexError) as error:
            raise DamagedFileError(path, f"is damaged ({error})") from error

    def read(self, path: Path, cell: Cell) -> dict[str, Any]:
        """The JSON of a cell, read once for as long as nobody writes the file.

        Raises:
            FileError: if it is missing or damaged, of another cell, or made from something else than other
                files that were read.
        """
        try:
            now = path.stat()
            content = _read_once(path, cell, (now.st_ino, now.st_mtime_ns, now.st_size))
        except OSError:
            content = read_of(path, cell)
        self._origins.note(path, content.get(INPUTS, {}))
        return content

    def _tensors(self, path: Path, cell: Cell) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The tensors of a cell and what their file says."""
        tensors, facts = read_tensors(path)
        check_of(path, facts, cell)
        self._origins.note(path, facts.get(INPUTS, {}))
        return tensors, facts

    def _mapping(self, path: Path, cell: Cell, *keys: str) -> dict[str, Any]:
        """A mapping that a cell's JSON holds below some keys."""
        found = self._found(path, cell, *keys)
        if not isinstance(found, dict):
            raise DamagedFileError(path, f"is damaged: {found!r:.40} stands below {' / '.join(keys)}")
        return found

    def _found(self, path: Path, cell: Cell, *keys: str) -> Any:
        """What a cell's JSON holds below some keys."""
        return below(path, self.read(path, cell), *keys)


@lru_cache(maxsize=256)
def _read_once(path: Path, cell: Cell, seen: tuple[int, int, int]) -> dict[str, Any]:
    return read_of(path, cell)
