"""One line about each data set that comes with the project: what it is and what it stands for."""

from __future__ import annotations

_ABOUT = {
    "digits": "scikit-learn's handwritten digits, 8 × 8 pixels",
    "toy:shapes": "ten procedural shapes under strong nuisance, in place of ImageNet",
    "toy:stars": "procedural stars of 4 to 8 points, in place of a fine-grained set such as Stanford Dogs",
    "toy:polygons": "procedural polygons of 3 to 7 corners, in place of a fine-grained set such as CUB-200",
    "toy:spurious": "four procedural shapes; in training nine of ten lie on a texture of their own, in the "
    "test set none does; in place of Spawrious",
    "toy:birds": "two procedural shapes, one of them rare, each mostly on its own background in training; in "
    "place of Waterbirds",
    "toy:flags": "procedural flags, six arrangements of free colours, in place of Flowers-102",
    "toy:glyphs": "six procedural glyphs in free colours on textures, in place of Food-101",
    "toy:linework": "procedural ink drawings in five styles, unlike photographs, in place of ArtBench",
}


def about(source: str) -> str:
    """The line about a data set's source as the params file names it; empty for a data set of one's own."""
    return _ABOUT.get(source, "")
