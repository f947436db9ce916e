"""Every released set reads with everybody's tools, is whole, says what was measured, and trains a probe."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from timm.data.dataset_factory import create_dataset
from torch import nn
from torch.utils.data import TensorDataset
from torchvision.datasets import ImageFolder
from torchvision.transforms.functional import to_tensor

import lgm_core as lgm
from lgm_core.distilled import class_folders
from lgm_core.foundation.errors import DamagedFileError, InputError
from lgm_core.foundation.store import read_tensors
from lgm_core.reporting.release import Measured, check_export, data_card, export_distilled
from lgm_core.reporting.releases import find_releases, releases_page
from lgm_core.reporting.results import Value, summarize

RELEASES = Path(__file__).resolve().parents[2] / "releases"
SETS = sorted(path.parent for path in RELEASES.glob("*/*/images.safetensors"))
each = pytest.mark.parametrize("folder", SETS, ids=lambda folder: folder.relative_to(RELEASES).as_posix())
MOST_BYTES = 8 * 2**20
MOST_BYTES_OF_AN_ANIMATION = 300_000


# The page over several sets, of made-up ones


def release(folder: Path, backbone: str, runs: list[float], *, side: int = 8) -> None:
    """An export of three random images, with accuracies."""
    facts: dict[str, Any] = {"dataset": "pets", "backbone": backbone, "real_images": 2000, "distillations": 3}
    measured = Measured(summarize(runs), Value(0.0), Value(10.0), Value(80.0))
    facts |= {"settings": {"input_size": 64}, "accuracies": {"vit": measured.facts()}}
    images = torch.rand(3, 3, side, side, generator=torch.Generator().manual_seed(0))
    found = lgm.DistilledSet(images, torch.arange(3), ("a", "b", "c"), facts)
    card = data_card(found, {"vit": measured}, image_terms="A", weight_terms="B")
    export_distilled(folder, found, card)


def test_the_page_has_a_line_and_a_picture_of_every_set(tmp_path: Path) -> None:
    release(tmp_path / "pets/vit", "vit", [60.0, 62.0, 64.0])
    release(tmp_path / "pets/all", "vit + conv", [40.0, 40.0, 40.0], side=16)
    found = find_releases(tmp_path)
    page = releases_page(found)
    assert [one.name for one in found] == ["pets/all", "pets/vit"]
    files = [path for path in (tmp_path / "pets/all").rglob("*") if path.is_file()]
    assert found[0].size == sum(path.stat().st_size for path in files)
    assert "| [pets](pets/vit/README.md) | vit | 3 × 8 px | 2,000 | 0.0 | 62.0 ± 2.0 | 78 % |" in page
    assert (
        "| [pets](pets/all/README.md) | all = vit + conv | 3 × 16 px | 2,000 | 0.0 | 40.0 ± 0.0 | 50 % |"
        in page
    )
    assert "![a, b, c](pets/vit/grid.jpg)" in page
    assert 'lgm.load_distilled("releases/pets/all")' in page


def test_no_page_of_nothing_or_of_a_damaged_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no exports"):
        find_releases(tmp_path)
    release(tmp_path / "pets/vit", "vit", [60.0, 62.0, 64.0])
    picture = tmp_path / "pets/vit/train/a/0.png"
    picture.write_bytes(picture.read_bytes() + b"\0")
    with pytest.raises(DamagedFileError, match=r"a/0\.png is not what SHA256SUMS says"):
        find_releases(tmp_path)


# The sets of the repository


def test_there_are_releases_of_a_few_megabytes() -> None:
    assert SETS
    sizes = {path: path.stat().st_size for path in RELEASES.rglob("*") if path.is_file()}
    assert sum(sizes.values()) <= MOST_BYTES
    large = [path for path in sizes if path.name.startswith("time_lapse")]
    assert [path for path in large if sizes[path] > MOST_BYTES_OF_AN_ANIMATION] == []


@each
def test_every_file_is_what_its_checksum_says(folder: Path) -> None:
    check_export(folder)


@each
def test_all_readers_number_the_classes_alike(folder: Path) -> None:
    found = lgm.load_distilled(folder)
    torchvisions = ImageFolder(str(folder / "train"))
    assert torchvisions.classes == class_folders(found.classes)
    assert torchvisions.targets == found.labels.tolist()
    timms = create_dataset("folder", root=str(folder), split="train")
    assert [label for _, label in timms.reader.samples] == found.labels.tolist()
    names = [Path(path).relative_to(folder / "train").as_posix() for path, _ in torchvisions.samples]
    assert [timms.reader.filename(number) for number in range(len(names))] == names


@each
def test_hugging_face_numbers_the_classes_alike(folder: Path, tmp_path: Path) -> None:
    hub = pytest.importorskip("datasets")
    hub.disable_progress_bars()
    read = hub.load_dataset("imagefolder", data_dir=str(folder), cache_dir=str(tmp_path))
    assert list(read) == ["train"]
    assert list(read["train"]["label"]) == lgm.load_distilled(folder).labels.tolist()


@each
def test_the_layout_is_the_one_that_hubs_document(folder: Path) -> None:
    """`<split>/<class>/<image>` alone is read as the split; the card's header says so, too."""
    header = (folder / "README.md").read_text(encoding="utf-8").split("---\n")[1]
    assert "  - split: train\n    path: train/**\n" in header
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert {path.parts[0] for path in files if len(path.parts) > 1} == {"train"}
    assert {len(path.parts) for path in files} == {1, 3}
    assert {path.suffix for path in files if path.parts[0] == "train"} == {".png"}


