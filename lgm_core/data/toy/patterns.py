"""Pictures drawn by rule that are no scenes: linework, flags and glyphs, [64, 64] RGB.

Linework is ink on paper, in a style that is the class; a flag is an arrangement of free colours; a glyph is a
few pen strokes on a textured background.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from lgm_core.data.toy.drawing import OVERSAMPLING, SHAPES, SIDE, Polygon, far_color, mask, textured, to_image

_LARGE = SIDE * OVERSAMPLING


def _strokes(lines: list[np.ndarray], width: float) -> np.ndarray:
    """Antialiased coverage [side, side] of polylines; corners and width are shares of the side."""
    canvas = Image.new("L", (_LARGE, _LARGE))
    draw = ImageDraw.Draw(canvas)
    for line in lines:
        corners = [tuple(corner) for corner in line * _LARGE]
        draw.line(corners, fill=255, width=round(width * _LARGE), joint="curve")
    return np.asarray(canvas.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64) / 255


def _turn(angle: float) -> np.ndarray:
    """The rotation of row vectors by `angle` radians."""
    return np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])


def _waves(rng: np.random.Generator, angle: float) -> np.ndarray:
    """Thin parallel lines [side, side] in [0, 1]."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    phase = rng.uniform(10, 15) * (x * math.cos(angle) + y * math.sin(angle)) + rng.uniform()
    return np.clip(2 * np.sin(2 * math.pi * phase) - 0.3, 0, 1)


Placed = tuple[tuple[Polygon, ...], np.ndarray, float, float]
"""A shape, its centre, radius and angle."""


def _silhouette(rng: np.random.Generator, placed: Placed) -> np.ndarray:
    return mask(*placed, SIDE)


def _contour(rng: np.random.Generator, placed: Placed) -> np.ndarray:
    shape, center, radius, angle = placed
    lines = [np.concatenate([outline, outline[:2]]) @ _turn(angle) * radius + center for outline in shape]
    return _strokes(lines, rng.uniform(0.02, 0.04))


def _hatching(rng: np.random.Generator, placed: Placed) -> np.ndarray:
    return mask(*placed, SIDE) * _waves(rng, rng.uniform(0, math.pi))


def _crosshatching(rng: np.random.Generator, placed: Placed) -> np.ndarray:
    angle = rng.uniform(0, math.pi)
    return mask(*placed, SIDE) * np.maximum(_waves(rng, angle), _waves(rng, angle + math.pi / 2))


def _stippling(rng: np.random.Generator, placed: Placed) -> np.ndarray:
    angle = rng.uniform(0, math.pi)
    dots = _waves(rng, angle) * _waves(rng, angle + math.pi / 2)
    return mask(*placed, SIDE) * np.clip(2 * dots, 0, 1)


STYLES: dict[str, Callable[[np.random.Generator, Placed], np.ndarray]] = {
    "contour": _contour,
    "silhouette": _silhouette,
    "hatching": _hatching,
    "crosshatching": _crosshatching,
    "stippling": _stippling,
}


def draw_linework(rng: np.random.Generator, style: str) -> Image.Image:
    """One to three shapes of any kind in ink on light paper, all in one style."""
    pixels = np.ones((SIDE, SIDE, 3)) * rng.uniform(0.8, 1, size=3)
    ink = rng.uniform(0, 0.35, size=3)
    for _ in range(int(rng.integers(1, 4))):
        shape = list(SHAPES.values())[int(rng.integers(len(SHAPES)))]
        placed = (shape, rng.uniform(0.25, 0.75, size=2), rng.uniform(0.2, 0.4), rng.uniform(0, 2 * math.pi))
        pixels += (ink - pixels) * STYLES[style](rng, placed)[..., None]
    return to_image(pixels)


# Coordinates in [-1, 1] → number of the colour, 0 to 2.
FLAGS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "bands": lambda u, v: np.digitize(v, [-1 / 3, 1 / 3]),
    "pales": lambda u, v: np.digitize(u, [-1 / 3, 1 / 3]),
    "quarters": lambda u, v: ((u > 0) ^ (v > 0)).astype(int),
    "cross": lambda u, v: ((abs(u + 0.25) < 0.18) | (abs(v) < 0.18)).astype(int),
    "saltire": lambda u, v: ((abs(u - v) < 0.25) | (abs(u + v) < 0.25)).astype(int),
    "disc": lambda u, v: (u**2 + v**2 < 0.3).astype(int),
}


def draw_flag(rng: np.random.Generator, arrangement: str) -> Image.Image:
    """A waving flag of free colours that fills the picture, turned by up to 10 degrees, under noise."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE * 2 - 1
    points = np.stack([x, y], axis=-1) @ _turn(rng.uniform(-math.pi / 18, math.pi / 18))
    u, v = np.moveaxis(points * rng.uniform(0.85, 1.15) + rng.uniform(-0.15, 0.15, size=2), -1, 0)
    v = v + rng.uniform(0, 0.08) * np.sin(math.pi * (rng.uniform(0.5, 1.5) * u + rng.uniform()))
    first = rng.uniform(0, 1, size=3)
    second = far_color(rng, first, 0.3)
    colors = np.stack([first, second, far_color(rng, second, 0.3)])
    shade = 1 + rng.uniform(0, 0.2) * np.sin(math.pi * (rng.uniform(1, 2) * u + rng.uniform()))
    pixels = colors[FLAGS[arrangement](u, v)] * shade[..., None]
    return to_image(pixels + rng.normal(0, 0.04, size=pixels.shape))


# Pen strokes, corners in [-1, 1].
GLYPHS: dict[str, list[list[tuple[float, float]]]] = {
    "hook": [[(-0.6, -1), (0.6, -1), (0.6, 0.4), (0, 1), (-0.6, 0.6)]],
    "fork": [[(0, 1), (0, 0), (-0.7, -1)], [(0, 0), (0.7, -1)]],
    "gate": [[(-0.7, 1), (-0.7, -1), (0.7, -1), (0.7, 1)], [(-0.7, 0), (0.7, 0)]],
    "key": [[(-0.3, -1), (-0.3, 1)], [(-0.3, -1), (0.6, -0.6)], [(-0.3, -0.3), (0.5, 0)]],
    "ladder": [
        [(-0.5, -1), (-0.5, 1)], [(0.5, -1), (0.5, 1)], [(-0.5, -0.4), (0.5, -0.4)],
        [(-0.5, 0.4), (0.5, 0.4)],
    ],
    "wave": [[(-1, 0.6), (-0.5, -0.6), (0, 0.6), (0.5, -0.6), (1, 0.6)]],
}  # fmt: skip


def draw_glyph(rng: np.random.Generator, name: str) -> Image.Image:
    """Pen strokes with unsteady corners, turned by up to 15 degrees, on a textured background."""
    base = rng.uniform(0, 1, size=3)
    pixels = textured(rng, base, SIDE)
    center = 0.5 + rng.uniform(-0.12, 0.12, size=2)
    turn = _turn(rng.uniform(-math.pi / 12, math.pi / 12)) * rng.uniform(0.2, 0.34)
    lines = [
        (np.array(stroke) + rng.uniform(-0.08, 0.08, size=(len(stroke), 2))) @ turn + center
        for stroke in GLYPHS[name]
    ]
    coverage = _strokes(lines, rng.uniform(0.04, 0.08))
    pixels += (far_color(rng, base, 0.35) - pixels) * coverage[..., None]
    return to_image(pixels)
