"""Scenes drawn by rule: a shape on a textured background, [64, 64] RGB, from a numpy generator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Polygon = np.ndarray
"""Corners [n, 2] inside the unit circle."""

SIDE = 64
OVERSAMPLING = 4


def regular(corners: int, radius: float = 1.0) -> Polygon:
    """A regular polygon, one corner up."""
    angles = np.arange(corners) * 2 * math.pi / corners - math.pi / 2
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius


def star(points: int, inner: float = 0.45) -> Polygon:
    """A star whose inner corners lie at the radius `inner`."""
    outline = regular(2 * points)
    outline[1::2] *= inner
    return outline


def _heart() -> Polygon:
    t = np.linspace(0, 2 * math.pi, 60, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x, y], axis=1) / 17


def _crescent() -> Polygon:
    outer = np.linspace(0.6, 2 * math.pi - 0.6, 40)
    rim = np.stack([np.cos(outer), np.sin(outer)], axis=1)
    inner = np.linspace(2 * math.pi - 1.05, 1.05, 30)
    bite = np.stack([0.36 + 0.66 * np.cos(inner), 0.66 * np.sin(inner)], axis=1)
    return np.concatenate([rim, bite])


def _polygon(*corners: tuple[float, float]) -> Polygon:
    return np.array(corners, dtype=np.float64)


_ARM = 0.3
# Outline, and holes cut out of it.
SHAPES: dict[str, tuple[Polygon, ...]] = {
    "circle": (regular(48, 0.9),),
    "square": (regular(4),),
    "triangle": (regular(3),),
    "star": (star(5),),
    "cross": (
        _polygon(
            (-_ARM, -1), (_ARM, -1), (_ARM, -_ARM), (1, -_ARM), (1, _ARM), (_ARM, _ARM),
            (_ARM, 1), (-_ARM, 1), (-_ARM, _ARM), (-1, _ARM), (-1, -_ARM), (-_ARM, -_ARM),
        ),
    ),
    "ring": (regular(48), regular(48, 0.55)),
    "crescent": (_crescent(),),
    "heart": (_heart(),),
    "arrow": (
        _polygon(
            (0, -1), (0.75, -0.1), (0.28, -0.1), (0.28, 0.95),
            (-0.28, 0.95), (-0.28, -0.1), (-0.75, -0.1),
        ),
    ),
    "bolt": (_polygon((0.25, -1), (-0.6, 0.15), (-0.05, 0.15), (-0.3, 1), (0.6, -0.25), (0.05, -0.25)),),
}  # fmt: skip


@dataclass(frozen=True)
class Nuisance:
    """What varies between images of one class; lengths are shares of the image's side."""

    shift: float = 0.2
    radius: tuple[float, float] = (0.18, 0.42)
    distractors: int = 3
    distractor_radius: tuple[float, float] = (0.05, 0.1)
    contrast: float = 0.35
    """Least distance of the shape's mean colour from the background's, in [0, 1] RGB."""
    plain: bool = False
    """Whether the shape itself has one colour instead of a texture."""


