"""Image files of every kind: unusual ones to be read right, and broken ones to be named."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Write = Callable[[Path], Any]
RED, GREY = (255, 0, 0), (200, 200, 200)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """A picture of random pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def write_half(path: Path, form: str = "JPEG") -> None:
    """The first bytes of a picture of 64 × 64 pixels."""
    noise(64, 64).save(path, form)
    path.write_bytes(path.read_bytes()[:900])


def _huge(path: Path) -> None:
    """A small file that says in its header that it has 400 million pixels."""
    Image.new("1", (1, 1)).save(path, "PNG")
    content = bytearray(path.read_bytes())
    content[16:24] = (20_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    path.write_bytes(content)


def _float(path: Path) -> None:
    Image.fromarray(np.ones((4, 4), dtype=np.float32)).save(path, "TIFF")


def _link_to_nothing(path: Path) -> None:
    path.symlink_to(path.parent / "gone" / "away.png")


BROKEN: dict[str, Write] = {
    "half.jpg": write_half,
    "half.png": lambda path: write_half(path, "PNG"),
    "zero.png": lambda path: path.write_bytes(b""),
    "text.jpg": lambda path: path.write_text("no image"),
    "huge.png": _huge,
    "float.tif": _float,
    "link.png": _link_to_nothing,
    "ünï cödé – 猫.png": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"),
}
"""Files that are no images, by names that look like those of images."""


def _animated(path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ((255, 0, 0), (0, 255, 0))]
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:])


def _sixteen(path: Path) -> None:
    Image.fromarray(np.full((8, 8), 200 * 257, dtype=np.uint16)).save(path, "PNG")


def _palette(path: Path) -> None:
    Image.new("RGB", (8, 8), (255, 0, 0)).convert("P", palette=Image.Palette.ADAPTIVE).save(path, "PNG")


def _transparent_palette(path: Path) -> None:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([255, 0, 0, 0, 0, 0])
    image.save(path, "PNG", transparency=1)


def _linked(path: Path) -> None:
    Image.new("RGB", (8, 8), (255, 0, 0)).save(path.parent.parent / "elsewhere.png")
    path.symlink_to(path.parent.parent / "elsewhere.png")


def _solid(mode: str, color: Any, form: str) -> Write:
    return lambda path: Image.new(mode, (8, 8), color).save(path, form)


SOUND: dict[str, tuple[Write, tuple[int, int, int]]] = {
    "cmyk.jpg": (_solid("CMYK", (0, 255, 255, 0), "JPEG"), (254, 0, 0)),
    "sixteen.png": (_sixteen, GREY),
    "palette.png": (_palette, RED),
    "palette transparent.png": (_transparent_palette, RED),
    "grey.png": (_solid("L", 200, "PNG"), GREY),
    "grey alpha.png": (_solid("LA", (200, 128), "PNG"), GREY),
    "transparent.png": (_solid("RGBA", (255, 0, 0, 100), "PNG"), RED),
    "bilevel.png": (_solid("1", 1, "PNG"), (255, 255, 255)),
    "animated.gif": (_animated, RED),
    "a png.jpg": (_solid("RGB", RED, "PNG"), RED),
    "A JPEG.PNG": (_solid("RGB", GREY, "JPEG"), GREY),
    "ünï cödé – 猫.webp": (_solid("RGB", GREY, "WEBP"), GREY),
    "link.png": (_linked, RED),
}
"""Files of 8 × 8 pixels in one colour, and that colour."""