@each
def test_pictures_are_the_floats_rounded_to_eight_bits(folder: Path) -> None:
    found = lgm.load_distilled(folder)
    assert read_tensors(folder / "images.safetensors")[0]["images"].dtype == torch.float16
    assert found.images.dtype == torch.float32
    for (picture, _), image in zip(ImageFolder(str(folder / "train")), found.images, strict=True):
        assert torch.equal(to_tensor(picture), (image * 255).round() / 255)


@each
def test_the_card_and_the_page_say_the_numbers_that_were_measured(folder: Path) -> None:
    facts = lgm.load_distilled(folder).facts
    name = folder.relative_to(RELEASES)
    card = (folder / "README.md").read_text(encoding="utf-8")
    page = (RELEASES / "README.md").read_text(encoding="utf-8")
    (line,) = [line for line in page.splitlines() if f"({name.as_posix()}/README.md)" in line]
    assert facts["dataset"] == name.parts[0]
    assert facts["distillations"] == 3
    for backbone, measured in facts["accuracies"].items():
        told = summarize(measured["probe"]["runs"])
        shown = f"{told.mean:.1f} ± {told.std:.1f}"
        assert re.search(rf"^\| {backbone} \| {shown} \|", card, re.MULTILINE)
        assert f"| {shown} |" in line
    assert f"python -m stages.export {name.parts[0]} {name.parts[1]} releases/{name.as_posix()} " in card
    assert f"Made by version {facts['version']} of " in card
    assert "state them before you pass the images on" not in card


def test_the_page_is_what_the_stage_writes() -> None:
    assert (RELEASES / "README.md").read_text(encoding="utf-8") == releases_page(find_releases(RELEASES))


# A stranger's path


class Colors(nn.Module):
    """The mean color of each of 4 × 4 fields, as features."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)


@each
def test_a_probe_of_four_lines_tells_the_classes_of_someone_elses_images(folder: Path) -> None:
    """The test images are the set's own in other sizes, so that a probe that matches names finds them."""
    train = ImageFolder(str(folder / "train"))
    pictures = [picture.resize((40, 40), Image.Resampling.BICUBIC) for picture, _ in train]
    order = list(reversed(range(len(pictures))))
    names = [lgm.load_distilled(folder).classes[train.targets[number]] for number in order]
    test_data = TensorDataset(
        torch.stack([to_tensor(pictures[number]) for number in order]), torch.arange(len(names))
    )
    test_data.classes = names  # pyright: ignore[reportAttributeAccessIssue]

    images = lgm.load_distilled(folder)
    backbone = lgm.freeze(Colors(), ((0.5,) * 3, (0.25,) * 3), input_size=images.images.shape[-1])
    settings = lgm.ProbeSettings.paper(epochs=300, seeds=2, view_rounds=40, learning_rate=0.1)
    top1 = lgm.probe(backbone, images, lgm.ImageSet.of(test_data), settings)["top1"]
    assert sum(top1) / len(top1) >= 90
