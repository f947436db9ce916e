"""Images after files: 8 bits are a rounding, JPEG more than that, and bytes are those of the files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from lgm_core.evaluation.encodings import ENCODINGS, encoded, encoded_bytes, png_bytes
from lgm_core.foundation.store import write_png


@pytest.fixture
def images(generator: torch.Generator) -> torch.Tensor:
    """Two smooth images, as distilled ones are."""
    coarse = torch.rand(2, 3, 4, 4, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=24, mode="bilinear")


def test_png_rounds_to_the_nearest_of_256_values(images: torch.Tensor) -> None:
    assert torch.equal(encoded(images, "png"), (images * 255).round() / 255)
    assert torch.equal(encoded(encoded(images, "png"), "png"), encoded(images, "png"))


def test_jpeg_of_quality_95_moves_pixels_little_but_more_than_rounding(images: torch.Tensor) -> None:
    moved = (encoded(images, "jpeg95") - images).abs()
    assert 0.5 / 255 < moved.max() < 0.1
    assert moved.mean() < 0.02


def test_bytes_are_those_of_the_files(images: torch.Tensor, tmp_path: Path) -> None:
    for number, image in enumerate(images):
        write_png(tmp_path / f"{number}.png", image)
    assert png_bytes(images) == sum(path.stat().st_size for path in tmp_path.iterdir())


def test_files_are_of_the_kind_that_they_are_named_after(images: torch.Tensor, tmp_path: Path) -> None:
    for name, kind in (("png", "PNG"), ("jpeg95", "JPEG")):
        (tmp_path / name).write_bytes(encoded_bytes(images[0], name))
        with Image.open(tmp_path / name) as opened:
            assert (opened.format, opened.size) == (kind, (24, 24))
    assert set(ENCODINGS) == {"png", "jpeg95"}
