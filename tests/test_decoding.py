"""Image files become upright 8-bit RGB whatever they hold, and one that cannot is named."""

from __future__ import annotations

import os
import re
import resource
import signal
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from image_zoo import BROKEN, SOUND, noise, write_half
from PIL import ExifTags, Image, ImageFile, ImageOps

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.store import IMAGE_SUFFIXES
from lgm_core.images import decode, decode_file, is_unturned


@pytest.mark.parametrize(
    ("mode", "value", "suffix", "expected"),
    [
        ("RGB", (250, 10, 20), "png", (250, 10, 20)),
        ("RGBA", (250, 10, 20, 255), "png", (250, 10, 20)),
        ("L", 77, "png", (77, 77, 77)),
        ("LA", (77, 255), "png", (77, 77, 77)),
        ("1", 1, "png", (255, 255, 255)),
        ("L", 77, "jpg", (77, 77, 77)),
        ("CMYK", (0, 255, 255, 0), "jpg", (255, 0, 0)),
        ("CMYK", (255, 0, 0, 0), "tif", (0, 255, 255)),
        ("YCbCr", (128, 128, 128), "jpg", (128, 128, 128)),
        ("I;16", 77 * 257, "png", (77, 77, 77)),
        ("I;16", 77 * 257, "tif", (77, 77, 77)),
        ("I;16", 65535, "png", (255, 255, 255)),
        ("I;16", 200, "png", (0, 0, 0)),
    ],
)
def test_every_colour_mode_becomes_rgb(
    mode: str, value: int | tuple[int, ...], suffix: str, expected: tuple[int, ...], tmp_path: Path
) -> None:
    path = tmp_path / f"image.{suffix}"
    Image.new(mode, (4, 4), value).save(path)
    image = decode_file(path)
    assert (image.mode, image.size) == ("RGB", (4, 4))
    np.testing.assert_allclose(image.getpixel((1, 1)), expected, atol=3)


@pytest.mark.parametrize("name", SOUND)
def test_unusual_images_become_the_right_rgb(tmp_path: Path, name: str) -> None:
    make, expected = SOUND[name]
    (tmp_path / "cat").mkdir()
    make(tmp_path / "cat" / name)
    decoded = decode_file(tmp_path / "cat" / name)
    assert decoded.mode == "RGB"
    assert np.abs(np.asarray(decoded).astype(int) - expected).max() <= 3


@pytest.mark.parametrize("transparent", [False, True])
def test_palette_becomes_rgb(transparent: bool, tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([250, 10, 20, 0, 128, 255])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "image.png", **({"transparency": bytes([255, 0])} if transparent else {}))
    decoded = decode_file(tmp_path / "image.png")
    assert [decoded.getpixel((x, 0)) for x in range(2)] == [(250, 10, 20), (0, 128, 255)]


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (6, 4), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270°
    image.save(tmp_path / "image.jpg", exif=exif)
    assert decode_file(tmp_path / "image.jpg").size == (4, 6)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "ppm", "tif", "gif"])
def test_all_usual_formats_are_read(suffix: str, tmp_path: Path) -> None:
    assert f".{suffix}" in IMAGE_SUFFIXES
    Image.new("RGB", (8, 8), (200, 100, 50)).save(tmp_path / f"image.{suffix}")
    np.testing.assert_allclose(
        decode_file(tmp_path / f"image.{suffix}").getpixel((4, 4)), (200, 100, 50), atol=4
    )


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_cannot_be_decoded_is_named(tmp_path: Path, name: str) -> None:
    BROKEN[name](tmp_path / name)
    with pytest.raises(InputError, match=r"cannot be decoded as an image .*Replace or remove it") as caught:
        decode_file(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "reason"), [("huge.png", "exceeds limit"), ("float.tif", "no agreed range")]
)
def test_the_reason_is_told(tmp_path: Path, name: str, reason: str) -> None:
    BROKEN[name](tmp_path / name)
    with pytest.raises(InputError, match=reason):
        decode_file(tmp_path / name)


