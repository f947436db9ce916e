"""`lgm`: a folder of photographs and a backbone become a set that anybody's tools read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from click.testing import CliRunner, Result
from torchvision.datasets import ImageFolder
from toy_project import COLORS, write_dataset

from lgm_core import load_distilled
from lgm_core.cli import main

SMALL = ("steps=3", "aug_rounds=1", "growth_interval=1", "input_size=32", "resolution=36")
QUICK = ("epochs=4", "view_rounds=2", "seeds=2", "input_size=32")


def lgm(*arguments: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def given(settings: tuple[str, ...]) -> list[str]:
    return [part for setting in settings for part in ("--setting", setting)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of three colours, and a checkpoint of a small model beside them."""
    folder = tmp_path_factory.mktemp("cli")
    write_dataset(folder / "photos")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = timm.create_model("test_vit", num_classes=0, img_size=32).state_dict()
    torch.save(weights, folder / "vit.pth")
    return folder


@pytest.fixture(scope="module")
def distilled(photos: Path) -> Path:
    """What the command distilled from them."""
    where = ("--data", str(photos / "photos"), "--out", str(photos / "distilled"))
    model = ("--backbone", "timm:test_vit", "--checkpoint", str(photos / "vit.pth"))
    result = lgm("distill", *where, *model, "--device", "cpu", *given(SMALL))
    assert result.exit_code == 0, result.output
    assert "3 images in 3 classes" in result.output
    return photos / "distilled"


def test_a_folder_becomes_a_set_that_torchvision_reads(distilled: Path) -> None:
    assert ImageFolder(str(distilled / "images")).classes == sorted(COLORS)
    found = load_distilled(distilled)
    assert found.images.shape == (3, 3, 36, 36)
    assert found.facts["method"]["steps"] == 3
    assert found.facts["backbone"] == "timm:test_vit"


def test_nothing_but_the_set_is_left(distilled: Path) -> None:
    assert {path.name for path in distilled.parent.iterdir()} <= {"photos", "vit.pth", "distilled", "release"}


def test_a_set_is_probed_on_a_backbone(photos: Path, distilled: Path) -> None:
    model = ("--backbone", "timm:test_vit", "--checkpoint", str(photos / "vit.pth"), "--device", "cpu")
    result = lgm("probe", "--images", str(distilled), "--data", str(photos / "photos"), *model, *given(QUICK))
    assert result.exit_code == 0, result.output
    assert "over 2 runs" in result.output
    assert "nearest_neighbor" in result.output


def test_a_set_is_exported_with_a_card(photos: Path, distilled: Path) -> None:
    result = lgm("export", "--images", str(distilled), "--out", str(photos / "release"), "--title", "colors")
    assert result.exit_code == 0, result.output
    assert ImageFolder(str(photos / "release/train")).classes == sorted(COLORS)
    card = (photos / "release/README.md").read_text(encoding="utf-8")
    assert "# colors distilled for timm:test_vit" in card
    assert "not measured" in card


def test_statistics_of_two_owners_become_a_set_without_their_images(photos: Path, tmp_path: Path) -> None:
    for split in ("one", "two"):
        for color in COLORS:
            (tmp_path / split / "train" / color).mkdir(parents=True)
            (tmp_path / split / "test" / color).mkdir(parents=True)
            (tmp_path / split / "test" / color / "0.png").symlink_to(photos / f"photos/test/{color}/0.png")
    for color in COLORS:
        for number, picture in enumerate(sorted((photos / "photos/train" / color).iterdir())):
            owner = "one" if number < 2 else "two"
            (tmp_path / owner / "train" / color / picture.name).symlink_to(picture)
    model = ("--backbone", "timm:test_vit", "--checkpoint", str(photos / "vit.pth"), "--device", "cpu")
    sizes = given(("input_size=32", "resolution=36"))
    for owner in ("one", "two"):
        where = ("--data", str(tmp_path / owner), "--out", str(tmp_path / f"{owner}.safetensors"))
        result = lgm("statistics", *where, *model, *sizes, "--rounds", "2")
        assert result.exit_code == 0, result.output
        assert lgm("statistics", *where, *model, *sizes).exit_code == 1
    files = [part for owner in ("one", "two") for part in ("--statistics", f"{tmp_path}/{owner}.safetensors")]
    out = ("--out", str(tmp_path / "set"))
    result = lgm("distill", *files, *out, *model, *given(("steps=3", "aug_rounds=1", "growth_interval=1")))
    assert result.exit_code == 0, result.output
    found = load_distilled(tmp_path / "set")
    assert found.facts["statistics"] == {"images": 18, "owners": [{}, {}]}
    assert (found.facts["method"]["objective"], found.facts["method"]["resolution"]) == ("means", 36)
    result = lgm("export", "--images", str(tmp_path / "set"), "--out", str(tmp_path / "release"))
    assert result.exit_code == 0, result.output
    card = (tmp_path / "release/README.md").read_text(encoding="utf-8")
    assert "class sums of features of 18 images, in 2 files" in card
    assert "those of the images' owners" in card


