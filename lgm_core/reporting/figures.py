"""Figures: a row of facts each, and how it is drawn from the results; its look is in `panels` and `plots`."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lgm_core.foundation.errors import InputError, SettingError
from lgm_core.reporting.alignment_blocks import normalized_transfer, pairs
from lgm_core.reporting.correlation import correlation
from lgm_core.reporting.curve_figures import (
    draw_ipc,
    draw_rounds,
    draw_seconds,
    ipc_data,
    line_of,
    rounds_data,
    seconds_data,
)
from lgm_core.reporting.panels import Panel
from lgm_core.reporting.periphery import periphery
from lgm_core.reporting.picture_figures import (
    ablation_panels,
    distilled_panels,
    neighbor_panels,
    sample_panels,
    single_panels,
)
from lgm_core.reporting.plots import (
    Cloud,
    Scatter,
    Series,
    draw_clouds,
    draw_curves,
    draw_scatter,
    draw_sentence,
)
from lgm_core.reporting.results import Results
from lgm_core.reporting.table_formats import title_of
from lgm_core.reporting.tables import spread_note
from lgm_core.settings.params import NOTHING, Params
from lgm_core.settings.places import check_places, check_shown_alone
from lgm_core.settings.shown import shown_classes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _draw_components(results: Results, params: Params, datasets: tuple[str, ...], source: str) -> Figure:
    """Principal components of the training features, with class means and distilled images."""
    (dataset,) = datasets
    train, labels, classes = results.training_features(dataset, source)
    distilled, owners = results.distilled_features(dataset, source)
    center = train.mean(axis=0)
    _, scale, directions = np.linalg.svd(train - center, full_matrices=False)
    first, second = (100 * scale[:2] ** 2 / (scale**2).sum()).tolist()
    plane = directions[:2].T
    places = [
        periphery(name, train[labels == label], distilled[owners == label], center, plane)
        for label, name in enumerate(classes)
    ]
    clouds = [
        Cloud(
            results.class_title(classes[label]),
            (train[labels == label] - center) @ plane,
            (train[labels == label].mean(axis=0) - center) @ plane,
            (distilled[owners == label] - center) @ plane,
        )
        for label in shown_classes(len(classes))
    ]
    nearer, in_plane, out = (
        float(np.mean([getattr(place, key) for place in places]))
        for key in ("nearer", "nearer_in_plane", "projection")
    )
    said = (
        f"Means over {len(classes)} classes: {100 * nearer:.0f} % of a class's real images lie nearer to "
        f"their mean than the distilled\nimage does, {100 * in_plane:.0f} % in this plane; along the class "
        f"mean the distilled image is {out:.2f} times as far out as it."
    )
    return draw_clouds(clouds, f"{dataset}, features of {source}", (first, second), said)


def _draw_alignment(results: Results, params: Params, datasets: tuple[str, ...], source: str) -> Figure:
    """Normalised transfer against alignment, a point for every ordered pair of models."""
    backbones = tuple(params.backbones)
    parts = []
    for dataset in datasets:
        transfer = normalized_transfer(results, dataset, backbones)
        known = [(a, b) for a, b in pairs(backbones) if b in transfer[a]]
        x = [results.alignment(dataset, a, b).mean for a, b in known]
        y = [transfer[a][b].mean for a, b in known]
        found = correlation(x, y)
        said = (
            "r undefined" if found.pearson is None else f"r = {found.pearson:.2f}, R² = {found.r_squared:.2f}"
        )
        facts = results.alignment_facts(dataset)
        measured = f"k = {facts['neighbors']}, n = {facts['samples']:,}, chance {facts['chance']:.3f}"
        labels = [title_of(f"{a}/{b}") for a, b in known]
        parts.append(Scatter(f"{dataset}: {said}\n{measured}", x, y, labels))
    return draw_scatter(parts, "mutual k-NN alignment (fraction)", "normalised 1-NN accuracy (%)")


def _history(results: Results, dataset: str, source: str) -> Series:
    losses = results.history(dataset, source)
    return Series(source, [float(step) for step in range(len(losses))], losses)


def _draw_losses(results: Results, params: Params, datasets: tuple[str, ...], source: str) -> Figure:
    """Loss of every distillation, against steps."""
    panels = {
        dataset: [_history(results, dataset, name) for name in params.backbones] for dataset in datasets
    }
    return draw_curves(panels, "step", "loss (1 - cosine)", points=False)


def _losses_data(
    results: Results, params: Params, datasets: tuple[str, ...], source: str
) -> dict[str, Series]:
    return {
        f"{dataset} {name}": _history(results, dataset, name)
        for dataset in datasets
        for name in params.backbones
    }


Panels = Callable[[Results, Params, tuple[str, ...], str], list[Panel]]
Plot = Callable[[Results, Params, tuple[str, ...], str], "Figure"]
Data = Callable[[Results, Params, tuple[str, ...], str], dict[str, Series]]


@dataclass(frozen=True)
class FigureRow:
    """A figure.

    Attributes:
        title: one line.
        places: what it shows of the settings: `dataset`, or `left` and `right`, and `source`.
        panels: its pictures, where it is a grid of them.
        plot: its drawing, where it is a plot.
        data: what `dvc plots` draws of it, a line of points for every name.
        table: whose data sets it shows, where they are not its own.
        told: what its pictures, lines or marks are, for the caption.
        spread: whether it shows a ±, which the caption then explains.
    """

    title: str
    places: tuple[str, ...]
    panels: Panels | None = None
    plot: Plot | None = None
    data: Data | None = None
    table: str | None = None
    told: str = ""
    spread: bool = False

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Of its files."""
        return (".png", *([".svg"] if self.plot else []), *([".csv"] if self.data else []))