@pytest.mark.parametrize("limit", [100, 500])
def test_file_that_claims_a_monstrous_size_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """Pillow warns beyond its limit, and refuses beyond twice of it."""
    noise(30, 30).save(tmp_path / "image.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(InputError, match=r"image\.png cannot be decoded as an image"):
        decode_file(tmp_path / "image.png")


def test_decoding_never_reads_half_an_image(tmp_path: Path) -> None:
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    write_half(tmp_path / "half.jpg")
    with pytest.raises(InputError, match=r"half\.jpg cannot be decoded"):
        decode_file(tmp_path / "half.jpg")


def test_an_opened_file_is_read_closed_and_called_by_its_name(tmp_path: Path) -> None:
    noise(5, 4).save(tmp_path / "image.png")
    expected = decode_file(tmp_path / "image.png").tobytes()
    for opened in ((tmp_path / "image.png").open("rb"), BytesIO((tmp_path / "image.png").read_bytes())):
        assert decode(opened, "hub/train/3").tobytes() == expected
        assert opened.closed
    broken = BytesIO(b"x")
    with pytest.raises(InputError, match=r"^hub/train/3 cannot be decoded"):
        decode(broken, "hub/train/3")
    assert broken.closed


# Broken bytes lead decoders to any exception, and metadata are broken more often than pixels


@pytest.mark.parametrize(
    "raised", [struct.error("short"), KeyError(7), RecursionError(), ZeroDivisionError(), AssertionError()]
)
def test_whatever_decoding_raises_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    path = tmp_path / "a.png"
    noise(6, 6, 0).save(path)

    def refuse(*given: object) -> None:
        raise raised

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", refuse)
    with pytest.raises(InputError, match=re.escape(str(path))) as caught:
        decode_file(path)
    assert (str(raised) or type(raised).__name__) in str(caught.value)


def test_a_file_that_the_system_refuses_is_not_called_broken(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    decode_file(tmp_path / "x.png")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(InputError, match=r"x\.png cannot be read: Too many open files\.$"):
            decode_file(tmp_path / "x.png")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_lack_of_memory_is_no_fault_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise(6, 6, 0).save(tmp_path / "a.png")

    def refuse(*given: object) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", refuse)
    with pytest.raises(MemoryError):
        decode_file(tmp_path / "a.png")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_pixels_are_turned_as_exif_says(tmp_path: Path, orientation: int, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    noise(10, 6, 0).save(path, exif=exif)
    with Image.open(path) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    picture = decode_file(path)
    assert np.array_equal(np.asarray(picture), expected)
    assert not is_unturned(picture)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0??"]
)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_pixels_with_broken_exif_are_used_as_they_lie(tmp_path: Path, exif: bytes, suffix: str) -> None:
    path, plain = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    noise(10, 6, 0).save(path, exif=exif)
    noise(10, 6, 0).save(plain)
    picture = decode_file(path)
    assert np.array_equal(np.asarray(picture), np.asarray(decode_file(plain)))
    assert is_unturned(picture)
    assert not is_unturned(decode_file(plain))


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_regular_file_is_not_opened(tmp_path: Path, kind: str) -> None:
    """Opening a pipe would wait for ever."""
    path = tmp_path / "a.jpg"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    signal.alarm(20)
    try:
        with pytest.raises(InputError, match=r"a\.jpg .*no regular file"):
            decode_file(path)
    finally:
        signal.alarm(0)


def test_a_strip_is_refused_before_it_takes_gigabytes(tmp_path: Path) -> None:
    Image.new("RGB", (1, 12_000)).save(tmp_path / "strip.png")
    with pytest.raises(InputError, match=r"strip\.png .*1 × 12000"):
        decode_file(tmp_path / "strip.png")
    Image.new("RGB", (3, 300)).save(tmp_path / "long.png")
    assert decode_file(tmp_path / "long.png").size == (3, 300)
