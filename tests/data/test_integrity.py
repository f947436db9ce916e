"""Mistakes in the data are found and named: none of them turns into a quietly wrong table."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lgm_core.data.integrity import Inspection, Watched, digest, unchanged
from lgm_core.data.sources import load_images, load_splits
from lgm_core.distilled import load_distilled
from lgm_core.features.extraction import extract_features
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.ranks import Ranks
from lgm_core.foundation.store import write_tensors
from lgm_core.images import ImageSet, decode_file
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.params import Params

SOURCE = {"source": "folder:set"}
MADE_BY = "dvc repro -f features@set-x"


def picture(seed: int, side: int = 12) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data set of two classes with three train and two test images each; the folder above it."""
    for number, (split, name, index) in enumerate(
        (split, name, index)
        for split, count in (("train", 3), ("test", 2))
        for name in ("cat", "dog")
        for index in range(count)
    ):
        folder = tmp_path / "data" / "set" / split / name
        folder.mkdir(parents=True, exist_ok=True)
        picture(number).save(folder / f"{index}.png")
    return tmp_path / "data"


def inspect(data: Path) -> Inspection:
    """Decode everything once, as extraction does."""
    inspection = Inspection.of(load_splits(SOURCE, data))
    for split in inspection.splits:
        for index in range(len(split)):
            split.decode(index)
    return inspection


def kept(data: Path) -> Path:
    """A feature cache's folder with what was seen."""
    folder = data.parent / "features"
    folder.mkdir()
    inspection = inspect(data)
    inspection.finish()
    inspection.save(folder)
    return folder


# The zoo


def _half(path: Path) -> None:
    picture(0, 64).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:900])


def _half_png(path: Path) -> None:
    picture(0, 64).save(path, "PNG")
    path.write_bytes(path.read_bytes()[:900])


def _huge(path: Path) -> None:
    """A small file that says it has 400 million pixels."""
    Image.new("1", (20000, 20000)).save(path, "PNG")


def _float(path: Path) -> None:
    Image.fromarray(np.ones((4, 4), dtype=np.float32)).save(path, "TIFF")


def _link(path: Path) -> None:
    path.symlink_to(path.parent / "gone" / "away.png")


BROKEN: dict[str, Callable[[Path], Any]] = {
    "half.jpg": _half,
    "half.png": _half_png,
    "zero.png": lambda path: path.write_bytes(b""),
    "text.jpg": lambda path: path.write_text("no image"),
    "huge.png": _huge,
    "float.tif": _float,
    "link.png": _link,
    "ünï cödé – 猫.png": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"),
}


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


def solid(mode: str, color: Any, form: str) -> Callable[[Path], None]:
    return lambda path: Image.new(mode, (8, 8), color).save(path, form)


RED, GREY = (255, 0, 0), (200, 200, 200)
SOUND: dict[str, tuple[Callable[[Path], None], tuple[int, int, int]]] = {
    "cmyk.jpg": (solid("CMYK", (0, 255, 255, 0), "JPEG"), (254, 0, 0)),
    "sixteen.png": (_sixteen, GREY),
    "palette.png": (_palette, RED),
    "palette transparent.png": (_transparent_palette, RED),
    "grey.png": (solid("L", 200, "PNG"), GREY),
    "grey alpha.png": (solid("LA", (200, 128), "PNG"), GREY),
    "transparent.png": (solid("RGBA", (255, 0, 0, 100), "PNG"), RED),
    "bilevel.png": (solid("1", 1, "PNG"), (255, 255, 255)),
    "animated.gif": (_animated, RED),
    "a png.jpg": (solid("RGB", RED, "PNG"), RED),
    "A JPEG.PNG": (solid("RGB", GREY, "JPEG"), GREY),
    "ünï cödé – 猫.webp": (solid("RGB", GREY, "WEBP"), GREY),
    "link.png": (_linked, RED),
}