FIGURES = {
    "figure1": FigureRow(
        "Figure 1. Distilled images of every model",
        ("dataset",),
        panels=distilled_panels,
        told="A row of images for each model that distilled them, a column for each class.",
    ),
    "figure3": FigureRow(
        "Figure 3. Accuracy against rounds of augmentation",
        ("dataset", "source"),
        plot=draw_rounds,
        data=rounds_data,
        told="A line for each model that is probed; the first distilled the images.",
        spread=True,
    ),
    "figure4": FigureRow(
        "Figure 4. Training features, class means and distilled images",
        ("dataset", "source"),
        plot=_draw_components,
        told=(
            "Small marks are training images, outlined ones class means, stars distilled images with "
            "the number of their class in the legend."
        ),
    ),
    "figure5": FigureRow(
        "Figure 5. The same classes under every ablation",
        ("source",),
        panels=ablation_panels,
        table="table3",
        told=(
            "A row for each variant of the method, a column for each class; the row's title says what"
            " is left out."
        ),
    ),
    "figure6": FigureRow(
        "Figure 6. A data set with a spurious background",
        ("dataset",),
        panels=sample_panels,
        told="A row for each class: real images of both splits, then what each model distilled.",
    ),
    "figure7": FigureRow(
        "Figure 7. Fine-grained data sets",
        ("left", "right", "source"),
        panels=single_panels,
        told="An image for each class, all distilled with the same model.",
    ),
    "figure8": FigureRow(
        "Figure 8. Distilled images above their nearest real neighbours",
        ("dataset", "source"),
        panels=neighbor_panels,
        told=(
            "Above, the distilled image of each class; below, the real image of that class whose "
            "features are nearest to it, with their cosine."
        ),
        spread=True,
    ),
    "figure9": FigureRow(
        "Figure 9. Accuracy against images per class (ours, not the paper's)",
        ("dataset", "source"),
        plot=draw_ipc,
        data=ipc_data,
        told=(
            "On the left the model that distils is probed, on the right the others; dashed, a probe "
            "on all images."
        ),
        spread=True,
    ),
    "figure10": FigureRow(
        "Figure 10. Accuracy against seconds of distillation (ours, not the paper's)",
        ("dataset", "source"),
        plot=draw_seconds,
        data=seconds_data,
        told=(
            "A point for each recipe, a line for recipes that differ in steps alone; dashed, the "
            "settings' own."
        ),
        spread=True,
    ),
    "alignment": FigureRow(
        "Transfer against alignment, every pair of models",
        ("left", "right"),
        plot=_draw_alignment,
        told="A point for each ordered pair of models, the one that distils before the arrow.",
    ),
    "losses": FigureRow(
        "Loss of the distillations",
        ("left", "right"),
        plot=_draw_losses,
        data=_losses_data,
        told="A line for each model that distils.",
    ),
}


