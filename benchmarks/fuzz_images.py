"""Mutated image files, read as the project reads them: each is a picture or one message that names the file.

python -m benchmarks.fuzz_images [--count 10000] [--seed 0]
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import ExifTags, Image, features

from lgm_core.foundation.errors import InputError
from lgm_core.images import decode_file

FORMATS = {
    "png": "PNG", "jpg": "JPEG", "gif": "GIF", "bmp": "BMP", "webp": "WEBP", "tif": "TIFF", "ppm": "PPM",
    "tga": "TGA", "ico": "ICO", "avif": "AVIF", "dds": "DDS", "sgi": "SGI", "pcx": "PCX", "jp2": "JPEG2000",
}  # fmt: skip
"""Suffix → Pillow's name of the format."""
_OPTIONAL = {"avif": "avif", "webp": "webp", "jp2": "jpg_2000"}
_SIZE = 24
Mutate = Callable[[bytearray, random.Random], bytearray]


def seeds() -> dict[str, bytes]:
    """A sound file of every format that this Pillow writes, with EXIF data where there is room for them."""
    pixels = np.random.default_rng(0).integers(0, 256, (_SIZE, _SIZE, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    found = {}
    for suffix, name in FORMATS.items():
        if suffix in _OPTIONAL and not features.check(_OPTIONAL[suffix]):
            continue
        content = BytesIO()
        more = {"exif": exif} if suffix in ("png", "jpg", "webp", "tif", "avif") else {}
        picture.save(content, format=name, **more)
        found[suffix] = content.getvalue()
    return found


def _flip(content: bytearray, draw: random.Random) -> bytearray:
    for _ in range(draw.choice((1, 1, 2, 8))):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return content


def _overwrite(content: bytearray, draw: random.Random) -> bytearray:
    for _ in range(draw.choice((1, 4, 16))):
        content[draw.randrange(len(content))] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))
    return content


def _header(content: bytearray, draw: random.Random) -> bytearray:
    """Numbers in a file's head are sizes, offsets and counts."""
    place = draw.randrange(min(len(content), 96))
    word = draw.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\xff\xff"))
    content[place : place + draw.choice((2, 4))] = word[: draw.choice((2, 4))]
    return content


def _cut(content: bytearray, draw: random.Random) -> bytearray:
    return content[: draw.randrange(len(content))]


def _drop(content: bytearray, draw: random.Random) -> bytearray:
    start = draw.randrange(len(content))
    del content[start : start + draw.randrange(1, 32)]
    return content


def _repeat(content: bytearray, draw: random.Random) -> bytearray:
    start = draw.randrange(len(content))
    part = content[start : start + draw.randrange(1, 64)]
    content[start:start] = part
    return content


_MUTATIONS: tuple[Mutate, ...] = (_flip, _overwrite, _header, _cut, _drop, _repeat)


def mutations(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Suffix and content of that many mutated files, of all formats in turn; the same for the same seed."""
    draw = random.Random(seed)
    whole = list(seeds().items())
    for number in range(count):
        suffix, content = whole[number % len(whole)]
        mutated = bytearray(content)
        for _ in range(draw.choice((1, 1, 2))):
            if mutated:
                mutated = draw.choice(_MUTATIONS)(mutated, draw)
        yield suffix, bytes(mutated)


def outcomes(folder: Path, count: int, seed: int) -> Counter[tuple[str, bool]]:
    """Read mutated files: how many of each format were read, and how many refused.

    Args:
        folder: where they are written, one after the other.
        count: how many.
        seed: of what is mutated.

    Raises:
        AssertionError: at a file that is neither read nor refused by a message that names it.
    """
    found: Counter[tuple[str, bool]] = Counter()
    for number, (suffix, content) in enumerate(mutations(count, seed)):
        path = folder / f"{number}.{suffix}"
        path.write_bytes(content)
        try:
            picture = decode_file(path)
            assert picture.mode == "RGB", path
        except InputError as error:
            assert str(path) in str(error), path
            assert "\n" not in str(error), path
            found[suffix, False] += 1
        else:
            found[suffix, True] += 1
        path.unlink()
    return found


def main() -> None:
    """Print how many files of each format were read and refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    start = time.perf_counter()
    with TemporaryDirectory() as folder:
        found = outcomes(Path(folder), given.count, given.seed)
    print("| format | read | refused |\n|---|---:|---:|")
    for suffix in dict.fromkeys(suffix for suffix, _ in sorted(found)):
        print(f"| {suffix} | {found[suffix, True]} | {found[suffix, False]} |")
    print(f"\n{found.total()} files in {time.perf_counter() - start:.0f} s; none ended otherwise.")


if __name__ == "__main__":
    main()
