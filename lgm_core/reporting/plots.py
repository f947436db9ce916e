"""Plots for print: colours that colour-blind readers tell apart (Okabe & Ito), PNG and SVG alike."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from lgm_core.foundation.store import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")

# Okabe & Ito, Color Universal Design, 2008; grey for their yellow, which is invisible on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8c8c8c")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
_LEVEL_COLOR = "#555555"
_DPI = 200
_MOST_INSIDE = 4
"""Lines whose legend fits beside them in a panel; of more it stands at the right of all panels."""
_STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.hashsalt": "figure",
    "svg.fonttype": "none",
    "text.parse_math": False,  # names of classes may hold dollar signs
}


def color_and_marker(number: int) -> tuple[str, str]:
    """A look of its own for every number below 64."""
    return COLORS[number % len(COLORS)], MARKERS[(number + number // len(COLORS)) % len(MARKERS)]


@dataclass(frozen=True)
class Series:
    """A line of a plot: points (x, y), with y's standard deviation where there is one.

    A dashed line is drawn in the colour of the full line `like`, or in grey without one.
    """

    name: str
    x: list[float]
    y: list[float]
    std: list[float] | None = None
    dashed: bool = False
    like: str = ""


@dataclass(frozen=True)
class Cloud:
    """A class in two dimensions: its samples [n, 2], their mean and the distilled images [k, 2]."""

    name: str
    samples: np.ndarray
    mean: np.ndarray
    distilled: np.ndarray


@dataclass(frozen=True)
class Scatter:
    """Points with a text each, and what is said about all of them in the legend."""

    name: str
    x: list[float]
    y: list[float]
    labels: list[str]


def save_plot(figure: Figure, *paths: Path) -> None:
    """Write a plot as `.png` and `.svg` files, the same bytes every time."""
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        for path in paths:
            facts = {"Date": None, "Creator": None} if path.suffix == ".svg" else {"Software": None}
            with replacing(path) as temporary:
                figure.savefig(temporary, format=path.suffix[1:], dpi=_DPI, metadata=facts)


def _styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """The same drawing in this module's style, whatever the process's own is."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure:
        import matplotlib

        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return styled


