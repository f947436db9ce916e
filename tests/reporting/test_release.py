"""An exported set is read by everybody's tools with the same labels, and comes back exactly through ours."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from timm.data.dataset_factory import create_dataset
from torchvision.datasets import ImageFolder
from torchvision.transforms.functional import to_tensor

import lgm_core
from lgm_core.data.sources import dataset_license, load_images
from lgm_core.distilled import DistilledSet, TimeLapse, class_folders, load_distilled
from lgm_core.features.extraction import extract_test
from lgm_core.foundation.errors import DamagedFileError, InputError, MissingFileError
from lgm_core.foundation.sources import DatasetSource
from lgm_core.foundation.store import read_tensors
from lgm_core.reporting.release import Measured, check_export, data_card, export_distilled, sixteen_bit
from lgm_core.reporting.results import Value, summarize
from lgm_core.settings.params import Params

ROOT = Path(__file__).resolve().parents[2]
FACTS: dict[str, Any] = {"dataset": "pets", "backbone": "vit", "settings": {"steps": 3, "aug_rounds": 2}}
NAMES = ("n07", "n03", "b", "A", "image10", "image9", "a/b")


def some_set(classes: tuple[str, ...] = NAMES, ipc: int = 2) -> DistilledSet:
    """Random images of every class."""
    images = torch.rand(len(classes) * ipc, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return DistilledSet(images, torch.arange(len(classes)).repeat_interleave(ipc), classes, FACTS)


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """An exported set whose classes are in no sorted order."""
    export_distilled(tmp_path / "out", some_set(), "# card\n")
    return tmp_path / "out"


def test_it_comes_back_bit_by_bit(exported: Path) -> None:
    found = lgm_core.load_distilled(exported)
    assert torch.equal(found.images, some_set().images)
    assert torch.equal(found.labels, some_set().labels)
    assert (found.classes, found.facts) == (NAMES, FACTS)


def test_sixteen_bits_come_back_as_thirty_two_and_cost_half_a_step(tmp_path: Path) -> None:
    half = sixteen_bit(some_set())
    export_distilled(tmp_path / "half", half, data_card(half, {}, image_terms="A", weight_terms="B"))
    found = load_distilled(tmp_path / "half")
    assert read_tensors(tmp_path / "half/images.safetensors")[0]["images"].dtype == torch.float16
    assert found.images.dtype == torch.float32
    assert torch.equal(found.images, half.images.float())
    assert 0 < (found.images - some_set().images).abs().max() <= 2**-12
    for (picture, _), image in zip(ImageFolder(str(tmp_path / "half/train")), found.images, strict=True):
        assert torch.equal(to_tensor(picture), (image * 255).round() / 255)
    assert "floats rounded to 16 bits" in (tmp_path / "half/README.md").read_text(encoding="utf-8")


def test_a_small_time_lapse_is_one_smaller_file(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(256, (3, 14, 3, 128, 128), dtype=torch.uint8, generator=generator)
    one = replace(some_set(), time_lapse=TimeLapse((0, 1, 2), frames))
    for name in ("small", "usual"):
        export_distilled(tmp_path / name, one, "# card\n", small=name == "small")
    (small,) = (tmp_path / "small").glob("time_lapse*")
    assert small.name == "time_lapse.webp"
    with Image.open(small) as opened:
        assert (opened.n_frames, opened.size) == (3, (4 * 66 - 2, 2 * 66 - 2))
    assert small.stat().st_size < (tmp_path / "usual/time_lapse.webp").stat().st_size


def test_checksums_are_those_of_the_files(exported: Path) -> None:
    lines = (exported / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    names = {path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()}
    assert [line.split("  ")[1] for line in lines] == sorted(names - {"SHA256SUMS"})
    for line in lines:
        digest, name = line.split("  ")
        assert hashlib.sha256((exported / name).read_bytes()).hexdigest() == digest
    check_export(exported)
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=exported, check=True)


def test_a_file_that_was_changed_lost_or_added_is_named(exported: Path) -> None:
    card, picture = exported / "README.md", sorted(exported.glob("train/*/0.png"))[0]
    (exported / "new.png").write_bytes(picture.read_bytes())
    with pytest.raises(DamagedFileError, match=r"new\.png is not what SHA256SUMS says"):
        check_export(exported)
    (exported / "new.png").unlink()
    text = card.read_text(encoding="utf-8")
    card.write_text(f"{text}.", encoding="utf-8")
    with pytest.raises(DamagedFileError, match=r"README\.md is not what SHA256SUMS says"):
        check_export(exported)
    card.write_text(text, encoding="utf-8")
    picture.unlink()
    with pytest.raises(MissingFileError, match=picture.name):
        check_export(exported)
    (exported / "SHA256SUMS").unlink()
    with pytest.raises(MissingFileError, match="SHA256SUMS"):
        check_export(exported)


def test_the_first_image_of_every_class_is_shown(exported: Path) -> None:
    with Image.open(exported / "grid.jpg") as grid:
        assert (grid.format, grid.size) == ("JPEG", (4 * 130 - 2, 2 * 130 - 2))


def test_torchvision_and_timm_number_the_classes_as_we_do(exported: Path) -> None:
    folder = ImageFolder(str(exported / "train"))
    assert folder.targets == some_set().labels.tolist()
    for (picture, _), image in zip(folder, some_set().images, strict=True):
        assert (to_tensor(picture) - image).abs().max() <= 0.5 / 255 + 1e-6
    timms = create_dataset("folder", root=str(exported), split="train")
    assert [label for _, label in timms.reader.samples] == folder.targets


def test_hugging_face_numbers_the_classes_as_we_do(exported: Path, tmp_path: Path) -> None:
    hub = pytest.importorskip("datasets")
    hub.disable_progress_bars()
    frames = torch.zeros(3, 14, 3, 8, 8, dtype=torch.uint8)
    export_distilled(exported, replace(some_set(), time_lapse=TimeLapse((0, 1, 2), frames)), "# card\n")
    found = hub.load_dataset("imagefolder", data_dir=str(exported), cache_dir=str(tmp_path / "cache"))
    assert list(found["train"]["label"]) == some_set().labels.tolist()


@pytest.mark.parametrize(("count", "size"), [(2, (258, 128)), (7, (518, 258)), (25, (1298, 258))])
def test_snapshots_are_exported_as_animations_that_no_reader_takes_for_images(
    tmp_path: Path, count: int, size: tuple[int, int]
) -> None:
    one = some_set(tuple(f"class {number:02d}" for number in range(count)))
    frames = torch.arange(4, dtype=torch.uint8)[:, None, None, None, None] * 60
    lapse = TimeLapse((0, 2, 4, 9), frames.expand(4, 2 * count, 3, 8, 8))
    export_distilled(tmp_path / "out", replace(one, time_lapse=lapse), "# card\n")
    for name in ("time_lapse.webp", "time_lapse.gif"):
        with Image.open(tmp_path / "out" / name) as opened:
            assert (opened.n_frames, opened.size) == (4, size)
            opened.seek(3)
            assert opened.convert("RGB").getpixel((60, 60)) == pytest.approx((180,) * 3, abs=4)
    assert torch.equal(lgm_core.load_distilled(tmp_path / "out").images, one.images)
    assert ImageFolder(str(tmp_path / "out" / "train")).targets == one.labels.tolist()
    timms = create_dataset("folder", root=str(tmp_path / "out"), split="train")
    assert len(timms) == len(one.labels)
    export_distilled(tmp_path / "out", one, "# card\n")
    assert not list((tmp_path / "out").glob("time_lapse*"))


@pytest.mark.parametrize(
    ("classes", "folders"),
    [
        (("a", "b"), ["a", "b"]),
        (("b", "a"), ["0_b", "1_a"]),
        (("image10", "image9"), ["0_image10", "1_image9"]),
        (("A", "b", "c"), ["A", "b", "c"]),
        (("a/b", "a_b"), ["0_a_b", "1_a_b"]),
        (("..", "a"), ["0_..", "1_a"]),
        (tuple("lkjihgfedcba"), [f"{n:02d}_{c}" for n, c in enumerate("lkjihgfedcba")]),
    ],
)
def test_folders_keep_their_names_where_sorting_keeps_the_labels(
    classes: tuple[str, ...], folders: list[str]
) -> None:
    assert class_folders(classes) == folders


def test_a_set_with_an_order_finds_its_classes_in_another_one(exported: Path) -> None:
    found = load_distilled(exported)
    assert torch.equal(found.labels_in(NAMES), found.labels)
    order = tuple(sorted(NAMES))
    assert [order[label] for label in found.labels_in(order)] == [NAMES[label] for label in found.labels]


def test_an_export_replaces_an_export_and_nothing_else(exported: Path, tmp_path: Path) -> None:
    export_distilled(exported, some_set(("x", "y")), "# card\n")
    assert load_distilled(exported).classes == ("x", "y")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("do not lose")
    with pytest.raises(InputError, match="is no exported set"):
        export_distilled(tmp_path / "mine", some_set(), "")
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "do not lose"


def test_the_card_says_how_and_how_well_and_under_which_terms() -> None:
    accuracies = {
        "vit": Measured(summarize([80.0, 81.0, 82.0]), Value(70.0), Value(40.0), Value(90.0, 1.0)),
        "conv": Measured(Value(60.0), Value(50.0), Value(40.0), Value(0.0)),
    }
    terms = {"image_terms": "terms A", "weight_terms": "terms B"}
    titles = {NAMES[0]: "tench"}
    card = data_card(some_set(), accuracies, spread="± is over seeds.", class_titles=titles, **terms)
    assert f"(tench, {', '.join(NAMES[1:])})" in card
    assert card.startswith("---\nlicense: other\n")
    for told in (
        "# pets distilled for vit", "14 synthetic images of 8 × 8 pixels in 7 classes (",
        "| vit | 81.0 ± 1.0 | 40.0 | 90.0 ± 1.0 | 90 % | 70.0 |", "± is over seeds.",
        "| conv | 60.0 | 40.0 | 0.0 | – | 50.0 |", "| steps | `3` |", "terms A", "terms B", "load_distilled",
    ):  # fmt: skip
        assert told in card


@pytest.mark.parametrize(
    ("probes", "told"),
    [
        (
            {"vit": ([27.0, 27.7, 28.4], 22.4, 60.0)},
            "reaches 46 % of the top-1 accuracy that all training images give. Against as many real images "
            "it is better on 1 of 1 backbones and worse on 0,",
        ),
        (
            {"vit": ([88.0, 89.0, 90.0], 88.9, 94.0), "conv": ([50.0, 51.0, 52.0], 60.0, 90.0)},
            "reaches 57 to 95 % of the top-1 accuracy that all training images give. Against as many real "
            "images it is better on 0 of 2 backbones and worse on 1,",
        ),
        ({}, "What a probe on them reaches was not measured."),
    ],
)
def test_the_card_claims_what_was_measured(
    probes: dict[str, tuple[list[float], float, float]], told: str
) -> None:
    accuracies = {
        name: Measured(summarize(runs), Value(0.0), summarize([real] * 3), Value(whole))
        for name, (runs, real, whole) in probes.items()
    }
    card = data_card(some_set(), accuracies, image_terms="A", weight_terms="B")
    assert told in card
    assert "place of the whole data set" not in card
    assert "close to" not in card


def test_the_card_says_what_made_it_and_what_these_images_reach() -> None:
    made = {"version": "1.2", "real_images": 2000, "distillations": 3, "commands": ["make it", "export it"]}
    made["centroids_of"] = "conv"
    accuracies = {"vit": Measured(summarize([80.0, 81.0, 82.0]), Value(70.0), Value(40.0), Value(90.0, 1.0))}
    known = replace(some_set(), facts={**FACTS, **made})
    card = data_card(known, accuracies, spread="± is so.", image_terms="A", weight_terms="B")
    assert "Made by version 1.2 of Linear Gradient Matching (`lgm_core`) from 2,000 images.\n" in card
    assert "```sh\nmake it\nexport it\n```\n" in card
    alone = "± is so. The images here are the first of 3 distillations; by themselves they reach 80.0 on vit."
    assert alone in card
    assert "nearest to their class means, by features of conv, as many" in card
    plain = data_card(some_set(), accuracies, image_terms="A", weight_terms="B")
    assert "Made by Linear Gradient Matching (`lgm_core`).\n" in plain
    assert "by themselves" not in plain


def test_a_card_without_accuracies_says_so() -> None:
    card = data_card(some_set(), {}, image_terms="terms A", weight_terms="terms B")
    assert "| not measured | – | – | – | – | – |" in card


def test_an_export_into_an_empty_folder_is_one(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    export_distilled(tmp_path / "empty", some_set(), "# card\n")
    assert load_distilled(tmp_path / "empty").classes == NAMES
    assert (tmp_path / "empty" / "README.md").read_text(encoding="utf-8") == "# card\n"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("cub", "CUB-200-2011"),
        ("toy:shapes", "procedural"),
        ("digits", "CC BY 4.0"),
        ("folder:x", "folder:x"),
    ],
)
def test_licences_of_data_sets_are_told(source: str, told: str) -> None:
    assert told in dataset_license(DatasetSource(source))


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, lgm_core; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_every_name_of_the_front_door_leads_somewhere() -> None:
    assert lgm_core.load_distilled is load_distilled
    assert dir(lgm_core) == sorted(lgm_core.__all__)
    assert all(getattr(lgm_core, name) is not None for name in lgm_core.__all__)
    with pytest.raises(AttributeError, match="no attribute 'load_distiled'"):
        lgm_core.load_distiled  # noqa: B018


def test_test_features_need_no_training_images(
    tiny_backbone: Callable[..., Any], params: Callable[..., Params], tmp_path: Path
) -> None:
    for name in ("a", "b"):
        (tmp_path / "mine/test" / name).mkdir(parents=True)
        Image.new("RGB", (20, 20)).save(tmp_path / "mine/test" / name / "0.png")
    test = load_images(DatasetSource("folder:mine"), "test", tmp_path)
    cache = extract_test(tiny_backbone(width=5), test, params(resolution=16, input_size=16).features())
    assert cache.test.shape == (2, 5)
    assert cache.train.shape == (0, 5)
    assert cache.classes == ("a", "b")
