"""How panels and plots look: labels where they belong, series apart, the same bytes every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lgm_core.reporting.panels import Panel, save_panels
from lgm_core.reporting.plots import (
    COLORS,
    Cloud,
    Scatter,
    Series,
    color_and_marker,
    draw_clouds,
    draw_curves,
    draw_scatter,
    save_plot,
)

pytestmark = pytest.mark.slow

PICTURE = np.zeros((4, 4, 3), dtype=np.uint8)


def test_looks_stay_apart_beyond_the_number_of_colors() -> None:
    looks = [color_and_marker(number) for number in range(len(COLORS) ** 2)]
    assert len(set(looks)) == len(looks)


def test_a_panel_of_arrays_needs_no_files(tmp_path: Path) -> None:
    panel = Panel("title", ("row",), ("plain", 'odd <b>&"#1'), ((PICTURE, PICTURE),))
    save_panels([panel], "", tmp_path / "panel.png")
    assert (tmp_path / "panel.png").stat().st_size > 0


@pytest.mark.parametrize("name", ["$100 bill", "a $x$ b", "$\\frac{", "100 %_^{}"])
def test_names_with_dollar_signs_are_drawn_as_they_are(tmp_path: Path, name: str) -> None:
    panel = Panel(name, (name,), (name, "plain"), ((PICTURE, PICTURE),))
    save_panels([panel], name, tmp_path / "panel.png")
    figure = draw_curves({name: [Series(name, [1.0, 2.0], [1.0, 2.0])]}, name, name)
    save_plot(figure, tmp_path / "plot.svg")
    svg = (tmp_path / "plot.svg").read_text(encoding="utf-8")
    assert svg.count(f">{name}</text>") >= 3


def test_a_panel_of_pixels_is_that_of_the_file(tmp_path: Path) -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    drawn = []
    for picture in (pixels, tmp_path / "picture.png"):
        save_panels([Panel("title", ("row",), ("column",), ((picture,),))], "caption", tmp_path / "panel.png")
        drawn.append((tmp_path / "panel.png").read_bytes())
    assert drawn[0] == drawn[1]


def test_panels_of_different_widths_stand_one_above_the_other(tmp_path: Path) -> None:
    heights = []
    panels = [
        Panel("wide", ("row",), tuple("abcdefgh"), ((PICTURE,) * 8,)),
        Panel("narrow", ("one", "two"), ("a\nb",), ((PICTURE,), (PICTURE,))),
    ]
    for count in (1, 2):
        save_panels(panels[:count], "", tmp_path / "panels.png")
        with Image.open(tmp_path / "panels.png") as image:
            heights.append(image.height)
    assert heights[1] > 2 * heights[0]


def test_curves_show_measured_lines_whole_and_published_ones_dashed() -> None:
    lines = [
        Series("ours", [1, 5, 10], [50, 60, 65], [1, 1, 2]),
        Series("theirs", [1, 5], [49, 62], dashed=True, like="ours"),
        Series("all images", [1, 10], [90, 90], dashed=True),
    ]
    figure = draw_curves({"pets": lines, "cars": lines[:1]}, "rounds", "accuracy (%)")
    pets, cars = figure.axes
    assert (pets.get_title(), cars.get_title()) == ("pets", "cars")
    assert [text.get_text() for text in pets.get_legend().get_texts()] == ["theirs", "all images", "ours"]
    drawn = {line.get_label(): line for line in pets.lines}
    assert [drawn[name].get_linestyle() for name in ("theirs", "all images")] == ["--", "--"]
    assert (drawn["theirs"].get_color(), drawn["theirs"].get_marker()) == color_and_marker(0)
    assert drawn["all images"].get_color() not in COLORS
    assert pets.get_xticks().tolist() == [1, 5, 10]


def test_of_lines_at_one_place_the_first_is_on_top_and_many_have_their_legend_beside() -> None:
    lines = [Series(name, [1, 2], [3, 4], [0, 0]) for name in "abcdefgh"]
    figure = draw_curves({"pets": lines}, "images", "accuracy (%)")
    (place,) = figure.axes
    heights = [container.lines[0].get_zorder() for container in place.containers]
    assert heights == sorted(heights, reverse=True) and len(set(heights)) == len(lines)
    colors = {container.lines[0].get_color() for container in place.containers}
    assert len(colors) == len(lines)
    assert place.get_legend() is None and len(figure.legends) == 1


def test_clouds_are_a_color_and_a_number_for_every_class_with_its_mean_and_images() -> None:
    generator = np.random.default_rng(0)
    clouds = [
        Cloud(name, generator.normal(size=(5, 2)), np.zeros(2), generator.normal(size=(2, 2)))
        for name in ("cat", "dog")
    ]
    (place,) = draw_clouds(clouds, "pets", (61.4, 20.6)).axes
    assert [text.get_text() for text in place.get_legend().get_texts()] == [
        "1  cat", "2  dog", "class mean (outlined)", "distilled image, with its class's number",
    ]  # fmt: skip
    stars = [(text.get_text(), *text.xy) for text in place.texts]
    assert stars == [(str(n), *point) for n, cloud in enumerate(clouds, 1) for point in cloud.distilled]
    assert place.get_xlabel() == "first principal component (61 % of the variance)"
    assert place.get_ylabel() == "second (21 %)"


@pytest.mark.parametrize(("x", "lines"), [([0.1, 0.2, 0.3], 1), ([0.1, 0.2], 0), ([0.2, 0.2, 0.2], 0)])
def test_a_straight_line_needs_three_points_at_different_places(x: list[float], lines: int) -> None:
    y = [2.0 * value for value in x]
    (place,) = draw_scatter([Scatter("pets", x, y, ["p"] * len(x))], "alignment", "transfer").axes
    assert len(place.lines) == lines
    if lines:
        np.testing.assert_allclose(place.lines[0].get_xdata(), [0.1, 0.3])
        np.testing.assert_allclose(place.lines[0].get_ydata(), [0.2, 0.6])
    assert len(place.texts) == len(x)


def test_of_two_directions_at_one_place_the_higher_has_its_text_above() -> None:
    part = Scatter("pets", [0.1, 0.1], [30.0, 60.0], ["a → b", "b → a"])
    (place,) = draw_scatter([part], "alignment", "transfer").axes
    assert {text.get_text(): text.xyann[1] for text in place.texts} == {"a → b": -6, "b → a": 3}


def test_a_plot_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = draw_curves({"pets": [Series("ours", [1, 2], [3, 4])]}, "x", "y", points=False)
    path = tmp_path / "plot.png"
    path.write_bytes(b"of before")

    def stopped(*arguments: object, **settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(figure, "savefig", stopped)
    with pytest.raises(KeyboardInterrupt):
        save_plot(figure, path)
    assert path.read_bytes() == b"of before"
    assert list(tmp_path.iterdir()) == [path]
