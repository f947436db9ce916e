"""Every source becomes labelled RGB images, and what is missing or broken is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import functional as vision

from lgm_core.data.readers import IMAGE_SUFFIXES
from lgm_core.data.sources import load_images, load_splits
from lgm_core.data.toy.sets import ROWS, toy_image
from lgm_core.foundation.errors import InputError
from lgm_core.images import decode_file, square, squares

COLOURS = {"cat": (250, 10, 20), "dog": (0, 128, 255), "owl": (30, 200, 90)}
Folder = Callable[..., Path]


def _noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """`folder("train", "test")`: a data set of flat-coloured images, two and more per class."""

    def make(*splits: str) -> Path:
        root = tmp_path / "animals"
        for split in splits:
            for number, (name, colour) in enumerate(COLOURS.items()):
                place = root / split / name
                place.mkdir(parents=True)
                for index in range(2 + number):
                    Image.new("RGB", (6 + index, 5), colour).save(place / f"{index}.png")
        return root

    return make


# Sources


@pytest.mark.parametrize("source", ["toy:shapes", "digits"])
def test_splits_have_the_same_classes_and_no_image_in_common(source: str) -> None:
    train, test = load_splits({"source": source}, Path())
    assert train.classes == test.classes
    assert not set(train.names) & set(test.names)
    for images in (train, test):
        assert len(images) == len(images.labels) == len(set(images.names))
        assert set(images.labels.tolist()) == set(range(len(images.classes)))
        picture = images.decode(len(images) - 1)
        assert picture.mode == "RGB"
        assert picture.tobytes() == images.decode(len(images) - 1).tobytes()


def test_toy_images_are_named_by_split_class_and_number() -> None:
    images = load_images({"source": "toy:shapes"}, "test", Path())
    per_class = ROWS["shapes"].counts["test"]["square", ""]
    assert images.names[per_class + 3] == "test/square/3"
    assert images.classes[images.labels[per_class + 3]] == "square"
    expected = toy_image("shapes", "test", per_class + 3)
    assert images.decode(per_class + 3).tobytes() == expected.tobytes()


def test_digits_are_scikit_learns_split_within_each_class() -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    train, test = load_splits({"source": "digits"}, Path())
    assert len(train) + len(test) == len(digits.target)
    shares = {
        c: n / (n + Counter(test.labels.tolist())[c]) for c, n in Counter(train.labels.tolist()).items()
    }
    assert all(abs(share - 0.7) < 0.01 for share in shares.values())
    for images in (train, test):
        for index in (0, 100, len(images) - 1):
            number = int(images.names[index].removeprefix("digits/"))
            assert images.classes[images.labels[index]] == str(digits.target[number])
            grey = np.asarray(images.decode(index))
            assert grey.shape == (8, 8, 3)
            np.testing.assert_allclose(grey[:, :, 0], digits.images[number] * 255 / 16, atol=0.5)
            assert (grey == grey[:, :, :1]).all()


@pytest.mark.parametrize("source", ["cifar", "toy", "folders:x", "", "Digits"])
def test_unknown_source_is_refused_with_the_known_ones(source: str) -> None:
    with pytest.raises(InputError) as error:
        load_images({"source": source}, "train", Path())
    message = str(error.value)
    assert repr(source) in message or "toy data set ''" in message
    assert "shapes" in message


def test_unknown_toy_set_and_unknown_key_are_refused() -> None:
    with pytest.raises(InputError, match=r"toy data set 'spheres' is unknown; allowed: .*shapes"):
        load_images({"source": "toy:spheres"}, "train", Path())
    with pytest.raises(InputError, match=r"a data set has no key path"):
        load_images({"source": "digits", "path": "x"}, "train", Path())


# Folders


@pytest.mark.parametrize("relative", [True, False])
def test_folder_gives_classes_labels_and_names_in_order(folder: Folder, relative: bool) -> None:
    root = folder("train", "test")
    place = root.name if relative else str(root)
    images = load_images({"source": f"folder:{place}"}, "train", root.parent)
    assert images.classes == ("cat", "dog", "owl")
    assert images.labels.tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert images.names[:3] == ("train/cat/0.png", "train/cat/1.png", "train/dog/0.png")
    for index, label in enumerate(images.labels.tolist()):
        assert images.decode(index).getpixel((0, 0)) == list(COLOURS.values())[label]
    assert images.decode(4).size == (8, 5)


def test_val_serves_as_test_where_there_is_no_test(folder: Folder) -> None:
    root = folder("train", "val")
    assert load_images({"source": f"folder:{root}"}, "test", Path()).names[0] == "val/cat/0.png"
    folder("test")
    assert load_images({"source": f"folder:{root}"}, "test", Path()).names[0] == "test/cat/0.png"


def test_images_are_found_below_and_other_files_ignored(folder: Folder) -> None:
    root = folder("train")
    (root / "train" / "cat" / "more").mkdir()
    _noise(4, 4).save(root / "train" / "cat" / "more" / "x.JPG", "JPEG")
    (root / "train" / "cat" / "notes.txt").write_text("no image")
    (root / "train" / "readme.md").write_text("no class")
    images = load_images({"source": f"folder:{root}"}, "train", Path())
    assert images.names[:3] == ("train/cat/0.png", "train/cat/1.png", "train/cat/more/x.JPG")
    assert len(images) == 10


def test_a_folder_named_like_an_image_is_none(folder: Folder) -> None:
    root = folder("train")
    (root / "train" / "cat" / "scans.png").mkdir()
    images = load_images({"source": f"folder:{root}"}, "train", Path())
    assert "train/cat/scans.png" not in images.names


def test_missing_split_says_where_it_was_looked_for(folder: Folder) -> None:
    root = folder("train")
    with pytest.raises(InputError) as error:
        load_images({"source": "folder:animals"}, "test", root.parent)
    message = str(error.value)
    assert "folder:animals has no test split" in message
    assert all(str(root / name) in message for name in ("test", "val"))
    assert "LGM_DATA" in message
    with pytest.raises(InputError, match="has no train split"):
        load_images({"source": "folder:"}, "train", root / "train")


def test_empty_class_is_named(folder: Folder) -> None:
    root = folder("train")
    (root / "train" / "bat").mkdir()
    (root / "train" / "bat" / "notes.txt").write_text("no image")
    with pytest.raises(InputError, match="class folders without an image: bat"):
        load_images({"source": f"folder:{root}"}, "train", Path())


def test_split_without_classes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(InputError, match="no class folders"):
        load_images({"source": f"folder:{tmp_path}"}, "train", Path())


def test_classes_that_differ_between_splits_are_named(folder: Folder) -> None:
    root = folder("train", "test")
    (root / "test" / "owl").rename(root / "test" / "bat")
    with pytest.raises(InputError, match=r"only in train: \['owl'\], only in test: \['bat'\]"):
        load_splits({"source": f"folder:{root}"}, Path())


# Decoding


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


@pytest.mark.parametrize("content", ["empty", "text", "half a png", "half a jpg"])
def test_undecodable_file_is_named(content: str, folder: Folder) -> None:
    root = folder("train")
    path = root / "train" / "cat" / "1.png"
    _noise(30, 30).save(path, "JPEG" if content.endswith("jpg") else "PNG")
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"no image"}.get(content, whole[: len(whole) // 2]))
    images = load_images({"source": f"folder:{root}"}, "train", Path())
    images.decode(0)
    with pytest.raises(InputError, match=r"train/cat/1\.png cannot be decoded as an image"):
        images.decode(1)


def test_file_that_claims_a_monstrous_size_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _noise(30, 30).save(tmp_path / "image.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match=r"image\.png cannot be decoded as an image"):
        decode_file(tmp_path / "image.png")


# Squares


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40), st.booleans())
def test_square_has_the_asked_side_whatever_the_image(
    width: int, height: int, side: int, placed: bool
) -> None:
    generator = torch.Generator().manual_seed(0) if placed else None
    pixels = square(_noise(width, height), side, generator)
    assert pixels.shape == (3, side, side)
    assert pixels.dtype == torch.uint8


def test_square_image_of_the_asked_side_is_unchanged() -> None:
    image = _noise(9, 9)
    expected = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)
    assert torch.equal(square(image, 9), expected)
    assert torch.equal(square(image, 9, torch.Generator().manual_seed(0)), expected)


@pytest.mark.parametrize(("width", "height", "left", "top"), [(12, 6, 3, 0), (6, 13, 0, 3), (9, 6, 1, 0)])
def test_square_is_cut_out_of_the_middle(width: int, height: int, left: int, top: int) -> None:
    image = _noise(width, height)
    expected = np.asarray(image)[top : top + 6, left : left + 6]
    np.testing.assert_array_equal(square(image, 6).permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize(("width", "height"), [(80, 40), (40, 80), (40, 40), (10, 20)])
def test_square_equals_torchvision_resize_and_center_crop(width: int, height: int) -> None:
    image = _noise(width, height)
    resized = vision.resize(image, 20, interpolation=vision.InterpolationMode.BICUBIC)
    expected = np.asarray(vision.center_crop(resized, [20, 20]))
    np.testing.assert_array_equal(square(image, 20).permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("upright", [False, True])
def test_random_squares_lie_anywhere_along_the_longer_side(upright: bool) -> None:
    ramp = np.broadcast_to(np.arange(0, 200, dtype=np.uint8)[None, :, None], (20, 200, 3))
    image = Image.fromarray(np.ascontiguousarray(ramp.swapaxes(0, 1) if upright else ramp))
    generator = torch.Generator().manual_seed(0)
    starts = [int(square(image, 20, generator)[0, 0, 0]) for _ in range(300)]
    assert min(starts) >= 0
    assert max(starts) <= 180
    assert min(starts) < 15
    assert max(starts) > 165
    assert np.mean(starts) == pytest.approx(90, abs=12)


def test_random_square_depends_on_the_generator_alone() -> None:
    image = _noise(40, 10)
    first, again = (square(image, 10, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)


def test_squares_are_floats_between_0_and_1_in_the_asked_order(folder: Folder) -> None:
    images = load_images({"source": f"folder:{folder('train')}"}, "train", Path())
    batch = squares(images, [5, 0], 4)
    assert batch.shape == (2, 3, 4, 4)
    for pixels, name in zip(batch, ("owl", "cat"), strict=True):
        expected = (torch.tensor(COLOURS[name]) / 255)[:, None, None].expand(3, 4, 4)
        torch.testing.assert_close(pixels, expected)
