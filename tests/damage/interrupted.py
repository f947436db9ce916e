"""What tests of interrupted distillations share: the cell, its files, and how two results compare."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from toy_project import DATASET, LAYOUT

from lgm_core.distilled import load_distilled
from lgm_core.features.cache import load_features
from lgm_core.foundation.store import read_tensors

CELL = LAYOUT.cell(DATASET, "conv")
DISTILL = ("distill", DATASET, "conv")
IMAGES = CELL.distilled / "images.safetensors"
HISTORY = CELL.distilled / "history.csv"
CHECKPOINTS = Path(".lgm") / "checkpoints" / "toy" / f"{DATASET}-conv"
SETTINGS = {"steps": 36, "growth_interval": 6, "checkpoint": {"steps": 3, "minutes": 60.0}}


def images_of(folder: Path) -> torch.Tensor:
    return read_tensors(folder / IMAGES)[0]["images"]


def same_set(one: Path, other: Path) -> bool:
    """Whether two projects' distilled sets agree to the last bit, with their histories."""
    equal = torch.equal(images_of(one), images_of(other))
    return equal and (one / HISTORY).read_bytes() == (other / HISTORY).read_bytes()


def saved_steps(folder: Path) -> list[int]:
    return sorted(int(path.stem[5:]) for path in (folder / CHECKPOINTS).glob("*/step-*.safetensors"))


def reached(folder: Path, step: int) -> Callable[[], bool]:
    return lambda: max(saved_steps(folder), default=0) >= step


def features_whole(folder: Path) -> torch.Tensor:
    return load_features(folder / CELL.features).real_views


def _distilled_whole(folder: Path) -> torch.Tensor:
    target = folder / CELL.distilled
    found = load_distilled(target)
    images, labels = found.images, found.labels_in(("blue", "green", "red"))
    pictures = sorted(target.glob("images/*/*.png"))
    assert len(pictures) == len(labels)
    for path, image in zip(pictures, images, strict=True):
        with Image.open(path) as opened:
            assert opened.tobytes() == (image * 255).round().byte().permute(1, 2, 0).numpy().tobytes()
    assert {path.name for path in target.iterdir()} == {
        "images", "images.safetensors", "grid.png", "history.csv", "settings.json", "again", "time_lapse",
        "time_lapse.json",
    }  # fmt: skip
    return images


def _probe_whole(folder: Path) -> torch.Tensor:
    return torch.tensor(list((folder / CELL.probe).read_bytes()))


WHOLE: dict[str, Callable[[Path], torch.Tensor]] = {
    "features": features_whole,
    "distill": _distilled_whole,
    "probe": _probe_whole,
}


def ready_for(verb: str, request: pytest.FixtureRequest, long_run: tuple[Path, dict[str, Any]]) -> Path:
    """A project in which a stage can run with the second seed: what comes before it is that seed's."""
    folder: Path = request.getfixturevalue("project" if verb == "features" else "ready")
    if verb == "probe":
        shutil.rmtree(folder / CELL.distilled)
        shutil.copytree(long_run[0] / CELL.distilled, folder / CELL.distilled)
    return folder
