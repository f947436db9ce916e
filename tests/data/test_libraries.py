"""Data sets of torchvision and of the Hugging Face hub, through timm's factory."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from data.miniatures import lay_out_classes
from image_zoo import noise

from lgm_core.data.sources import load_splits
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.sources import DatasetSource
from lgm_core.images import ImageSet

FACTORY = "timm.data.dataset_factory.create_dataset"
Call = tuple[str, dict[str, Any]]


def test_torchvisions_cifar10_through_timms_factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchvision.datasets.CIFAR10._check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, md5: True)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for file in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        content = {"data": np.full((2, 3072), 7, dtype=np.uint8), "labels": [3, 9]}
        (folder / file).write_bytes(pickle.dumps(content))
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    train, test = load_splits(DatasetSource("torch/cifar10"), tmp_path)
    assert train.classes == tuple(names)
    assert (len(train), test.labels.tolist()) == (10, [3, 9])
    assert train.decode(0).getpixel((0, 0)) == (7, 7, 7)


def test_torchvision_data_that_is_not_there_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"torch/cifar10: torchvision finds no train split below {tmp_path}"):
        load_splits(DatasetSource("torch/cifar10"), tmp_path)


def test_hub_data_through_timms_factory(tmp_path: Path) -> None:
    hub = pytest.importorskip("datasets")
    lay_out_classes(tmp_path / "images")
    hub.disable_progress_bars()
    source = DatasetSource(f"hfds/{tmp_path / 'images'}:cache")
    train, test = load_splits(source, tmp_path)
    assert train.classes == ("one", "two")
    assert (train.labels.tolist(), len(test)) == ([0, 1], 2)
    assert train.decode(0).size == (6, 5)
    assert pickle.loads(pickle.dumps(train.decode))(1).size == (6, 5)


def test_hub_data_that_cannot_be_read_names_the_keys(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="train_split, test_split, image_key, label_key"):
        load_splits(DatasetSource("hfds/nobody/nothing-of-this-name:cache"), tmp_path)


def test_classes_of_synonyms_are_called_by_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = SimpleNamespace(targets=[1, 0], classes=[("tench", "Tinca tinca"), ("goldfish", "carp")])
    monkeypatch.setattr(FACTORY, lambda kind, **given: content)
    train, test = load_splits(DatasetSource("torch/image_folder:x"), tmp_path)
    assert train.classes == ("tench", "goldfish")
    assert (train.labels.tolist(), test.names) == (
        [1, 0],
        ("torch/image_folder/test/0", "torch/image_folder/test/1"),
    )


def test_data_of_torchvision_without_labels_and_classes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FACTORY, lambda kind, **given: SimpleNamespace(targets=[0]))
    with pytest.raises(InputError, match="torch/places365 has no list of labels and classes; export it as"):
        load_splits(DatasetSource("torch/places365"), tmp_path)


class Reader:
    """What timm's factory has behind a data set of the hub: labels as they are stored, and opened files."""

    def __init__(self, labels: list[Any], known: dict[Any, int] | None, column: str) -> None:
        self.dataset, self.class_to_idx = {column: labels}, known

    def __getitem__(self, index: int) -> tuple[BytesIO, int]:
        content = BytesIO()
        noise(6, 5, index).save(content, format="PNG")
        return BytesIO(content.getvalue() if index < 2 else b"damaged"), 0


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[ImageSet, list[Call]]]:
    """`hub(labels, known, **beside)`: the training images of a hub with such labels, and how it was asked."""

    def opened(
        labels: list[Any], known: dict[Any, int] | None = None, place: str = "", **beside: str
    ) -> tuple[ImageSet, list[Call]]:
        calls: list[Call] = []

        def create(kind: str, **given: Any) -> Any:
            calls.append((kind, given))
            return SimpleNamespace(reader=Reader(labels, known, given["target_key"]))

        monkeypatch.setattr(FACTORY, create)
        train, _ = load_splits(DatasetSource(f"hfds/me/mine{place}", **beside), Path("/data"))
        return train, calls

    return opened


Hub = Callable[..., tuple[ImageSet, list[Call]]]


def test_hub_labels_are_numbers_of_known_classes(hub: Hub) -> None:
    images, calls = hub([1, 0, 1], {"dog": 1, "cat": 0})
    assert (images.classes, images.labels.tolist()) == (("cat", "dog"), [1, 0, 1])
    assert images.names == tuple(f"hfds/me/mine/train/{number}" for number in range(3))
    asked = {"root": None, "input_key": "image", "target_key": "label"}
    assert calls == [("hfds/me/mine", {**asked, "split": split}) for split in ("train", "test")]


def test_hub_labels_may_be_texts_that_nobody_has_numbered(hub: Hub) -> None:
    images, _ = hub(["owl", "cat", "owl"])
    assert (images.classes, images.labels.tolist()) == (("cat", "owl"), [1, 0, 1])


def test_hub_names_of_splits_and_columns_and_the_cache_can_be_told(hub: Hub) -> None:
    names = {"train_split": "a", "test_split": "b", "image_key": "c", "label_key": "d"}
    images, calls = hub([0], {"cat": 0}, ":cache", **names)
    assert images.names == ("hfds/me/mine/a/0",)
    asked = {"root": "/data/cache", "input_key": "c", "target_key": "d"}
    assert calls == [("hfds/me/mine", {**asked, "split": split}) for split in ("a", "b")]


def test_hub_images_are_decoded_and_a_damaged_one_is_named(hub: Hub) -> None:
    images, _ = hub([0, 0, 0], {"cat": 0})
    assert images.decode(1).tobytes() == noise(6, 5, 1).tobytes()
    with pytest.raises(InputError, match="hfds/me/mine/train/2 cannot be decoded"):
        images.decode(2)


def test_an_error_without_a_text_is_named_by_its_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(kind: str, **given: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(FACTORY, refuse)
    with pytest.raises(InputError, match=r"could not be read \(RuntimeError\)"):
        load_splits(DatasetSource("hfds/me/mine"), tmp_path)
