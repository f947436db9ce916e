"""Figures that are curves: accuracy against rounds of augmentation, images per class, and seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lgm_core.foundation.layout import BASE
from lgm_core.reporting.blocks import CENTROIDS, RANDOM
from lgm_core.reporting.plots import Series, draw_curves
from lgm_core.reporting.published import reported_values
from lgm_core.reporting.results import DISTILLED, Results, Value, average
from lgm_core.reporting.table_formats import TITLES
from lgm_core.settings.params import SEVERAL, Params

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ACCURACY = "top-1 accuracy (%)"
_REAL = (RANDOM, CENTROIDS, "herding", "medoids", "k_center")
_NOT_IN_NAMES = {"ipc", "aug_rounds"}
"""Settings in which the points of a line of Figure 9 may differ: images per class, and views of each."""


def _line(name: str, points: dict[float, Value], *, dashed: bool = False) -> Series:
    """Values by place, from left to right."""
    x = sorted(points)
    values = [points[place] for place in x]
    return Series(name, x, [value.mean for value in values], [value.std or 0.0 for value in values], dashed)


# Figure 3


def rounds_series(results: Results, params: Params, dataset: str, source: str) -> list[Series]:
    """Accuracy of every backbone against the number of augmentation rounds, the distilling one first.

    Published values are dashed lines, where data set and backbone are the paper's.
    """
    names = [*(f"rounds/{name}" for name in params.variants.rounds), BASE]
    variants = {results.method(dataset, source, name)["aug_rounds"]: name for name in names}
    lines = {}
    for target in sorted(params.backbones, key=lambda name: name != source):
        points = {
            float(count): results.transfer(dataset, source, target, variant=variant)
            for count, variant in variants.items()
        }
        lines[target] = _line(f"{target} (distils)" if target == source else target, points)
    published = _reported_rounds(dataset, lines) if source == "dinov2" else []
    return [*lines.values(), *published]


def _reported_rounds(dataset: str, measured: dict[str, Series]) -> list[Series]:
    """The published lines of backbones, each to be drawn like the measured one."""
    lines = []
    for target, line in measured.items():
        found = {count: reported_values("figure3", dataset, str(count), target) for count in range(1, 101)}
        known = {count: values[0].mean for count, values in found.items() if values}
        if known:
            places, values = [*map(float, known)], [*known.values()]
            lines.append(Series(f"{target} (original)", places, values, dashed=True, like=line.name))
    return lines


def draw_rounds(results: Results, params: Params, datasets: tuple[str, ...], source: str) -> Figure:
    """Accuracy against rounds of augmentation."""
    (dataset,) = datasets
    panels = {f"{dataset}, distilled with {source}": rounds_series(results, params, dataset, source)}
    return draw_curves(panels, "augmentation rounds K per step", _ACCURACY)


def rounds_data(
    results: Results, params: Params, datasets: tuple[str, ...], source: str
) -> dict[str, Series]:
    """The measured lines of Figure 3."""
    (dataset,) = datasets
    return {line.name: line for line in rounds_series(results, params, dataset, source) if not line.dashed}


# Figure 9


def line_of(changes: dict[str, Any]) -> str:
    """What the line of distilled sets that a variant is a point of is called: by the settings it shares."""
    told = [f"{key} {value}" for key, value in changes.items() if key not in _NOT_IN_NAMES]
    return ", ".join(["distilled", *told])


def ipc_series(results: Results, params: Params, dataset: str, source: str) -> dict[str, list[Series]]:
    """Accuracy against images per class, a panel for the model that distils and one for the others."""
    others = tuple(name for name in params.backbones if name != source)
    panels: dict[str, tuple[str, ...]] = {f"{dataset}: {source}, which distils": (source,)}
    if others:
        panels[f"{dataset}: mean of {', '.join(others)}"] = others
    return {title: _ipc_lines(results, params, dataset, source, targets) for title, targets in panels.items()}


def _ipc_lines(
    results: Results, params: Params, dataset: str, source: str, targets: tuple[str, ...]
) -> list[Series]:
    def mean(variant: str, training_set: str = DISTILLED) -> Value:
        how = {"variant": f"{SEVERAL}/{variant}", "training_set": training_set}
        return average([results.transfer(dataset, source, target, **how) for target in targets])

    distilled: dict[str, dict[float, Value]] = {}
    real: dict[str, dict[float, Value]] = {name: {} for name in _REAL}
    for variant, changes in params.variants.ipc.items():
        count = float(changes["ipc"])
        distilled.setdefault(line_of(changes), {})[count] = mean(variant)
        if results.has_real_sets(dataset, source, f"{SEVERAL}/{variant}"):
            for name in _REAL:
                real[name][count] = mean(variant, name)
    full = average([results.full(dataset, target) for target in targets])
    ends = sorted({place for points in distilled.values() for place in points})
    whole = {place: Value(full.mean) for place in (ends[0], ends[-1])}
    return [
        *(_line(name, points) for name, points in distilled.items()),
        *(_line(TITLES[name], points) for name, points in real.items() if points),
        _line("all images", whole, dashed=True),
    ]


def draw_ipc(results: Results, params: Params, datasets: tuple[str, ...], source: str) -> Figure:
    """Accuracy against images per class."""
    (dataset,) = datasets
    return draw_curves(ipc_series(results, params, dataset, source), "images per class", _ACCURACY)


def ipc_data(results: Results, params: Params, datasets: tuple[str, ...], source: str) -> dict[str, Series]:
    """The lines of Figure 9, those of the other models called so."""
    (dataset,) = datasets
    same, *others = ipc_series(results, params, dataset, source).values()
    return {line.name: line for line in same} | {
        f"{line.name}, other models": line for lines in others for line in lines
    }


# Figure 10


def seconds_series(results: Results, params: Params, dataset: str, source: str) -> list[Series]:
    """Accuracy on the distilling model against seconds of one distillation, a line for a kind of recipe."""
    lines: dict[str, dict[float, Value]] = {}
    for name in params.variants.recipes:
        variant = f"recipes/{name}"
        method = results.method(dataset, source, variant)
        bank = f", {method['head_bank']} heads" if method["head_bank"] else ""
        kind = f"{method['objective']}, K = {method['aug_rounds']}{bank}"
        place = results.distill_seconds(dataset, source, variant) / params.distillations
        lines.setdefault(kind, {})[place] = results.transfer(dataset, source, source, variant=variant)
    own = results.transfer(dataset, source, source)
    place = results.distill_seconds(dataset, source) / params.distillations
    method = results.method(dataset, source)
    title = f"the settings' own: {method['objective']}, K = {method['aug_rounds']}"
    ends = [place, *(second for points in lines.values() for second in points)]
    level = {end: Value(own.mean) for end in (min(ends), max(ends))}
    return [
        _line(title, {place: own}),
        *(_line(name, points) for name, points in sorted(lines.items())),
        _line("its accuracy", level, dashed=True),
    ]


def draw_seconds(results: Results, params: Params, datasets: tuple[str, ...], source: str) -> Figure:
    """Accuracy against seconds of distillation."""
    (dataset,) = datasets
    title = f"{dataset}, distilled with and probed on {source}"
    panels = {title: seconds_series(results, params, dataset, source)}
    return draw_curves(panels, "seconds of one distillation", _ACCURACY, logarithmic=True)


def seconds_data(
    results: Results, params: Params, datasets: tuple[str, ...], source: str
) -> dict[str, Series]:
    """The lines of Figure 10."""
    (dataset,) = datasets
    return {line.name: line for line in seconds_series(results, params, dataset, source)}
