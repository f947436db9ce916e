"""The paper's figures, assembled from the cells; how they look is in `panels` and `plots`."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lgm_core.captions import about
from lgm_core.cells import Cells
from lgm_core.layout import BASE, making
from lgm_core.panels import Panel, Picture
from lgm_core.plots import Cloud, Scatter, Series, draw_clouds, draw_curves, draw_scatter
from lgm_core.rendering import title_of
from lgm_core.reported import reported_values
from lgm_core.specs import Params
from lgm_core.statistics import correlation
from lgm_core.tables import METHOD, normalized_transfer, pairs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lgm_core.datasets import ImageSet

MOST_CLASSES = 10
"""Classes of a data set that a figure shows, evenly spaced."""
_SAMPLE_SHARES = (0.3, 0.6)
"""Which images of a class stand for it, by their place among all of its images."""

Splits = Callable[[str], "tuple[ImageSet, ImageSet]"]
"""Opens the train and test images of a data set."""


def shown_classes(count: int) -> list[int]:
    """Numbers of the classes a figure shows: all, or as many as fit, evenly spaced."""
    shown = min(count, MOST_CLASSES)
    return [number * count // shown for number in range(shown)]


def _first_pictures(cells: Cells, dataset: str, source: str, variant: str = BASE) -> dict[str, Path]:
    """The first distilled picture of every class that is shown, by class."""
    settings = cells.distilled(dataset, source, variant)
    first = [picture for picture in settings["pictures"] if picture.endswith("/0.png")]
    folder = cells.layout.distilled(dataset, source, variant)
    return {settings["classes"][n]: folder / first[n] for n in shown_classes(len(settings["classes"]))}


def _panel(title: str, rows: dict[str, dict[str, Path]]) -> Panel:
    """Rows of pictures by class; all rows show the same classes."""
    columns = tuple(next(iter(rows.values())))
    return Panel(title, tuple(rows), columns, tuple(tuple(row.values()) for row in rows.values()))


def _figure1(cells: Cells, params: Params, splits: Splits) -> list[Panel]:
    """Distilled images of every backbone."""
    dataset = params.figures.figure1.dataset
    rows = {source: _first_pictures(cells, dataset, source) for source in params.backbones}
    return [_panel(f"{dataset}, distilled with each model", rows)]


def _figure5(cells: Cells, params: Params, splits: Splits) -> list[Panel]:
    """The same classes under every ablation."""
    dataset, source = params.tables.table3.dataset, params.figures.figure5.source
    variants = {METHOD: BASE, **{name: f"ablation/{name}" for name in params.variants.ablation}}
    rows = {
        title_of(name): _first_pictures(cells, dataset, source, variant) for name, variant in variants.items()
    }
    return [_panel(f"{dataset}, distilled with {source}", rows)]


def _samples(images: ImageSet, label: int, side: int) -> list[Picture]:
    """Some images of a class, [side, side, 3]."""
    from lgm_core.datasets import square

    members = (images.labels == label).nonzero().flatten().tolist()
    chosen = [members[int(share * len(members))] for share in _SAMPLE_SHARES]
    return [square(images.decode(number), side).permute(1, 2, 0).numpy() for number in chosen]


def _figure6(cells: Cells, params: Params, splits: Splits) -> list[Panel]:
    """Samples of train and test, and what every backbone distilled, titled with its full-data accuracy."""
    dataset, side = params.figures.figure6.dataset, params.method.resolution
    train, test = splits(dataset)
    columns = [*["train"] * len(_SAMPLE_SHARES), *["test"] * len(_SAMPLE_SHARES)]
    distilled = []
    for source in params.backbones:
        columns.append(f"{source}\nfull {cells.full(dataset, source).mean:.0f} %")
        distilled.append(_first_pictures(cells, dataset, source))
    rows = {
        train.classes[label]: (
            *_samples(train, label, side),
            *_samples(test, label, side),
            *(pictures[train.classes[label]] for pictures in distilled),
        )
        for label in shown_classes(len(train.classes))
    }
    title = f"{dataset}: samples, images distilled with each model, its test accuracy on all data"
    return [Panel(title, tuple(rows), tuple(columns), tuple(rows.values()))]


def _figure7(cells: Cells, params: Params, splits: Splits) -> list[Panel]:
    """Distilled images of the fine-grained data sets."""
    shown = params.figures.figure7
    return [
        _panel(dataset, {f"distilled\nwith {shown.source}": _first_pictures(cells, dataset, shown.source)})
        for dataset in dict.fromkeys((shown.left, shown.right))
    ]


def _figure8(cells: Cells, params: Params, splits: Splits) -> list[Panel]:
    """Distilled images above their nearest real neighbours."""
    dataset, source = params.figures.figure8.dataset, params.figures.figure8.source
    distilled = _first_pictures(cells, dataset, source)
    folder = cells.layout.neighbors(dataset, source)
    near = {entry["picture"]: entry for entry in cells.neighbors(dataset, source)}
    own = cells.layout.distilled(dataset, source)
    names = {name: picture.relative_to(own).as_posix() for name, picture in distilled.items()}
    columns = {name: f"{name}\ncos {near[names[name]]['similarity']:.2f}" for name in names}
    rows = (tuple(distilled.values()), tuple(folder / names[name] for name in names))
    title = f"{dataset}, distilled with {source}, above the nearest real images"
    return [Panel(title, ("distilled", "nearest real"), tuple(columns.values()), rows)]


PANEL_FIGURES: dict[str, Callable[[Cells, Params, Splits], list[Panel]]] = {
    "figure1": _figure1,
    "figure5": _figure5,
    "figure6": _figure6,
    "figure7": _figure7,
    "figure8": _figure8,
}


def rounds_series(cells: Cells, params: Params) -> list[Series]:
    """Accuracy of every backbone against the number of augmentation rounds, the distilling one first.

    Published values are dashed lines, where data set and backbone are the paper's.
    """
    dataset, source = params.figures.figure3.dataset, params.figures.figure3.source
    names = [*(f"rounds/{name}" for name in params.variants.rounds), BASE]
    variants = {cells.distilled(dataset, source, name)["method"]["aug_rounds"]: name for name in names}
    rounds = sorted(variants)
    lines = []
    for target in sorted(params.backbones, key=lambda name: name != source):
        values = [cells.transfer(dataset, source, target, variant=variants[count]) for count in rounds]
        name = f"{target} (distils)" if target == source else target
        lines.append(
            Series(
                name,
                [float(count) for count in rounds],
                [value.mean for value in values],
                [value.std or 0.0 for value in values],
            )
        )
    return lines + (_reported_rounds(dataset, list(params.backbones)) if source == "dinov2" else [])


def _reported_rounds(dataset: str, backbones: list[str]) -> list[Series]:
    lines = []
    for target in backbones:
        found = {count: reported_values("figure3", dataset, str(count), target) for count in range(1, 101)}
        known = {count: values[0].mean for count, values in found.items() if values}
        if known:
            lines.append(Series(f"{target} (original)", [*map(float, known)], [*known.values()], dashed=True))
    return lines


def _figure3(cells: Cells, params: Params) -> Figure:
    """Accuracy against rounds of augmentation."""
    shown = params.figures.figure3
    panels = {f"{shown.dataset}, distilled with {shown.source}": rounds_series(cells, params)}
    return draw_curves(panels, "augmentation rounds K per step", "top-1 accuracy (%)")


def _figure4(cells: Cells, params: Params) -> Figure:
    """Principal components of the training features, with class means and distilled images."""
    from lgm_core.features import load_features

    dataset, source = params.figures.figure4.dataset, params.figures.figure4.source
    made_by = making("features", dataset, source)
    cache = load_features(cells.layout.features(dataset, source), made_by=made_by)
    train, labels = cache.train.double().numpy(), cache.train_labels.numpy()
    distilled, owners = cells.distilled_features(dataset, source)
    center = train.mean(axis=0)
    _, scale, directions = np.linalg.svd(train - center, full_matrices=False)
    first, second = (100 * scale[:2] ** 2 / (scale**2).sum()).tolist()
    plane = directions[:2].T
    clouds = [
        Cloud(
            cache.classes[label],
            (train[labels == label] - center) @ plane,
            (train[labels == label].mean(axis=0) - center) @ plane,
            (distilled[owners == label] - center) @ plane,
        )
        for label in shown_classes(len(cache.classes))
    ]
    return draw_clouds(clouds, f"{dataset}, features of {source}", (first, second))


def _alignment(cells: Cells, params: Params) -> Figure:
    """Normalised transfer against alignment, a point for every ordered pair of models."""
    shown, backbones = params.figures.alignment, list(params.backbones)
    parts = []
    for dataset in dict.fromkeys((shown.left, shown.right)):
        transfer = normalized_transfer(cells, dataset, backbones)
        known = [(a, b) for a, b in pairs(backbones) if b in transfer[a]]
        x = [cells.alignment(dataset, a, b).mean for a, b in known]
        y = [transfer[a][b].mean for a, b in known]
        found = correlation(x, y)
        said = (
            "r undefined" if found.pearson is None else f"r = {found.pearson:.2f}, R² = {found.r_squared:.2f}"
        )
        parts.append(Scatter(f"{dataset}: {said}", x, y, [title_of(f"{a}/{b}") for a, b in known]))
    return draw_scatter(parts, "mutual k-NN alignment (fraction)", "normalised 1-NN accuracy (%)")


def loss_histories(cells: Cells, params: Params) -> dict[str, list[Series]]:
    """Loss against step, by data set, a line for each backbone."""
    shown = params.figures.losses
    return {
        dataset: [_history(cells, dataset, source) for source in params.backbones]
        for dataset in dict.fromkeys((shown.left, shown.right))
    }


def _history(cells: Cells, dataset: str, source: str) -> Series:
    losses = cells.history(dataset, source)
    return Series(source, [float(step) for step in range(len(losses))], losses)


def _losses(cells: Cells, params: Params) -> Figure:
    """Loss of every distillation."""
    return draw_curves(loss_histories(cells, params), "step", "loss (1 - cosine)", points=False)


PLOT_FIGURES: dict[str, Callable[[Cells, Params], Figure]] = {
    "figure3": _figure3,
    "figure4": _figure4,
    "alignment": _alignment,
    "losses": _losses,
}
FIGURES = tuple(sorted((*PANEL_FIGURES, *PLOT_FIGURES)))


def plotted_data(name: str, cells: Cells, params: Params) -> str | None:
    """What `dvc plots` draws of a figure, as CSV with the columns series, x and y; None of most figures."""
    if name == "figure3":
        lines = {line.name: line for line in rounds_series(cells, params) if not line.dashed}
    elif name == "losses":
        histories = loss_histories(cells, params)
        lines = {f"{dataset} {line.name}": line for dataset in histories for line in histories[dataset]}
    else:
        return None
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["series", "x", "y"])
    for title, line in lines.items():
        writer.writerows((title, f"{x:g}", f"{y:.6g}") for x, y in zip(line.x, line.y, strict=True))
    return out.getvalue()


def figure_caption(name: str, params: Params) -> str:
    """What the shown data sets are, where they stand in for others."""
    shown = params.tables.table3 if name == "figure5" else getattr(params.figures, name)
    names = [getattr(shown, side) for side in ("dataset", "left", "right") if hasattr(shown, side)]
    lines = {dataset: about(params.datasets[dataset]["source"]) for dataset in names}
    return "\n".join(f"{dataset}: {line}." for dataset, line in lines.items() if line)
