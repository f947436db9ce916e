"""Figures show the results' numbers and pictures, and settings that make no figure are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from reporting.hand_made import shown_settings, write_of
from reporting.whole_report import CAPTIONS, CLASSES, whole_settings
from ruamel.yaml import YAML

from lgm_core.foundation.errors import InputError, KeyFaultError, MissingFileError, SettingError
from lgm_core.foundation.layout import Layout
from lgm_core.reporting.curve_figures import rounds_series
from lgm_core.reporting.figures import (
    FIGURES,
    check_figures,
    draw_figure,
    figure_caption,
    plotted_data,
    shown_datasets,
)
from lgm_core.reporting.panels import Panel, save_panels
from lgm_core.reporting.plots import save_plot
from lgm_core.reporting.published import PAPER_BACKBONES
from lgm_core.reporting.results import Results
from lgm_core.settings.params import Params, parse_params
from lgm_core.settings.shown import MOST_CLASSES, shown_classes

ROOT = Path(__file__).resolve().parents[2]
PANELS = [name for name, row in FIGURES.items() if row.panels]
PLOTS = [name for name, row in FIGURES.items() if row.plot]


def panels_of(name: str, results: Results, settings: Params) -> list[Panel]:
    """A figure that is a grid of pictures."""
    drawn = draw_figure(name, results, settings)
    assert isinstance(drawn, list)
    return drawn


def plot_of(name: str, results: Results, settings: Params) -> Any:
    """A figure that is a plot."""
    drawn = draw_figure(name, results, settings)
    assert not isinstance(drawn, list)
    return drawn


def without(suite: dict[str, Any], *names: str) -> dict[str, Any]:
    """The toy's settings, some figures left out of them."""
    whole_settings(suite)
    for name in names:
        suite["figures"][name] = dict.fromkeys(suite["figures"][name], "none")
    return suite


# What is drawn


def test_a_figure_is_a_grid_or_a_plot() -> None:
    assert sorted(PANELS + PLOTS) == sorted(FIGURES)
    assert {name: row.suffixes for name, row in FIGURES.items() if row.data} == {
        "figure3": (".png", ".svg", ".csv"),
        "figure9": (".png", ".svg", ".csv"),
        "figure10": (".png", ".svg", ".csv"),
        "losses": (".png", ".svg", ".csv"),
    }
    assert FIGURES["figure1"].suffixes == (".png",)
    assert FIGURES["figure4"].suffixes == (".png", ".svg")


def test_all_classes_are_shown_or_as_many_as_fit_evenly_spaced() -> None:
    assert shown_classes(3) == [0, 1, 2]
    assert shown_classes(1000) == list(range(0, 1000, 100))
    assert len(shown_classes(11)) == MOST_CLASSES


@pytest.mark.parametrize("name", PANELS)
@pytest.mark.slow
def test_panels_are_drawn_and_the_same_every_time(
    name: str, whole: Results, settings: Params, tmp_path: Path
) -> None:
    drawn = []
    for turn in range(2):
        path = tmp_path / f"{turn}.png"
        save_panels(
            panels_of(name, whole, settings), figure_caption(name, settings, {"pets": "a line"}), path
        )
        drawn.append(path.read_bytes())
    assert drawn[0] == drawn[1]
    with Image.open(tmp_path / "0.png") as image:
        assert image.width > 600
        assert np.asarray(image.convert("L")).std() > 5


@pytest.mark.parametrize("name", PLOTS)
@pytest.mark.slow
def test_plots_are_drawn_as_png_and_svg_the_same_every_time(
    name: str, whole: Results, settings: Params, tmp_path: Path
) -> None:
    for turn in range(2):
        paths = [tmp_path / f"{turn}.{suffix}" for suffix in ("png", "svg")]
        save_plot(plot_of(name, whole, settings), *paths)
    for suffix in ("png", "svg"):
        assert (tmp_path / f"0.{suffix}").read_bytes() == (tmp_path / f"1.{suffix}").read_bytes()
    assert "http" not in (tmp_path / "0.svg").read_text().replace("http://www.w3.org", "").replace(
        "http://purl.org", ""
    ).replace("http://creativecommons.org", "")
    with Image.open(tmp_path / "0.png") as image:
        assert np.asarray(image.convert("L")).std() > 5