def _coordinates(rng: np.random.Generator, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixel coordinates turned by a random angle."""
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    angle = rng.uniform(0, math.pi)
    return x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)


def _stripes(rng: np.random.Generator, side: int) -> np.ndarray:
    u, _ = _coordinates(rng, side)
    return np.sin(2 * math.pi * (rng.uniform(3, 8) * u + rng.uniform())) * 0.5 + 0.5


def _checker(rng: np.random.Generator, side: int) -> np.ndarray:
    u, v = _coordinates(rng, side)
    cells = rng.uniform(3, 7)
    return ((np.floor(u * cells + rng.uniform()) + np.floor(v * cells + rng.uniform())) % 2).astype(float)


def _blobs(rng: np.random.Generator, side: int) -> np.ndarray:
    coarse = rng.uniform(0, 255, size=(int(rng.integers(4, 9)),) * 2).astype(np.uint8)
    smooth = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(smooth, dtype=np.float64) / 255


def _ramp(rng: np.random.Generator, side: int) -> np.ndarray:
    u, _ = _coordinates(rng, side)
    return (u - u.min()) / (u.max() - u.min())


TEXTURES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "stripes": _stripes,
    "checker": _checker,
    "blobs": _blobs,
    "ramp": _ramp,
}


@dataclass(frozen=True)
class Backdrop:
    """A kind of background: its texture, and its colour in [0, 1] RGB where that is not free."""

    texture: str
    color: tuple[float, float, float] | None = None


BACKDROPS: dict[str, Backdrop] = {
    **{name: Backdrop(name) for name in TEXTURES},
    "land": Backdrop("blobs", (0.45, 0.5, 0.2)),
    "water": Backdrop("stripes", (0.2, 0.45, 0.75)),
}
_COLOR_SPREAD = 0.12


def _base_color(rng: np.random.Generator, backdrop: Backdrop | None) -> np.ndarray:
    if backdrop is None or backdrop.color is None:
        return rng.uniform(0, 1, size=3)
    return np.clip(backdrop.color + rng.uniform(-_COLOR_SPREAD, _COLOR_SPREAD, size=3), 0, 1)


def textured(
    rng: np.random.Generator, base: np.ndarray, side: int, backdrop: Backdrop | None = None
) -> np.ndarray:
    """A [side, side, 3] surface around the colour `base`; a random texture where no backdrop is given."""
    name = str(rng.choice(list(TEXTURES))) if backdrop is None else backdrop.texture
    texture = TEXTURES[name](rng, side)
    spread = 0.35 if backdrop is None or backdrop.color is None else _COLOR_SPREAD
    second = np.clip(base + rng.uniform(-spread, spread, size=3), 0, 1)
    return base + (second - base) * texture[..., None]


def mask(
    shape: tuple[Polygon, ...], center: np.ndarray, radius: float, angle: float, side: int
) -> np.ndarray:
    """Antialiased coverage [side, side] in [0, 1]."""
    large = side * OVERSAMPLING
    canvas = Image.new("L", (large, large))
    draw = ImageDraw.Draw(canvas)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    for number, outline in enumerate(shape):
        corners = (outline @ turn.T * radius + center) * large
        draw.polygon([tuple(corner) for corner in corners], fill=0 if number else 255)
    return np.asarray(canvas.resize((side, side), Image.Resampling.BOX), dtype=np.float64) / 255


def far_color(rng: np.random.Generator, other: np.ndarray, least: float) -> np.ndarray:
    """A free colour at least `least` away from `other`, by root mean square over the channels."""
    while True:
        color = rng.uniform(0, 1, size=3)
        if math.sqrt(((color - other) ** 2).mean()) >= least:
            return color


def to_image(pixels: np.ndarray) -> Image.Image:
    """[side, side, 3] in [0, 1], clipped, as RGB."""
    return Image.fromarray((np.clip(pixels, 0, 1) * 255).round().astype(np.uint8))


def draw_scene(
    rng: np.random.Generator,
    shape: tuple[Polygon, ...],
    nuisance: Nuisance,
    backdrop: Backdrop | None = None,
) -> Image.Image:
    """One image of a shape, on a background of the given kind or of any."""
    base = _base_color(rng, backdrop)
    pixels = textured(rng, base, SIDE, backdrop)
    for _ in range(int(rng.integers(0, nuisance.distractors + 1))):
        kind = list(SHAPES.values())[int(rng.integers(len(SHAPES)))]
        coverage = mask(
            kind,
            rng.uniform(0.1, 0.9, size=2),
            rng.uniform(*nuisance.distractor_radius),
            rng.uniform(0, 2 * math.pi),
            SIDE,
        )
        pixels += (rng.uniform(0, 1, size=3) - pixels) * coverage[..., None]
    center = 0.5 + rng.uniform(-nuisance.shift, nuisance.shift, size=2)
    coverage = mask(shape, center, rng.uniform(*nuisance.radius), rng.uniform(0, 2 * math.pi), SIDE)
    color = far_color(rng, base, nuisance.contrast)
    surface = color if nuisance.plain else textured(rng, color, SIDE)
    pixels += (surface - pixels) * coverage[..., None]
    return to_image(pixels)