def test_too_few_images_for_a_promise_and_half_a_promise_are_one_message(
    photos: Path, tmp_path: Path
) -> None:
    where = ("--data", str(photos / "photos"), "--out", str(tmp_path / "some.safetensors"))
    model = ("--backbone", "timm:test_vit", "--checkpoint", str(photos / "vit.pth"), "--device", "cpu")
    asked = (*where, *model, *given(("input_size=32", "resolution=36")), "--epsilon", "1", "--delta", "0.1")
    result = lgm("statistics", *asked)
    assert (result.exit_code, "go together" in result.output) == (1, True)
    result = lgm("statistics", *asked, "--norm", "5")
    assert result.exit_code == 1
    assert "'blue' has 6" in result.output
    assert not list(tmp_path.iterdir())


def test_images_or_statistics_are_given_not_both(photos: Path, tmp_path: Path) -> None:
    model = ("--backbone", "timm:test_vit", "--out", str(tmp_path / "set"))
    assert "either --data or --statistics" in lgm("distill", *model).output
    both = ("--data", str(photos / "photos"), "--statistics", "some.safetensors")
    assert "either --data or --statistics" in lgm("distill", *model, *both).output


def test_check_counts_what_is_there_and_names_what_is_missing(photos: Path) -> None:
    data = ("--data", str(photos / "photos"))
    there = lgm("check", *data, "--backbone", "timm:test_vit", "--checkpoint", str(photos / "vit.pth"))
    assert there.exit_code == 0
    assert "18 training and 12 test images in 3 classes" in there.output
    gone = lgm("check", *data, "--backbone", "timm:test_vit", "--checkpoint", str(photos / "gone.pth"))
    assert gone.exit_code == 1
    assert "gone.pth" in gone.output


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("steps=0", "steps is 0; allowed: a whole number from 1"),
        ("stepps=3", "unknown key stepps"),
        ("init=ones", "init is 'ones'; allowed: normal | zero"),
        ("steps", "no key=value"),
    ],
)
def test_a_wrong_setting_is_one_message(photos: Path, setting: str, told: str) -> None:
    where = ("--data", str(photos / "photos"), "--out", str(photos / "other"))
    result = lgm("distill", *where, "--backbone", "timm:test_vit", "--setting", setting)
    assert result.exit_code == 1
    assert told in result.output
    assert not (photos / "other").exists()


def test_a_data_set_or_backbone_that_is_not_there_is_one_message(photos: Path) -> None:
    out = ("--out", str(photos / "other"))
    result = lgm("distill", "--data", "folder:nowhere", "--backbone", "timm:test_vit", *out)
    assert (result.exit_code, "nowhere" in result.output) == (1, True)
    result = lgm("distill", "--data", str(photos / "photos"), "--backbone", "nonesuch", *out)
    assert (result.exit_code, "'nonesuch' is unknown" in result.output) == (1, True)


@pytest.mark.slow
def test_the_library_and_the_command_need_no_pipeline() -> None:
    """Nothing that only an extra brings is imported, whatever part of the command is used."""
    program = (
        "import sys, json\n"
        "blocked = {'dvc', 'matplotlib', 'jinja2', 'pandas', 'sklearn', 'ruamel', 'stages'}\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in blocked:\n"
        "            raise ImportError(f'{name} is not installed')\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "import lgm_core.cli, lgm_core\n"
        "names = [name for name in lgm_core.__all__ if getattr(lgm_core, name) is None]\n"
        "print(json.dumps(names))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