@pytest.mark.parametrize("name", PLOTS)
def test_every_axis_has_a_label(name: str, whole: Results, settings: Params) -> None:
    for axes in plot_of(name, whole, settings).axes:
        assert axes.get_xlabel()
        assert axes.get_ylabel()


def test_figure1_shows_the_first_picture_of_every_class_by_every_model(
    whole: Results, settings: Params
) -> None:
    (panel,) = panels_of("figure1", whole, settings)
    assert (panel.rows, panel.columns) == (("a", "b"), CLASSES)
    folder = whole.layout.cell("pets", "b").distilled
    assert panel.pictures[1] == tuple(
        folder / picture for picture in whole.distilled("pets", "b")["pictures"]
    )


def test_classes_are_called_what_people_call_them(whole: Results, settings: Params) -> None:
    titled = Results(whole.layout, {"plain": "Rhodesian ridgeback"})
    for name in ("figure1", "figure5", "figure7"):
        assert panels_of(name, titled, settings)[0].columns[0] == "Rhodesian\nridgeback"
    assert panels_of("figure6", titled, settings)[0].rows[0] == "Rhodesian\nridgeback"
    assert panels_of("figure8", titled, settings)[0].columns[0] == "Rhodesian\nridgeback\ncos 0.50"
    legend = plot_of("figure4", titled, settings).axes[0].get_legend()
    assert legend is not None
    assert legend.get_texts()[0].get_text() == "1  Rhodesian ridgeback"


def test_figure3_takes_variants_and_the_method_itself(whole: Results, settings: Params) -> None:
    lines = rounds_series(whole, settings, "pets", "a")
    assert [line.name for line in lines] == ["a (distils)", "b"]
    assert lines[0].x == [1.0, float(settings.method.aug_rounds)]
    assert (lines[0].y, lines[0].std) == ([51.0, 51.0], [1.0, 1.0])


def test_figure3_has_the_papers_lines_dashed_where_data_set_and_models_are_its(
    papers: Results, suite: dict[str, Any]
) -> None:
    settings = shown_settings(suite, "imagenet100", "imagenet1k", PAPER_BACKBONES)
    told = {"steps": 300, "ipc": 1, "head_bank": 0, "objective": "gradient"}
    for dataset, source in (("imagenet100", "dinov2"), ("imagenet100", "clip"), ("cub", "dinov2")):
        cell = papers.layout.cell(dataset, source)
        write_of(cell, cell.distilled / "settings.json", {"method": {**told, "aug_rounds": 10}})
    lines = rounds_series(papers, settings, "imagenet100", "dinov2")
    dashed = {line.name: line for line in lines if line.dashed}
    assert set(dashed) == {f"{name} (original)" for name in PAPER_BACKBONES}
    assert [line.like for line in dashed.values()] == [line.name for line in lines if not line.dashed]
    clip, dinov2 = dashed["clip (original)"], dashed["dinov2 (original)"]
    assert (clip.x, clip.y[-1], dinov2.y[0]) == ([1.0, 5.0, 10.0], 77.0, 89.5)
    for dataset, source in (("imagenet100", "clip"), ("cub", "dinov2")):
        assert not any(line.dashed for line in rounds_series(papers, settings, dataset, source))
    suite["figures"]["figure3"] = {"dataset": "imagenet100", "source": "dinov2"}
    lines = plotted_data("figure3", papers, parse_params(suite)).splitlines()
    assert len(lines) == 1 + len(PAPER_BACKBONES)
    assert "dinov2 (distils),10,85.9" in lines