def check_figures(params: Params) -> None:
    """Refuse figures that cannot be.

    Raises:
        InputError: naming the setting.
    """
    check_places("figures", {name: row.places for name, row in FIGURES.items()}, params.figures)
    for name, row in FIGURES.items():
        source = params.figures[name].source
        if "source" in row.places and (source == NOTHING) != (not shown_datasets(name, params)):
            allowed = "none where the figure shows no data set, and a backbone where it does"
            raise SettingError(f"figures.{name}.source", source, allowed)
        distilled = params.tables[row.table].backbones if row.table else None
        if distilled is not None and source != NOTHING and source not in distilled:
            allowed = f"one of tables.{row.table}.backbones: {', '.join(distilled)}"
            raise SettingError(f"figures.{name}.source", source, allowed)
    shown_alone = {
        "variants.rounds": (params.variants.rounds, "figure3", True),
        "figure_backbones": (params.figure_backbones, "figure8", False),
        "variants.ipc": (params.variants.ipc, "figure9", True),
        "variants.recipes": (params.variants.recipes, "figure10", True),
    }
    for key, (given, name, needed) in shown_alone.items():
        title = f"Figure {name.removeprefix('figure')}"
        check_shown_alone(key, given, title, bool(shown_datasets(name, params)), needed=needed)
    known: set[tuple[str, int]] = set()
    for name, changes in params.variants.ipc.items():
        if "ipc" not in changes:
            raise SettingError(f"variants.ipc.{name}", changes, "settings with ipc among them")
        point = (line_of(changes), changes["ipc"])
        if point in known:
            raise SettingError(f"variants.ipc.{name}", changes, "another ipc than the line's other points")
        known.add(point)


def shown_datasets(name: str, params: Params) -> tuple[str, ...]:
    """The data sets that a figure shows; none where it is left out."""
    table = FIGURES[name].table
    if table is None:
        return params.figures[name].datasets
    return () if params.figures[name].source == NOTHING else params.tables[table].datasets


def draw_figure(name: str, results: Results, params: Params) -> list[Panel] | Figure:
    """A figure as panels or as a plot; one that shows nothing is a sentence that says so.

    Raises:
        InputError: if there is no such figure, or a result is missing.
    """
    if name not in FIGURES:
        raise InputError(f"{name!r} is no figure; there are: {', '.join(FIGURES)}.")
    row = FIGURES[name]
    datasets = shown_datasets(name, params)
    source = params.figures[name].source or ""
    if not datasets:
        return draw_sentence(f"{name} is left out: its data set in the settings is none.")
    if row.panels is not None:
        return row.panels(results, params, datasets, source)
    assert row.plot is not None
    return row.plot(results, params, datasets, source)


def plotted_data(name: str, results: Results, params: Params) -> str:
    """What `dvc plots` draws of a figure, as CSV with the columns series, x and y; of none the header."""
    make = FIGURES[name].data
    datasets = shown_datasets(name, params)
    source = params.figures[name].source or ""
    lines = make(results, params, datasets, source) if make is not None and datasets else {}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["series", "x", "y"])
    for title, line in lines.items():
        writer.writerows((title, f"{x:g}", f"{y:.6g}") for x, y in zip(line.x, line.y, strict=True))
    return out.getvalue()


def figure_caption(name: str, params: Params, captions: Mapping[str, str]) -> str:
    """What is shown, what the data sets are where there is something to say, the suite, and what ± is."""
    datasets = shown_datasets(name, params)
    if not datasets:
        return ""
    row = FIGURES[name]
    lines = [f"{dataset}: {captions[dataset]}." for dataset in datasets if captions.get(dataset)]
    spread = [spread_note(params.distillations)] if row.spread else []
    return "\n".join([row.told, *lines, f"Suite: {params.suite}.", *spread])
