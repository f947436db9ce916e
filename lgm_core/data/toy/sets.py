"""Procedural data sets: no download, hard enough that one real image is a poor prototype.

`shapes` shows one of ten shapes under strong nuisance: free colours, position ±0.2, radius 0.18 to 0.42 of
the image's side, free rotation, textures (stripes, checker, blobs, ramp) on shape and background, and up to
three small distractor shapes of any kind. The others stand where the paper has fine-grained, spurious,
imbalanced and out-of-distribution sets; `captions` says which. Every image has its own seed, named by data
set, split, class and number, so that any one can be made alone and a longer set begins like a shorter one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from lgm_core.data.toy.drawing import BACKDROPS, SHAPES, Nuisance, draw_scene, regular, star
from lgm_core.data.toy.patterns import FLAGS, GLYPHS, STYLES, draw_flag, draw_glyph, draw_linework
from lgm_core.foundation.seeds import derive_seed

_ROOT_SEED = 20_251_116
ANY_BACKGROUND = ""
Painter = Callable[[np.random.Generator, str, str], Image.Image]
"""Draws an image of a class on a kind of background, which is empty where the data set has no kinds."""
Counts = dict[tuple[str, str], int]
"""(class, background) → number of images; class by class, in the classes' order."""


@dataclass(frozen=True)
class ToyRow:
    """A procedural data set.

    Attributes:
        counts: images of every group, by split; the groups of both splits have the same classes.
        paint: draws one.
    """

    counts: dict[str, Counts]
    paint: Painter

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of their labels."""
        return tuple(dict.fromkeys(name for name, _ in self.counts["train"]))

    def members(self, split: str) -> list[tuple[str, str, int]]:
        """(class, background, number within the group) of every image of a split."""
        return [
            (name, background, number)
            for (name, background), count in self.counts[split].items()
            for number in range(count)
        ]


def _even(classes: list[str], *, train: int, test: int) -> dict[str, Counts]:
    return {
        split: {(name, ANY_BACKGROUND): count for name in classes}
        for split, count in (("train", train), ("test", test))
    }


def _scene(shapes: dict[str, tuple[np.ndarray, ...]], nuisance: Nuisance) -> Painter:
    return lambda rng, name, background: draw_scene(
        rng, shapes[name], nuisance, BACKDROPS[background] if background else None
    )


def _pattern(draw: Callable[[np.random.Generator, str], Image.Image]) -> Painter:
    return lambda rng, name, background: draw(rng, name)


_STARS = {f"{points}-pointed": (star(points),) for points in range(4, 9)}
_POLYGONS = {f"{corners}-gon": (regular(corners),) for corners in range(3, 8)}
_CLEAR = Nuisance(shift=0.08, radius=(0.32, 0.42), distractors=0, plain=True)
_SMALL = Nuisance(shift=0.2, radius=(0.2, 0.3), distractors=0, plain=True)
_SPURIOUS = {"star": "stripes", "heart": "checker", "cross": "blobs", "ring": "ramp"}
_BIRDS = {"landbird": SHAPES["bolt"], "waterbird": SHAPES["crescent"]}


def _spurious_counts() -> dict[str, Counts]:
    """In training nine of ten shapes lie on their own texture, in the test set none does."""
    textures = list(_SPURIOUS.values())
    pairs = [(shape, texture) for shape in _SPURIOUS for texture in textures]
    own = set(_SPURIOUS.items())
    return {
        "train": {pair: 81 if pair in own else 3 for pair in pairs},
        "test": {pair: 20 for pair in pairs if pair not in own},
    }


ROWS: dict[str, ToyRow] = {
    "shapes": ToyRow(
        counts=_even(list(SHAPES), train=200, test=100),
        paint=_scene(SHAPES, Nuisance()),
    ),
    "stars": ToyRow(
        counts=_even(list(_STARS), train=80, test=50),
        paint=_scene(_STARS, _CLEAR),
    ),
    "polygons": ToyRow(
        counts=_even(list(_POLYGONS), train=80, test=50),
        paint=_scene(_POLYGONS, _CLEAR),
    ),
    "spurious": ToyRow(
        counts=_spurious_counts(),
        paint=_scene({name: SHAPES[name] for name in _SPURIOUS}, _SMALL),
    ),
    "birds": ToyRow(
        counts={
            "train": {
                ("landbird", "land"): 118, ("landbird", "water"): 6,
                ("waterbird", "land"): 2, ("waterbird", "water"): 34,
            },
            "test": {
                ("landbird", "land"): 78, ("landbird", "water"): 78,
                ("waterbird", "land"): 22, ("waterbird", "water"): 22,
            },
        },
        paint=_scene(_BIRDS, _SMALL),
    ),
    "linework": ToyRow(
        counts=_even(list(STYLES), train=80, test=50),
        paint=_pattern(draw_linework),
    ),
    "flags": ToyRow(
        counts=_even(list(FLAGS), train=80, test=50),
        paint=_pattern(draw_flag),
    ),
    "glyphs": ToyRow(
        counts=_even(list(GLYPHS), train=80, test=50),
        paint=_pattern(draw_glyph),
    ),
}  # fmt: skip


def toy_image(name: str, split: str, index: int) -> Image.Image:
    """Image number `index` of a split of the named data set."""
    row = ROWS[name]
    label, background, number = row.members(split)[index]
    group = (background,) if background else ()
    rng = np.random.default_rng(derive_seed(_ROOT_SEED, name, split, label, *group, number))
    return row.paint(rng, label, background)
