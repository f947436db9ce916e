"""Mistakes in the data are found and named: none of them turns into a quietly wrong table."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from image_zoo import BROKEN, noise
from PIL import Image

from lgm_core.data.integrity import Inspection, Watched, digest, unchanged
from lgm_core.data.sources import load_images, load_splits
from lgm_core.features.extraction import extract_features
from lgm_core.foundation.errors import FileError, InputError, MissingFileError, StaleFileError
from lgm_core.foundation.layout import Layout
from lgm_core.foundation.ranks import Ranks
from lgm_core.foundation.sources import DatasetSource
from lgm_core.images import ImageSet
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.params import Params
from stages.advice import explained

ROOT = Path(__file__).resolve().parents[2]
SOURCE = DatasetSource("folder:set")


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
        noise(12, 12, number).save(folder / f"{index}.png")
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


def test_images_whose_orientation_cannot_be_read_are_counted_and_used(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inspection = inspect(data)
    inspection.finish()
    whole = [one.digests.tolist() for one in inspection.watched]
    for split, name in (("train", "dog/1.png"), ("test", "cat/0.png")):
        path = data / "set" / split / name
        with Image.open(path) as opened:
            opened.save(path, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    inspection = inspect(data)
    assert "EXIF" not in caplog.text
    inspection.finish()
    assert [one.digests.tolist() for one in inspection.watched] == whole
    assert "2 images have EXIF data that cannot be read" in caplog.text
    assert "dog/1.png" in caplog.text


def test_a_pipe_among_the_images_is_one_that_cannot_be_decoded(data: Path) -> None:
    os.mkfifo(data / "set" / "train" / "dog" / "x.jpg")
    with pytest.raises(InputError, match=r"(?s)1 images cannot be decoded.*x\.jpg.*no regular file"):
        inspect(data).finish()


def test_an_image_that_is_back_is_told_of(data: Path) -> None:
    path = data / "set" / "train" / "dog" / "1.png"
    content = path.read_bytes()
    path.write_bytes(b"")
    inspection = inspect(data)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"dog/1\.png could not be decoded at first, and can now"):
        inspection.finish()


def test_decoders_can_be_sent_to_other_processes(data: Path) -> None:
    for source in (SOURCE, DatasetSource("digits"), DatasetSource("toy:shapes")):
        images = load_images(source, "train", data)
        again: ImageSet = pickle.loads(pickle.dumps(images))
        assert digest(again.decode(3)) == digest(images.decode(3))


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
    return unchanged(load_images(SOURCE, "train", data), "train", folder)


def test_unchanged_data_pass_without_a_word(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = check(data, kept(data))
    assert [images.decode(index).size for index in range(6)] == [(12, 12)] * 6
    assert caplog.text == ""


def _add(cat: Path) -> None:
    noise(12, 12, 50).save(cat / "new.png")


def _remove(cat: Path) -> None:
    (cat / "1.png").unlink()


def _swap(cat: Path) -> None:
    (cat / "1.png").rename(cat / "x.png")


def _move_to_dog(cat: Path) -> None:
    (cat / "2.png").rename(cat.parent / "dog" / "2b.png")


def _resize(cat: Path) -> None:
    noise(20, 20, 50).save(cat / "1.png")


@pytest.mark.parametrize("change", [_add, _remove, _swap, _move_to_dog, _resize])
def test_a_changed_folder_is_noticed_and_the_features_are_stale(
    data: Path, change: Callable[[Path], None]
) -> None:
    folder = kept(data)
    change(data / "set" / "train" / "cat")
    with pytest.raises(StaleFileError, match=r"is of other train images: .* since it was cached") as caught:
        check(data, folder)
    assert caught.value.path == folder


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
    with pytest.raises(StaleFileError, match=r"of other images: train/cat/1\.png changed since") as caught:
        images.decode(1)
    assert caught.value.path == folder


def test_a_copied_data_set_may_have_other_dates(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = kept(data)
    for path in (data / "set").rglob("*.png"):
        os.utime(path, (10, 10))
    with caplog.at_level(logging.WARNING):
        images = check(data, folder)
    assert "other dates" in caplog.text
    assert str(folder) in caplog.text
    images.decode(2)


def test_features_without_an_inspection_are_not_trusted(data: Path) -> None:
    (data.parent / "features").mkdir()
    with pytest.raises(MissingFileError) as caught:
        check(data, data.parent / "features")
    assert caught.value.path == data.parent / "features" / "images.safetensors"


def test_what_to_run_is_told_of_missing_and_stale_features(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data.parent)
    Path("params.yaml").write_bytes((ROOT / "suites" / "embedded.yaml").read_bytes())
    folder = Layout(Path(), "embedded").cell("set", "lite0").features
    with pytest.raises(FileError) as missing:
        check(data, folder)
    assert explained(missing.value).endswith(" Make it with: dvc repro features@set-lite0")
    folder.parent.mkdir(parents=True)
    kept(data).rename(folder)
    (data / "set" / "train" / "cat" / "1.png").unlink()
    with pytest.raises(FileError) as stale:
        check(data, folder)
    assert explained(stale.value).endswith(" Make it again with: dvc repro -f features@set-lite0")


def test_a_link_to_a_file_that_is_gone_is_a_change(data: Path) -> None:
    path = data / "set" / "train" / "cat" / "1.png"
    path.rename(data / "elsewhere.png")
    path.symlink_to(data / "elsewhere.png")
    folder = kept(data)
    (data / "elsewhere.png").unlink()
    with pytest.raises(StaleFileError, match="files changed since it was cached"):
        check(data, folder)


@pytest.mark.parametrize(("split", "count"), [("train", 6), ("test", 4)])
def test_either_split_is_compared_with_itself(data: Path, split: str, count: int) -> None:
    images = unchanged(load_images(SOURCE, split, data), split, kept(data))
    assert [images.decode(index).size for index in range(count)] == [(12, 12)] * count


def test_toy_images_are_compared_too(tmp_path: Path) -> None:
    images = load_images(DatasetSource("toy:shapes"), "train", tmp_path)
    watched = Watched(images)
    watched(0)
    assert watched.digests[0] == digest(images.decode(0))
    assert watched.digests[1] == 0
