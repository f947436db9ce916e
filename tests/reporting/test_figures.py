"""Figures show the cells' numbers and pictures, and are the same bytes every time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_report import CLASSES, results, settings  # noqa: F401 (fixtures)

from lgm_core.data.sources import load_splits
from lgm_core.features.cache import FeatureCache, save_features
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.layout import Layout
from lgm_core.foundation.store import read_json, write_json, write_tensors
from lgm_core.reporting.figures import (
    MOST_CLASSES,
    PANEL_FIGURES,
    PLOT_FIGURES,
    figure_caption,
    plotted_data,
    rounds_series,
    shown_classes,
)
from lgm_core.reporting.panels import Panel, save_panels
from lgm_core.reporting.plots import COLORS, color_and_marker, save_plot
from lgm_core.reporting.results import Cells
from lgm_core.settings.params import Params


@pytest.fixture
def cells(results: Layout, settings: Params) -> Cells:  # noqa: F811
    """The hand-made cells, with features for Figure 4, and the classes of a data set that can be opened."""
    layout, birds = results, ("landbird", "waterbird")
    for name in [("pets", model, "") for model in ("a", "b")]:
        path = layout.distilled(*name) / "settings.json"
        write_json(path, {**read_json(path, made_by=""), "classes": list(birds)})
    generator = torch.Generator().manual_seed(0)
    train, labels = torch.randn(20, 6, generator=generator), torch.arange(2).repeat(10)
    cache = FeatureCache(
        classes=birds, train=train, train_labels=labels, test=train, test_labels=labels,
        real_views=train[None], full_views=train[None].clone(),
    )  # fmt: skip
    save_features(layout.features("pets", "a"), cache, {})
    distilled = {"features": torch.randn(2, 6, generator=generator), "labels": torch.arange(2)}
    write_tensors(layout.neighbors("pets", "a") / "features.safetensors", distilled, {})
    return Cells(layout)


def splits(settings: Params) -> Callable[[str], Any]:  # noqa: F811
    return lambda dataset: load_splits(settings.datasets[dataset], Path())


def test_all_classes_are_shown_or_as_many_as_fit_evenly_spaced() -> None:
    assert shown_classes(3) == [0, 1, 2]
    assert shown_classes(1000) == list(range(0, 1000, 100))
    assert len(shown_classes(11)) == MOST_CLASSES


@pytest.mark.parametrize("name", PANEL_FIGURES)
def test_panels_are_drawn_and_the_same_every_time(
    name: str,
    cells: Cells,
    settings: Params,  # noqa: F811
    tmp_path: Path,
) -> None:
    drawn = []
    for turn in range(2):
        panels = PANEL_FIGURES[name](cells, settings, splits(settings))
        path = tmp_path / f"{turn}.png"
        save_panels(panels, figure_caption(name, settings), path)
        drawn.append(path.read_bytes())
    assert drawn[0] == drawn[1]
    with Image.open(tmp_path / "0.png") as image:
        assert image.width > 600
        assert np.asarray(image.convert("L")).std() > 5


def test_figure6_shows_samples_of_both_splits_and_every_models_accuracy(
    cells: Cells,
    settings: Params,  # noqa: F811
) -> None:
    (panel,) = PANEL_FIGURES["figure6"](cells, settings, splits(settings))
    assert panel.columns == ("train", "train", "test", "test", "a\nfull 51 %", "b\nfull 51 %")
    assert panel.rows == ("landbird", "waterbird")
    sample = panel.pictures[0][0]
    assert isinstance(sample, np.ndarray)
    assert sample.shape == (settings.method.resolution, settings.method.resolution, 3)


def test_figure8_puts_every_neighbor_under_its_image(
    cells: Cells,
    settings: Params,  # noqa: F811
) -> None:
    (panel,) = PANEL_FIGURES["figure8"](cells, settings, splits(settings))
    assert panel.rows == ("distilled", "nearest real")
    assert panel.columns == ("landbird\ncos 0.50", "waterbird\ncos 0.50")
    above, below = panel.pictures
    assert [Path(str(p)).relative_to(cells.layout.distilled("pets", "a")) for p in above] == [
        Path(str(p)).relative_to(cells.layout.neighbors("pets", "a")) for p in below
    ]


@pytest.mark.parametrize("name", PLOT_FIGURES)
def test_plots_are_drawn_as_png_and_svg_the_same_every_time(
    name: str,
    cells: Cells,
    settings: Params,  # noqa: F811
    tmp_path: Path,
) -> None:
    for turn in range(2):
        paths = [tmp_path / f"{turn}.{suffix}" for suffix in ("png", "svg")]
        save_plot(PLOT_FIGURES[name](cells, settings), *paths)
    for suffix in ("png", "svg"):
        assert (tmp_path / f"0.{suffix}").read_bytes() == (tmp_path / f"1.{suffix}").read_bytes()
    assert "http" not in (tmp_path / "0.svg").read_text().replace("http://www.w3.org", "").replace(
        "http://purl.org", ""
    ).replace("http://creativecommons.org", "")
    with Image.open(tmp_path / "0.png") as image:
        assert np.asarray(image.convert("L")).std() > 5


@pytest.mark.parametrize("name", PLOT_FIGURES)
def test_every_axis_has_a_label(name: str, cells: Cells, settings: Params) -> None:  # noqa: F811
    for axes in PLOT_FIGURES[name](cells, settings).axes:
        assert axes.get_xlabel()
        assert axes.get_ylabel()


def test_figure3_takes_variants_and_the_method_itself(
    cells: Cells,
    settings: Params,  # noqa: F811
) -> None:
    lines = rounds_series(cells, settings)
    assert [line.name for line in lines] == ["a (distils)", "b"]
    assert lines[0].x == [1.0, float(settings.method.aug_rounds)]
    assert (lines[0].y, lines[0].std) == ([51.0, 51.0], [1.0, 1.0])


def test_plotted_data_is_long_csv(cells: Cells, settings: Params) -> None:  # noqa: F811
    rounds = plotted_data("figure3", cells, settings)
    assert rounds is not None
    assert rounds.splitlines()[:2] == ["series,x,y", "a (distils),1,51"]
    losses = plotted_data("losses", cells, settings)
    assert losses is not None
    assert losses.splitlines()[1:4] == ["pets a,0,0.9", "pets a,1,0.7", "pets a,2,0.8"]
    assert plotted_data("figure1", cells, settings) is None


def test_looks_stay_apart_beyond_the_number_of_colors() -> None:
    looks = [color_and_marker(number) for number in range(3 * len(COLORS))]
    assert len(set(looks)) == len(looks)


def test_a_missing_picture_list_names_its_stage(cells: Cells, settings: Params) -> None:  # noqa: F811
    (cells.layout.distilled("pets", "b") / "settings.json").unlink()
    with pytest.raises(InputError, match="dvc repro distill@pets-b"):
        PANEL_FIGURES["figure1"](cells, settings, splits(settings))


def test_a_panel_of_arrays_needs_no_files(tmp_path: Path) -> None:
    picture = np.zeros((4, 4, 3), dtype=np.uint8)
    panel = Panel("title", ("row",), CLASSES, ((picture, picture),))
    save_panels([panel], "", tmp_path / "panel.png")
    assert (tmp_path / "panel.png").stat().st_size > 0
