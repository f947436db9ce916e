"""A distilled set comes back exactly, and only for the classes it was made for."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lgm_core.distilled import load_distilled, save_distilled
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.provenance import versions
from lgm_core.method.distiller import Distilled
from lgm_core.settings.method import MethodSettings

CLASSES = ("cat", "dog")
MADE_BY = "dvc repro -f distill@pets-vit"
FACTS = {"dataset": "pets", "backbone": "vit", "seed": 3, "seconds": 1.5}


def distilled(classes: int = 2, ipc: int = 2) -> Distilled:
    images = torch.rand(classes * ipc, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return Distilled(images, torch.arange(classes).repeat_interleave(ipc), [0.75, 0.5, 0.123456789])


@pytest.fixture
def save(tmp_path: Path, method: Callable[..., MethodSettings]) -> Callable[..., Path]:
    """`save(result, classes)`: a distilled set in a fresh folder."""

    def saved(result: Distilled | None = None, classes: tuple[str, ...] = CLASSES) -> Path:
        folder = tmp_path / "distilled" / "vit"
        save_distilled(folder, result or distilled(), classes, method(ipc=2), FACTS)
        return folder

    return saved


def test_images_and_labels_come_back_bit_by_bit(save: Callable[..., Path]) -> None:
    images, labels = load_distilled(save(), CLASSES, made_by=MADE_BY)
    assert torch.equal(images, distilled().images)
    assert images.dtype == torch.float32
    assert torch.equal(labels, torch.tensor([0, 0, 1, 1]))


def test_pngs_are_the_images_rounded_to_eight_bits(save: Callable[..., Path]) -> None:
    folder = save()
    paths = [folder / "images" / name / f"{number}.png" for name in CLASSES for number in range(2)]
    assert sorted((folder / "images").rglob("*.png")) == sorted(paths)
    for path, image in zip(paths, distilled().images, strict=True):
        with Image.open(path) as opened:
            assert opened.mode == "RGB"
            pixels = torch.from_numpy(np.array(opened)).permute(2, 0, 1) / 255
        assert (pixels - image).abs().max() <= 0.5 / 255 + 1e-6


def test_history_and_settings_say_what_happened(
    save: Callable[..., Path], method: Callable[..., MethodSettings]
) -> None:
    folder = save()
    with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["step"], float(row["loss"])) for row in rows] == [("0", 0.75), ("1", 0.5), ("2", 0.123457)]
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    assert settings["method"] == json.loads(json.dumps(asdict(method(ipc=2))))
    assert {key: settings[key] for key in FACTS} == FACTS
    assert settings["versions"] == versions()
    assert settings["versions"]["torch"] == torch.__version__


def test_grid_shows_all_images(save: Callable[..., Path]) -> None:
    with Image.open(save() / "grid.png") as opened:
        assert opened.size == (4 * 128 + 3 * 2, 128)


@pytest.mark.parametrize(
    "other", [("dog", "cat"), ("cat", "fox"), ("cat",), ("cat", "dog", "fox"), ("Cat", "dog")], ids="-".join
)
def test_other_classes_or_another_order_are_refused(
    save: Callable[..., Path], other: tuple[str, ...]
) -> None:
    folder = save()
    with pytest.raises(InputError, match=f"{MADE_BY}$") as caught:
        load_distilled(folder, other, made_by=MADE_BY)
    assert str(list(CLASSES)) in str(caught.value)
    assert str(list(other)) in str(caught.value)


def test_a_missing_or_damaged_set_names_the_command(save: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=MADE_BY):
        load_distilled(tmp_path / "nowhere", CLASSES, made_by=MADE_BY)
    path = save() / "images.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"damaged.*{MADE_BY}"):
        load_distilled(path.parent, CLASSES, made_by=MADE_BY)


@pytest.mark.parametrize(
    "classes",
    [("cats/big", "dogs\\small"), ("../../out", "/etc"), ("a/b", "a_b"), ("..", "."), ("día", "犬")],
    ids=["slashes", "upwards", "alike", "dots", "letters"],
)
def test_any_class_name_gives_every_image_its_own_file_inside(
    save: Callable[..., Path], tmp_path: Path, classes: tuple[str, str]
) -> None:
    folder = save(classes=classes)
    pictures = folder / "images"
    found = sorted(tmp_path.rglob("*.png"))
    assert len(found) == 1 + 4
    below = [path.relative_to(pictures) for path in found if path.name != "grid.png"]
    assert all(len(path.parts) == 2 for path in below)
    assert len({path.parts[0] for path in below}) == 2
    assert torch.equal(load_distilled(folder, classes, made_by=MADE_BY)[0], distilled().images)


def test_saving_again_replaces_the_whole_folder(save: Callable[..., Path]) -> None:
    folder = save(distilled(classes=3), ("cat", "dog", "fox"))
    (folder / "stray.txt").write_text("from an older version", encoding="utf-8")
    assert save() == folder
    assert not (folder / "stray.txt").exists()
    assert not (folder / "images" / "fox").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["vit"]


def test_a_failure_on_the_way_leaves_the_old_set(
    save: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def stopped(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lgm_core.distilled.write_json", stopped)
    with pytest.raises(KeyboardInterrupt):
        save(distilled(classes=3), ("cat", "dog", "fox"))
    assert {path: path.read_bytes() for path in folder.parent.rglob("*") if path.is_file()} == before
