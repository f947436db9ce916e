"""Panels: labelled grids of pictures, drawn for print."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lgm_core.foundation.store import replacing
from lgm_core.reporting.reading import read_picture

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

Picture = Path | np.ndarray
"""A PNG file, or pixels [h, w, 3] in 0 … 255."""

_PICTURE_INCHES = 0.62
_LABEL_INCHES = 1.0
_LEAST_WIDTH_INCHES = 4.4
_TITLE_INCHES = 0.2
_CAPTION_LINE_INCHES = 0.12
_CAPTION_CHARACTERS_PER_INCH = 22
_DPI = 200
_FONT_POINTS = 7


@dataclass(frozen=True)
class Panel:
    """A grid of pictures.

    Attributes:
        title: above it.
        rows, columns: labels.
        pictures: row by row, as many as there are columns.
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    pictures: tuple[tuple[Picture, ...], ...]


def _pixels(picture: Picture) -> np.ndarray:
    if isinstance(picture, np.ndarray):
        return picture
    return np.asarray(read_picture(picture))


def _height(panel: Panel) -> float:
    lines = max(label.count("\n") + 1 for label in panel.columns)
    above = panel.title.count("\n") + lines
    return len(panel.rows) * _PICTURE_INCHES + _TITLE_INCHES + 0.13 * above


def _draw(panel: Panel, figure: SubFigure, width: float) -> None:
    height = _height(panel)
    axes = figure.subplots(len(panel.rows), len(panel.columns), squeeze=False)
    figure.subplots_adjust(
        left=_LABEL_INCHES / width,
        right=(_LABEL_INCHES + len(panel.columns) * _PICTURE_INCHES) / width,
        bottom=0.01,
        top=len(panel.rows) * _PICTURE_INCHES / height,
        wspace=0.06,
        hspace=0.06,
    )
    figure.suptitle(
        panel.title, x=0.01, y=0.99, ha="left", va="top", fontsize=_FONT_POINTS + 1, weight="bold"
    )
    for row, (label, pictures) in enumerate(zip(panel.rows, panel.pictures, strict=True)):
        for column, picture in enumerate(pictures):
            place = axes[row, column]
            place.imshow(_pixels(picture), interpolation="nearest")
            place.set(xticks=[], yticks=[])
            place.spines[:].set_visible(False)
            if row == 0:
                place.set_title(panel.columns[column], fontsize=_FONT_POINTS, pad=3)
        axes[row, 0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=_FONT_POINTS, labelpad=4)


def _wrapped(caption: str, width: float) -> list[str]:
    """The caption in lines that a figure so many inches wide has room for."""
    most = int(_CAPTION_CHARACTERS_PER_INCH * width)
    return [part for line in caption.split("\n") for part in textwrap.wrap(line, most)]


def save_panels(panels: list[Panel], caption: str, path: Path) -> None:
    """Draw panels one above the other.

    Args:
        panels: at least one.
        caption: lines under them; may be empty.
        path: a `.png` file.
    """
    import matplotlib
    from matplotlib.figure import Figure

    widest = _LABEL_INCHES + max(len(panel.columns) for panel in panels) * _PICTURE_INCHES + 0.1
    width = max(widest, _LEAST_WIDTH_INCHES)
    heights = [_height(panel) for panel in panels]
    lines = _wrapped(caption, width)
    if caption:
        heights.append(0.1 + _CAPTION_LINE_INCHES * len(lines))
    with matplotlib.rc_context({"text.parse_math": False}):  # names of classes may hold dollar signs
        figure = Figure(figsize=(width, sum(heights)), dpi=_DPI)
        parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        for part, panel in zip(parts, panels, strict=False):
            _draw(panel, part, width)
        if caption:
            parts[-1].text(0.01, 0.95, "\n".join(lines), fontsize=_FONT_POINTS - 1, va="top")
        with replacing(path) as temporary:
            figure.savefig(temporary, format="png", metadata={"Software": None})