@pytest.mark.parametrize("name", SOUND)
def test_unusual_images_become_the_right_rgb(data: Path, name: str) -> None:
    make, expected = SOUND[name]
    folder = data / "set" / "train" / "cat"
    make(folder / name)
    images = load_images(SOURCE, "train", data)
    decoded = images.decode(images.names.index(f"train/cat/{name}"))
    assert decoded.mode == "RGB"
    assert np.abs(np.asarray(decoded).astype(int) - expected).max() <= 3


def test_every_image_that_cannot_be_decoded_is_listed_in_one_message(data: Path) -> None:
    for name, make in BROKEN.items():
        make(data / "set" / "train" / "dog" / name)
    (data / "set" / "test" / "cat" / "bad.png").write_bytes(b"x")
    inspection = inspect(data)
    with pytest.raises(InputError) as caught:
        inspection.finish()
    message = str(caught.value)
    assert message.startswith(f"{len(BROKEN) + 1} images cannot be decoded")
    for name in BROKEN:
        assert str(data / "set" / "train" / "dog" / name) in message
    assert str(data / "set" / "test" / "cat" / "bad.png") in message
    assert "exceeds limit" in message
    assert "no agreed range" in message


@pytest.mark.parametrize("workers", [0, 2])
def test_extraction_finds_all_bad_images_through_worker_processes(
    data: Path,
    params: Callable[..., Params],
    tiny_backbone: Callable[..., FrozenBackbone],
    workers: int,
) -> None:
    for name in ("half.png", "zero.png"):
        BROKEN[name](data / "set" / "train" / "dog" / name)
    inspection = Inspection.of(load_splits(SOURCE, data))
    extract_features(
        tiny_backbone(),
        inspection.splits,
        params(resolution=16, input_size=8).features(),
        seed=0,
        workers=workers,
    )
    with pytest.raises(InputError, match=r"(?s)2 images cannot be decoded.*half\.png.*zero\.png"):
        inspection.finish()


