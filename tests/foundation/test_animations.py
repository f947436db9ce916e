"""Frames come back from a strip, and animations show all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from lgm_core.foundation.animations import read_strip, write_animation, write_strip
from lgm_core.foundation.errors import DamagedFileError, MissingFileError


def frames(count: int, side: int) -> torch.Tensor:
    """Frames of one color each, brighter and brighter."""
    levels = torch.linspace(0, 255, count).round().to(torch.uint8)
    return levels[:, None, None, None].expand(count, 3, side, side).contiguous()


def test_a_strip_of_small_frames_keeps_every_bit(tmp_path: Path) -> None:
    drawn = torch.randint(256, (5, 3, 7, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    write_strip(tmp_path / "strip.webp", drawn)
    assert torch.equal(read_strip(tmp_path / "strip.webp"), drawn)


def test_a_strip_of_large_frames_is_small_and_close(tmp_path: Path) -> None:
    smooth = frames(4, 96)
    write_strip(tmp_path / "strip.webp", smooth)
    found = read_strip(tmp_path / "strip.webp")
    assert found.shape == smooth.shape
    assert (found[:, :, 8:-8, 8:-8].int() - smooth[:, :, 8:-8, 8:-8].int()).abs().max() <= 4


@pytest.mark.parametrize("name", ["a.webp", "a.gif"])
def test_an_animation_shows_every_frame_and_the_last_one_longer(tmp_path: Path, name: str) -> None:
    write_animation(tmp_path / name, frames(4, 40), 100)
    with Image.open(tmp_path / name) as opened:
        assert (opened.n_frames, opened.size, opened.info["loop"]) == (4, (120, 120), 0)
        shown = []
        for number in range(4):
            opened.seek(number)
            opened.load()
            shown.append((opened.convert("RGB").getpixel((60, 60))[0], opened.info["duration"]))
    assert [duration for _, duration in shown] == [100, 100, 100, 500]
    assert all(abs(value - 85 * number) <= 3 for number, (value, _) in enumerate(shown))


def test_what_is_no_strip_is_named(tmp_path: Path) -> None:
    path = tmp_path / "strip.webp"
    with pytest.raises(MissingFileError):
        read_strip(path)
    path.write_bytes(b"RIFF")
    with pytest.raises(DamagedFileError, match="is damaged"):
        read_strip(path)
    Image.new("RGB", (7, 4)).save(path)
    with pytest.raises(DamagedFileError, match="no strip of square frames: 7 × 4"):
        read_strip(path)
