"""Procedural images: data sets that need no download, hard enough that one real image is a poor prototype.

`shapes` shows one of ten shapes under strong nuisance: free colours, position ±0.2, radius 0.18 to 0.42 of
the image's side, free rotation, textures (stripes, checker, blobs, ramp) on shape and background, and up to
three small distractor shapes of any kind. Every image has its own seed, named by data set, split and number,
so that any one can be made alone and a longer set begins like a shorter one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from lgm_core.seeds import derive_seed

Polygon = np.ndarray
"""Corners [n, 2] inside the unit circle."""

_ROOT_SEED = 20_251_116
_SIDE = 64
_OVERSAMPLING = 4


def _regular(corners: int, radius: float = 1.0, shift: tuple[float, float] = (0, 0)) -> Polygon:
    angles = np.arange(corners) * 2 * math.pi / corners - math.pi / 2
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius + shift


def _star(points: int, inner: float = 0.45) -> Polygon:
    outline = _regular(2 * points)
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
    "circle": (_regular(48, 0.9),),
    "square": (_regular(4),),
    "triangle": (_regular(3),),
    "star": (_star(5),),
    "cross": (
        _polygon(
            (-_ARM, -1), (_ARM, -1), (_ARM, -_ARM), (1, -_ARM), (1, _ARM), (_ARM, _ARM),
            (_ARM, 1), (-_ARM, 1), (-_ARM, _ARM), (-1, _ARM), (-1, -_ARM), (-_ARM, -_ARM),
        ),
    ),
    "ring": (_regular(48), _regular(48, 0.55)),
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


def _textured(rng: np.random.Generator, base: np.ndarray, side: int) -> np.ndarray:
    """A [side, side, 3] surface around the colour `base`."""
    texture = TEXTURES[str(rng.choice(list(TEXTURES)))](rng, side)
    second = np.clip(base + rng.uniform(-0.35, 0.35, size=3), 0, 1)
    return base + (second - base) * texture[..., None]


def _mask(
    shape: tuple[Polygon, ...], center: np.ndarray, radius: float, angle: float, side: int
) -> np.ndarray:
    """Antialiased coverage [side, side] in [0, 1]."""
    large = side * _OVERSAMPLING
    canvas = Image.new("L", (large, large))
    draw = ImageDraw.Draw(canvas)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    for number, outline in enumerate(shape):
        corners = (outline @ turn.T * radius + center) * large
        draw.polygon([tuple(corner) for corner in corners], fill=0 if number else 255)
    return np.asarray(canvas.resize((side, side), Image.Resampling.BOX), dtype=np.float64) / 255


def _far_color(rng: np.random.Generator, other: np.ndarray, least: float) -> np.ndarray:
    """A free colour at least `least` away from `other`, by root mean square over the channels."""
    while True:
        color = rng.uniform(0, 1, size=3)
        if math.sqrt(((color - other) ** 2).mean()) >= least:
            return color


def draw_scene(rng: np.random.Generator, shape: tuple[Polygon, ...], nuisance: Nuisance) -> Image.Image:
    """One image of a shape, [64, 64] RGB."""
    base = rng.uniform(0, 1, size=3)
    pixels = _textured(rng, base, _SIDE)
    for _ in range(int(rng.integers(0, nuisance.distractors + 1))):
        kind = list(SHAPES.values())[int(rng.integers(len(SHAPES)))]
        coverage = _mask(
            kind,
            rng.uniform(0.1, 0.9, size=2),
            rng.uniform(*nuisance.distractor_radius),
            rng.uniform(0, 2 * math.pi),
            _SIDE,
        )
        pixels += (rng.uniform(0, 1, size=3) - pixels) * coverage[..., None]
    center = 0.5 + rng.uniform(-nuisance.shift, nuisance.shift, size=2)
    coverage = _mask(shape, center, rng.uniform(*nuisance.radius), rng.uniform(0, 2 * math.pi), _SIDE)
    surface = _textured(rng, _far_color(rng, base, nuisance.contrast), _SIDE)
    pixels += (surface - pixels) * coverage[..., None]
    return Image.fromarray((np.clip(pixels, 0, 1) * 255).round().astype(np.uint8))


@dataclass(frozen=True)
class ToyRow:
    """A procedural data set.

    Attributes:
        shapes: class name → shape.
        per_class: images per class, by split.
        nuisance: what varies.
        about: one line for captions.
    """

    shapes: dict[str, tuple[Polygon, ...]]
    per_class: dict[str, int]
    nuisance: Nuisance
    about: str


ROWS: dict[str, ToyRow] = {
    "shapes": ToyRow(
        shapes=SHAPES,
        per_class={"train": 200, "test": 100},
        nuisance=Nuisance(),
        about="ten procedural shapes under strong nuisance",
    ),
}


def toy_labels(row: ToyRow, split: str) -> list[int]:
    """Class numbers of the split's images, class by class."""
    return [label for label in range(len(row.shapes)) for _ in range(row.per_class[split])]


def toy_image(name: str, split: str, index: int) -> Image.Image:
    """Image number `index` of a split of the named data set."""
    row = ROWS[name]
    label, number = divmod(index, row.per_class[split])
    shape = list(row.shapes)[label]
    rng = np.random.default_rng(derive_seed(_ROOT_SEED, name, split, shape, number))
    return draw_scene(rng, row.shapes[shape], row.nuisance)
