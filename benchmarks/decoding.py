"""Decoded pictures per second: python -m benchmarks.decoding

JPEGs of 500 × 375 and of 160 × 160 pixels, or of a folder (`--data`), are read from the disk cache: in one
process by Pillow, as the stages decode, and by torchvision; the same resized to the square that a view is cut
from; and by the path of the stage `features`, in this process alone and in others.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms.v2.functional import center_crop, resize

from benchmarks.measure import machine, table
from lgm_core.features.loading import Squares, decoded_blocks
from lgm_core.images import ImageSet, decode_file, square

SIZES = ((500, 375), (160, 160))
_QUALITY = 90
_BLOCK = 100


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of JPEGs, below which all are taken")
    parser.add_argument("--images", type=int, default=800, help="at most, of one size")
    parser.add_argument("--side", type=int, default=256, help="of the squares")
    parser.add_argument("--rounds", type=int, default=3, help="of each way; the median counts")
    given = parser.parse_args(words)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, paths in _pictures(given.data, Path(folder), given.images).items():
            rates = measured(paths, given.side, given.rounds)
            rows.append([name, *(f"{rate:,.0f}" for rate in rates.values())])
    print(machine(torch.device("cpu")))
    print(table(["images/s", *rates], rows))


def measured(paths: list[Path], side: int, rounds: int) -> dict[str, float]:
    """Images per second of every way to decode, which take turns."""
    ways: dict[str, Callable[[], object]] = {
        "Pillow": lambda: _all(decode_file, paths),
        "torchvision": lambda: _all(_by_torchvision, paths),
        "Pillow, resized": lambda: _all(lambda path: square(decode_file(path), side), paths),
        "torchvision, resized": lambda: _all(lambda path: _squared(_by_torchvision(path), side), paths),
    }
    for workers in (0, 1, 2):
        ways[f"features, {workers} workers"] = partial(_by_features, paths, side, workers)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            if number:  # the first one warms up
                seconds[name].append(time.perf_counter() - began)
    return {name: len(paths) / float(np.median(taken)) for name, taken in seconds.items()}


def _all(read: Callable[[Path], object], paths: list[Path]) -> None:
    """Read one after another, and keep none."""
    for path in paths:
        read(path)


def _by_torchvision(path: Path) -> torch.Tensor:
    return decode_jpeg(read_file(str(path)), mode=ImageReadMode.RGB)


def _squared(pixels: torch.Tensor, side: int) -> torch.Tensor:
    return center_crop(resize(pixels, [side], antialias=True), [side, side])


def _by_features(paths: list[Path], side: int, workers: int) -> None:
    """The centre square of every image, as the stage has them decoded."""
    labels = torch.zeros(len(paths), dtype=torch.long)
    images = ImageSet(("all",), labels, tuple(map(str, paths)), partial(_numbered, paths))
    starts = range(0, len(paths), _BLOCK)
    blocks = {number: range(at, min(at + _BLOCK, len(paths))) for number, at in enumerate(starts)}
    for _ in decoded_blocks(Squares(images, side, [], 0), blocks, workers, pinned=False):
        pass


def _numbered(paths: list[Path], index: int) -> Image.Image:
    return decode_file(paths[index])


def _pictures(data: Path | None, folder: Path, count: int) -> dict[str, list[Path]]:
    """The JPEGs to decode, by what the table calls them."""
    if data is not None:
        found = sorted(path for path in data.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg"})
        if not found:
            raise SystemExit(f"There is no JPEG below {data}.")
        return {data.name: found[:count]}
    return {f"{width} × {height}": _made(folder, width, height, count) for width, height in SIZES}


def _made(folder: Path, width: int, height: int, count: int) -> list[Path]:
    """Gradients with noise, which JPEGs need about as many bytes for as for photographs."""
    random = np.random.default_rng(0)
    across, down = np.meshgrid(np.linspace(0, 200, width), np.linspace(0, 200, height))
    paths = [folder / f"{width}-{number}.jpg" for number in range(count)]
    for path in paths:
        shares = random.random((2, 3))
        pixels = across[..., None] * shares[0] + down[..., None] * shares[1]
        pixels = pixels / 2 + random.normal(20, 8, pixels.shape)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=_QUALITY)
    return paths


if __name__ == "__main__":
    main()