def test_figure5_shows_table_3s_data_set_under_every_ablation(whole: Results, settings: Params) -> None:
    (panel,) = panels_of("figure5", whole, settings)
    assert panel.title == "pets, distilled with a"
    assert panel.rows == ("Full method", "− Pyramid")
    folder = whole.layout.cell("pets", "a", "ablation/no_pyramid").distilled
    assert all(Path(str(picture)).is_relative_to(folder) for picture in panel.pictures[1])


def test_figure6_shows_samples_of_both_splits_and_every_models_accuracy(
    whole: Results, settings: Params
) -> None:
    (panel,) = panels_of("figure6", whole, settings)
    assert panel.columns == ("train", "train", "test", "test", "a\nfull 51 %", "b\nfull 51 %")
    assert panel.rows == CLASSES
    samples = whole.layout.cell("pets", "a").features / "samples"
    assert panel.pictures[1][:2] == (samples / "train/1/0.png", samples / "train/1/1.png")


def test_figure7_has_a_panel_for_every_data_set(whole: Results, settings: Params) -> None:
    left, right = panels_of("figure7", whole, settings)
    assert (left.title, right.title) == ("pets", "biased")
    assert left.rows == right.rows == ("distilled\nwith a",)


def test_figure8_puts_every_neighbor_under_its_image(whole: Results, settings: Params) -> None:
    (panel,) = panels_of("figure8", whole, settings)
    assert panel.rows == ("distilled", "nearest real")
    assert panel.columns == tuple(f"{name}\ncos 0.50" for name in CLASSES)
    above, below = panel.pictures
    cell = whole.layout.cell("pets", "a")
    assert [Path(str(picture)).relative_to(cell.distilled) for picture in above] == [
        Path(str(picture)).relative_to(cell.neighbors) for picture in below
    ]


def test_plotted_data_is_long_csv(whole: Results, settings: Params) -> None:
    rounds = plotted_data("figure3", whole, settings)
    assert rounds.splitlines()[:2] == ["series,x,y", "a (distils),1,51"]
    losses = plotted_data("losses", whole, settings)
    assert losses.splitlines()[1:4] == ["pets a,0,0.9", "pets a,1,0.7", "pets a,2,0.8"]
    assert plotted_data("figure1", whole, settings) == "series,x,y\n"


def test_a_missing_picture_list_names_its_file_and_stage(own_whole: Results, settings: Params) -> None:
    path = own_whole.layout.cell("pets", "b").distilled / "settings.json"
    path.unlink()
    with pytest.raises(MissingFileError) as caught:
        draw_figure("figure1", own_whole, settings)
    assert caught.value.path == path
    assert own_whole.layout.stage(path) == "distill@pets-b"


def test_there_is_no_other_figure(whole: Results, settings: Params) -> None:
    with pytest.raises(InputError, match=r"'figure2' is no figure; there are: figure1, .*losses\."):
        draw_figure("figure2", whole, settings)


# Figures that are left out


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.slow
def test_a_figure_whose_places_are_all_none_is_a_sentence_that_says_so(
    suite: dict[str, Any], tmp_path: Path, name: str
) -> None:
    settings = parse_params(without(suite, name))
    nowhere = Results(Layout(tmp_path, "empty"))
    assert shown_datasets(name, settings) == ()
    figure = plot_of(name, nowhere, settings)
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert said == [f"{name} is left out: its data set in the settings is none."]
    assert plotted_data(name, nowhere, settings) == "series,x,y\n"
    assert figure_caption(name, settings, CAPTIONS) == ""


def test_the_sentence_is_written_as_any_plot(suite: dict[str, Any], tmp_path: Path) -> None:
    settings = parse_params(without(suite, "figure4"))
    figure = plot_of("figure4", Results(Layout(tmp_path, "empty")), settings)
    save_plot(figure, tmp_path / "figure.png", tmp_path / "figure.svg")
    assert "figure4 is left out" in (tmp_path / "figure.svg").read_text(encoding="utf-8")
    with Image.open(tmp_path / "figure.png") as image:
        assert np.asarray(image.convert("L")).std() > 5