def test_bad_images_of_all_ranks_are_listed(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ranks decode a half each; what they exchange is played by hand."""
    for index in (0, 2):
        (data / "set" / "train" / "dog" / f"{index}.png").write_bytes(b"")
    parts = [Inspection.of(load_splits(SOURCE, data)) for _ in range(2)]
    for rank, part in enumerate(parts):
        for split in part.splits:
            for index in range(rank, len(split), 2):
                split.decode(index)
    exchanged = iter(
        [[one.digests.tolist() for one in pair] for pair in zip(*(p.watched for p in parts), strict=True)]
    )
    monkeypatch.setattr(Ranks, "collect", lambda self, value: next(exchanged))
    with pytest.raises(InputError, match=r"(?s)2 images cannot be decoded.*dog/0\.png.*dog/2\.png"):
        parts[0].finish(Ranks(0, 2))


def test_an_image_that_is_back_is_told_of(data: Path) -> None:
    path = data / "set" / "train" / "dog" / "1.png"
    content = path.read_bytes()
    path.write_bytes(b"")
    inspection = inspect(data)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"dog/1\.png could not be decoded at first, and can now"):
        inspection.finish()


def test_decoders_can_be_sent_to_other_processes(data: Path) -> None:
    for source in (SOURCE, {"source": "digits"}, {"source": "toy:shapes"}):
        images = load_images(source, "train", data)
        again: ImageSet = pickle.loads(pickle.dumps(images))
        assert digest(again.decode(3)) == digest(images.decode(3))


def test_files_that_are_no_images_by_name_are_told_of(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    (data / "set" / "train" / "cat" / "photo.dat").write_bytes(b"x")
    (data / "set" / "train" / "cat" / "README").write_bytes(b"x")
    assert len(load_images(SOURCE, "train", data)) == 6
    assert "2 files in" in caplog.text
    assert "README" in caplog.text


def test_linked_folders_are_followed_once(data: Path) -> None:
    cat = data / "set" / "train" / "cat"
    (data / "more").mkdir()
    picture(90).save(data / "more" / "far.png")
    (cat / "more").symlink_to(data / "more")
    (cat / "loop").symlink_to(cat)
    names = load_images(SOURCE, "train", data).names
    assert "train/cat/more/far.png" in names
    assert len(names) == 7


# Classes


def test_an_empty_class_folder_is_named(data: Path) -> None:
    for split in ("train", "test"):
        (data / "set" / split / "emu").mkdir()
    with pytest.raises(InputError, match="without an image: emu"):
        load_splits(SOURCE, data)


def test_a_class_missing_in_test_is_named(data: Path) -> None:
    shutil.rmtree(data / "set" / "test" / "dog")
    with pytest.raises(InputError, match=r"only in train: \['dog'\]"):
        load_splits(SOURCE, data)


COMPOSED, APART = unicodedata.normalize("NFC", "été"), unicodedata.normalize("NFD", "été")


@pytest.mark.parametrize(
    ("one", "other"), [("cat", "Cat"), ("cat", "cat "), (COMPOSED, APART), ("straße", "STRASSE")]
)
def test_classes_that_differ_by_case_or_spaces_alone_are_refused(data: Path, one: str, other: str) -> None:
    for split in ("train", "test"):
        if one != "cat":
            shutil.copytree(data / "set" / split / "cat", data / "set" / split / one)
        shutil.copytree(data / "set" / split / "cat", data / "set" / split / other)
    with pytest.raises(InputError, match="have the same name but for"):
        load_splits(SOURCE, data)


def test_the_same_classes_in_another_order_are_refused(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = load_splits(SOURCE, data)
    turned = ImageSet(test.classes[::-1], 1 - test.labels, test.names, test.decode)
    monkeypatch.setattr(
        "lgm_core.data.sources.load_images", lambda source, split, root: train if split == "train" else turned
    )
    with pytest.raises(InputError, match="in another order"):
        load_splits(SOURCE, data)


def test_train_images_in_the_test_set_are_counted_and_named(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copy(data / "set" / "train" / "cat" / "1.png", data / "set" / "test" / "cat" / "other name.png")
    Image.open(data / "set" / "train" / "dog" / "2.png").save(data / "set" / "test" / "cat" / "z.bmp")
    inspection = inspect(data)
    inspection.finish()
    assert "2 of 6 test images are in the training set too" in caplog.text
    assert "train/cat/1.png = test/cat/other name.png" in caplog.text
    assert "train/dog/2.png = test/cat/z.bmp" in caplog.text


def test_many_duplicates_are_counted_and_some_named(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    for index in range(7):
        shutil.copy(data / "set" / "train" / "cat" / "1.png", data / "set" / "test" / "cat" / f"c{index}.png")
    inspect(data).finish()
    assert "7 of 11 test images" in caplog.text
    assert caplog.text.count(" = ") == 5


def test_different_images_are_no_duplicates(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    inspect(data).finish()
    assert caplog.text == ""


# Data that change under cached features


def check(data: Path, folder: Path) -> ImageSet:
    return unchanged(load_images(SOURCE, "train", data), "train", folder, made_by=MADE_BY)


def test_unchanged_data_pass_without_a_word(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = check(data, kept(data))
    assert [images.decode(index).size for index in range(6)] == [(12, 12)] * 6
    assert caplog.text == ""


def _add(cat: Path) -> None:
    picture(50).save(cat / "new.png")


def _remove(cat: Path) -> None:
    (cat / "1.png").unlink()


def _swap(cat: Path) -> None:
    (cat / "1.png").rename(cat / "x.png")


def _move_to_dog(cat: Path) -> None:
    (cat / "2.png").rename(cat.parent / "dog" / "2b.png")


def _resize(cat: Path) -> None:
    picture(50, 20).save(cat / "1.png")


@pytest.mark.parametrize("change", [_add, _remove, _swap, _move_to_dog, _resize])
def test_a_changed_folder_is_noticed_with_the_stage_to_run(
    data: Path, change: Callable[[Path], None]
) -> None:
    folder = kept(data)
    change(data / "set" / "train" / "cat")
    with pytest.raises(InputError, match=f"are not those whose features were cached.*{MADE_BY}"):
        check(data, folder)


def _overwrite(path: Path) -> None:
    """Other pixels in a file of the same size and date."""
    before, size = path.stat(), path.stat().st_size
    Image.new("RGB", (12, 12), (1, 2, 3)).save(path)
    path.write_bytes(path.read_bytes() + b"\0" * (size - path.stat().st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_an_image_of_the_same_size_and_date_is_noticed_when_it_is_opened(data: Path) -> None:
    folder = kept(data)
    _overwrite(data / "set" / "train" / "cat" / "1.png")
    images = check(data, folder)
    images.decode(0)
    with pytest.raises(InputError, match=f"cat/1.png is not the image it was.*{MADE_BY}"):
        images.decode(1)


def test_a_copied_data_set_may_have_other_dates(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = kept(data)
    for path in (data / "set").rglob("*.png"):
        os.utime(path, (10, 10))
    with caplog.at_level(logging.WARNING):
        images = check(data, folder)
    assert "other dates" in caplog.text
    assert MADE_BY in caplog.text
    images.decode(2)


def test_features_without_an_inspection_are_not_trusted(data: Path) -> None:
    (data.parent / "features").mkdir()
    with pytest.raises(InputError, match=MADE_BY):
        check(data, data.parent / "features")


def test_toy_images_are_compared_too(tmp_path: Path) -> None:
    source = {"source": "toy:shapes"}
    images = load_images(source, "train", tmp_path)
    watched = Watched(images)
    watched(0)
    assert watched.digests[0] == digest(images.decode(0))
    assert watched.digests[1] == 0


# Distilled sets

CLASSES = ("cat", "dog")


def _write(folder: Path, images: torch.Tensor, labels: list[int], classes: tuple[str, ...] = CLASSES) -> None:
    write_tensors(
        folder / "images.safetensors",
        {"images": images, "labels": torch.tensor(labels)},
        {"classes": list(classes)},
    )


IMAGES = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_a_distilled_set_that_fits_is_read(tmp_path: Path) -> None:
    _write(tmp_path, IMAGES, [0, 1])
    images, labels = load_distilled(tmp_path, CLASSES, made_by="x")
    assert torch.equal(images, IMAGES)
    assert labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("images", "labels", "classes"),
    [
        (IMAGES, [0, 2], CLASSES),
        (IMAGES, [0, 0], CLASSES),
        (IMAGES, [-1, 1], CLASSES),
        (IMAGES[:1], [0, 1], CLASSES),
        (IMAGES[:, 0], [0, 1], CLASSES),
        (IMAGES * 255, [0, 1], CLASSES),
        (IMAGES * float("nan"), [0, 1], CLASSES),
        (IMAGES, [0, 1], ("dog", "cat")),
        (IMAGES, [0, 1], ("cat", "dog", "emu")),
    ],
)
def test_a_distilled_set_that_does_not_fit_is_refused(
    tmp_path: Path, images: torch.Tensor, labels: list[int], classes: tuple[str, ...]
) -> None:
    _write(tmp_path, images, labels, classes)
    with pytest.raises(InputError, match="Distil again with: dvc repro x"):
        load_distilled(tmp_path, CLASSES, made_by="dvc repro x")


def test_features_that_are_not_finite_are_refused(
    data: Path, params: Callable[..., Params], tiny_backbone: Callable[..., FrozenBackbone]
) -> None:
    backbone = tiny_backbone()
    with torch.no_grad():
        list(backbone.model.parameters())[-1][0] = float("inf")
    with pytest.raises(InputError, match="not finite"):
        extract_features(
            backbone, load_splits(SOURCE, data), params(resolution=16, input_size=8).features(), seed=0
        )


def test_decoding_never_reads_half_an_image(data: Path) -> None:
    from PIL import ImageFile

    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    _half(data / "half.jpg")
    with pytest.raises(InputError, match=r"half\.jpg cannot be decoded"):
        decode_file(data / "half.jpg")