def _axes(count: int, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


@_styled
def draw_curves(
    panels: dict[str, list[Series]],
    x_label: str,
    y_label: str,
    *,
    points: bool = True,
    logarithmic: bool = False,
) -> Figure:
    """Lines over x, one pair of axes for every title.

    Args:
        panels: title → lines.
        x_label, y_label: with their units.
        points: whether to mark the points and their standard deviations.
        logarithmic: the x axis.
    """
    most = max(len(lines) for lines in panels.values())
    beside = most > _MOST_INSIDE
    figure, places = _axes(len(panels), (3.2 * len(panels) + (2.2 if beside else 0.4), 2.6))
    for place, (title, lines) in zip(places, panels.items(), strict=True):
        _draw_lines(place, lines, points)
        place.set(title=title, xlabel=x_label, ylabel=y_label)
        if logarithmic:
            place.set_xscale("log")
            place.xaxis.set_major_formatter("{x:g}")
            place.xaxis.set_minor_formatter("{x:g}")
            place.tick_params(axis="x", which="both", labelsize=6)
        elif points:
            place.set_xticks(sorted({x for line in lines for x in line.x}))
        if not beside:
            place.legend()
    if beside:
        figure.legend(*places[0].get_legend_handles_labels(), loc="outside right center")
    return figure


def _draw_lines(place: Axes, lines: list[Series], points: bool) -> None:
    """Full lines with their deviations, earlier ones above later ones, then dashed ones."""
    looks = {}
    for number, line in enumerate(line for line in lines if not line.dashed):
        looks[line.name] = color, marker = color_and_marker(number)
        place.errorbar(
            line.x,
            line.y,
            yerr=line.std,
            color=color,
            marker=marker if points else "",
            markersize=4,
            linewidth=1.2 if points else 0.9,
            linestyle="-" if number < len(COLORS) else ":",
            capsize=2,
            label=line.name,
            zorder=3 - number / len(lines),
        )
    for line in (line for line in lines if line.dashed):
        color, marker = looks.get(line.like, (_LEVEL_COLOR, ""))
        place.plot(
            line.x, line.y, "--", color=color, marker=marker, mfc="none", ms=4, lw=0.8, label=line.name
        )


@_styled
def draw_clouds(clouds: list[Cloud], title: str, shares: tuple[float, float], said: str = "") -> Figure:
    """Classes in the plane of two principal components, each star with the number of its class.

    Args:
        clouds: one for each class, numbered from 1.
        title: one line.
        shares: of the variance along the two axes, in percent.
        said: lines under the plot.
    """
    figure, (place,) = _axes(1, (5.2, 3.6))
    for number, cloud in enumerate(clouds):
        color, marker = color_and_marker(number)
        place.scatter(*cloud.samples.T, s=6, color=color, marker=marker, alpha=0.25, linewidths=0)
        name = f"{number + 1}  {cloud.name}"
        place.scatter([], [], s=18, color=color, marker=marker, linewidths=0, label=name)
    for number, cloud in enumerate(clouds):
        color, marker = color_and_marker(number)
        edge = {"edgecolors": "black", "linewidths": 0.7, "color": color, "zorder": 3}
        place.scatter(*cloud.mean, s=36, marker=marker, **edge)
        place.scatter(*cloud.distilled.T, s=110, marker="*", **edge)
        for point in cloud.distilled:
            _number(place, number + 1, point)
    look = {"color": "white", "edgecolors": "black", "linewidths": 0.7}
    place.scatter([], [], s=36, marker="o", label="class mean (outlined)", **look)
    place.scatter([], [], s=110, marker="*", label="distilled image, with its class's number", **look)
    place.set(title=title)
    place.set_xlabel(f"first principal component ({shares[0]:.0f} % of the variance)")
    place.set_ylabel(f"second ({shares[1]:.0f} %)")
    place.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    if said:
        figure.supxlabel(said, x=0.01, ha="left", fontsize=6.5)
    return figure


def _number(place: Axes, number: int, point: np.ndarray) -> None:
    """A class's number beside its star: stars have one shape, and there are fewer colours than classes."""
    from matplotlib.patheffects import withStroke

    around = [withStroke(linewidth=1.5, foreground="white")]
    look = {"fontsize": 7, "fontweight": "bold", "path_effects": around, "zorder": 4}
    place.annotate(str(number), tuple(point), xytext=(5, 4), textcoords="offset points", **look)


@_styled
def draw_scatter(parts: list[Scatter], x_label: str, y_label: str) -> Figure:
    """Labelled points, with a least-squares line for each part of at least three."""
    figure, (place,) = _axes(1, (4.6, 3.4))
    for number, part in enumerate(parts):
        color, marker = color_and_marker(number)
        place.scatter(part.x, part.y, s=24, color=color, marker=marker, label=part.name)
        for x, y, text in zip(part.x, part.y, part.labels, strict=True):
            # The two directions of a pair have the same alignment: the upper text above, the lower below.
            rivals = [other for at, other in zip(part.x, part.y, strict=True) if at == x]
            offset = (4, 3) if y == max(rivals) else (4, -6)
            place.annotate(
                text, (x, y), xytext=offset, textcoords="offset points", fontsize=5, color="#333333"
            )
        if len(part.x) >= 3 and len(set(part.x)) > 1:
            slope, start = np.polyfit(part.x, part.y, 1)
            ends = np.array([min(part.x), max(part.x)])
            place.plot(ends, slope * ends + start, color=color, linewidth=0.8)
    place.set(xlabel=x_label, ylabel=y_label)
    place.margins(0.15)
    place.legend(loc="best")
    return figure


@_styled
def draw_sentence(sentence: str) -> Figure:
    """A figure that is nothing but a sentence."""
    figure, (place,) = _axes(1, (4.6, 0.5))
    place.set_axis_off()
    place.text(0.5, 0.5, sentence, ha="center", va="center")
    return figure