def test_one_data_set_that_is_none_leaves_the_other(whole: Results, suite: dict[str, Any]) -> None:
    without(suite)["figures"]["figure7"]["left"] = "none"
    (panel,) = panels_of("figure7", whole, parse_params(suite))
    assert panel.title == "biased"


# Settings that make no figure


@pytest.mark.parametrize("name", ["embedded", "imagenette", "shapes", "cifar10", "paper"])
def test_the_suites_are_right(name: str) -> None:
    content = YAML(typ="safe").load((ROOT / f"suites/{name}.yaml").read_text(encoding="utf-8"))
    check_figures(parse_params(content))


def refusal(suite: dict[str, Any]) -> SettingError:
    """Why the settings are refused."""
    with pytest.raises(SettingError) as caught:
        check_figures(parse_params(suite))
    return caught.value


def test_an_unknown_figure_is_refused(suite: dict[str, Any]) -> None:
    without(suite)["figures"]["figure2"] = {"dataset": "pets"}
    with pytest.raises(KeyFaultError, match=r"unknown key figures\.figure2; allowed: figure1, .*losses\."):
        check_figures(parse_params(suite))


def test_a_missing_figure_is_refused_and_told_how_to_leave_it_out(suite: dict[str, Any]) -> None:
    del without(suite)["figures"]["figure4"]
    told = r"missing key figures\.figure4; dataset: none, source: none leaves it out\."
    with pytest.raises(KeyFaultError, match=told):
        check_figures(parse_params(suite))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("figure1", {"dataset": "pets", "source": "a"}),
        ("figure3", {"dataset": "pets"}),
        ("figure4", {"source": "a"}),
        ("figure7", {"left": "pets", "source": "a"}),
        ("losses", {"dataset": "pets"}),
    ],
)
def test_a_half_filled_figure_is_refused(suite: dict[str, Any], name: str, shown: dict[str, str]) -> None:
    without(suite)["figures"][name] = shown
    error = refusal(suite)
    assert (error.key, error.given) == (f"figures.{name}", shown)
    assert error.allowed == f"a mapping of {', '.join(FIGURES[name].places)}"


@pytest.mark.parametrize(
    ("name", "place", "given"),
    [("figure4", "dataset", "a"), ("figure4", "source", "none"), ("figure8", "dataset", "a")],
)
def test_a_backbone_without_a_data_set_and_the_other_way_round_are_refused(
    suite: dict[str, Any], name: str, place: str, given: str
) -> None:
    without(suite)["figures"][name][place] = "none"
    error = refusal(suite)
    assert (error.key, error.given) == (f"figures.{name}.source", given)


def test_figure5_follows_table_3(suite: dict[str, Any]) -> None:
    without(suite)["tables"]["table3"] = {"dataset": "none", "backbones": []}
    suite["variants"]["ablation"] = {}
    assert refusal(suite).key == "figures.figure5.source"
    suite["figures"]["figure5"]["source"] = "none"
    check_figures(parse_params(suite))


def test_rounds_that_no_figure_shows_are_refused(suite: dict[str, Any]) -> None:
    without(suite, "figure3")
    error = refusal(suite)
    assert (error.key, error.given) == ("variants.rounds", ["one"])
    suite["variants"]["rounds"] = {}
    check_figures(parse_params(suite))


def test_backbones_of_figure_8_without_figure_8_are_refused(suite: dict[str, Any]) -> None:
    without(suite, "figure8")["figure_backbones"] = {"shown": "dino"}
    error = refusal(suite)
    assert (error.key, error.given) == ("figure_backbones", ["shown"])
    suite["figure_backbones"] = {}
    check_figures(parse_params(suite))
