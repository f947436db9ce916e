"""Figures that are grids of pictures: which pictures, in which rows and columns."""

from __future__ import annotations

import textwrap
from pathlib import Path

from lgm_core.foundation.layout import BASE
from lgm_core.reporting.blocks import CENTROIDS, METHOD
from lgm_core.reporting.panels import Panel
from lgm_core.reporting.results import Results
from lgm_core.reporting.table_formats import format_value, title_of
from lgm_core.settings.params import Params
from lgm_core.settings.shown import shown_classes

_LABEL_CHARACTERS = 12


def _first_pictures(results: Results, dataset: str, source: str, variant: str = BASE) -> dict[str, Path]:
    """The first distilled picture of every class that is shown, by class."""
    settings = results.distilled(dataset, source, variant)
    first = [picture for picture in settings["pictures"] if picture.endswith("/0.png")]
    folder = results.layout.cell(dataset, source, variant).distilled
    return {settings["classes"][n]: folder / first[n] for n in shown_classes(len(settings["classes"]))}


def _label(results: Results, name: str) -> str:
    """A class's title, in lines that fit above a picture."""
    return textwrap.fill(results.class_title(name), _LABEL_CHARACTERS, break_long_words=False)


def _panel(results: Results, title: str, rows: dict[str, dict[str, Path]]) -> Panel:
    """Rows of pictures by class; all rows show the same classes."""
    columns = tuple(_label(results, name) for name in next(iter(rows.values())))
    return Panel(title, tuple(rows), columns, tuple(tuple(row.values()) for row in rows.values()))


def distilled_panels(results: Results, params: Params, datasets: tuple[str, ...], source: str) -> list[Panel]:
    """Distilled images of every backbone."""
    return [
        _panel(
            results,
            f"{dataset}, distilled with each model",
            {name: _first_pictures(results, dataset, name) for name in params.backbones},
        )
        for dataset in datasets
    ]


def ablation_panels(results: Results, params: Params, datasets: tuple[str, ...], source: str) -> list[Panel]:
    """The same classes under every ablation."""
    variants = {METHOD: BASE, **{name: f"ablation/{name}" for name in params.variants.ablation}}
    return [
        _panel(
            results,
            f"{dataset}, distilled with {source}",
            {
                title_of(name): _first_pictures(results, dataset, source, variant)
                for name, variant in variants.items()
            },
        )
        for dataset in datasets
    ]


def sample_panels(results: Results, params: Params, datasets: tuple[str, ...], source: str) -> list[Panel]:
    """Samples of train and test, and what every backbone distilled, titled with its full-data accuracy."""
    return [_sample_panel(results, dataset, tuple(params.backbones)) for dataset in datasets]


def _sample_panel(results: Results, dataset: str, backbones: tuple[str, ...]) -> Panel:
    samples = results.samples(dataset, backbones[0])
    columns = [split for split, classes in samples.items() for _ in next(iter(classes.values()))]
    columns += [f"{source}\nfull {results.full(dataset, source).mean:.0f} %" for source in backbones]
    distilled = [_first_pictures(results, dataset, source) for source in backbones]
    rows = {
        name: (
            *(picture for classes in samples.values() for picture in classes[name]),
            *(pictures[name] for pictures in distilled),
        )
        for name in distilled[0]
    }
    title = f"{dataset}: samples, images distilled with each model, its test accuracy on all data"
    return Panel(title, tuple(_label(results, name) for name in rows), tuple(columns), tuple(rows.values()))


def single_panels(results: Results, params: Params, datasets: tuple[str, ...], source: str) -> list[Panel]:
    """Distilled images of one backbone, a panel for every data set."""
    return [
        _panel(results, dataset, {f"distilled\nwith {source}": _first_pictures(results, dataset, source)})
        for dataset in datasets
    ]


def neighbor_panels(results: Results, params: Params, datasets: tuple[str, ...], source: str) -> list[Panel]:
    """Distilled images above their nearest real neighbours."""
    return [_neighbor_panel(results, dataset, source) for dataset in datasets]


def _neighbor_panel(results: Results, dataset: str, source: str) -> Panel:
    distilled = _first_pictures(results, dataset, source)
    cell = results.layout.cell(dataset, source)
    near = {entry["picture"]: entry for entry in results.neighbors(dataset, source)}
    names = {name: picture.relative_to(cell.distilled).as_posix() for name, picture in distilled.items()}
    columns = {name: f"{_label(results, name)}\ncos {near[names[name]]['similarity']:.2f}" for name in names}
    rows = (tuple(distilled.values()), tuple(cell.neighbors / names[name] for name in names))
    real = results.transfer(dataset, source, source, training_set=CENTROIDS)
    whole = results.best_of_all_images(dataset, source)
    reached = format_value(results.transfer(dataset, source, source))
    title = (
        f"{dataset}, distilled with {source}, above the nearest real images\n"
        f"probe on the distilled images {reached} %, on Centroids {format_value(real)} %, "
        f"on all images {format_value(whole)} %"
    )
    return Panel(title, ("distilled", "nearest real"), tuple(columns.values()), rows)
