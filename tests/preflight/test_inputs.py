"""Before anything runs, one message names all that is missing, and the costs are counted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from ruamel.yaml import YAML

from lgm_core.foundation.errors import InputError
from lgm_core.models.catalogue import backbone_row
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.models.hub import find_weights, hub_files
from lgm_core.models.libraries import load_backbone
from lgm_core.preflight import inputs as inventory
from lgm_core.preflight.costs import Size, Speed, estimate, format_bytes, format_seconds, measure_speed
from lgm_core.preflight.inputs import (
    DOWNLOAD,
    MISSING,
    PRESENT,
    peers,
    require_inputs,
    survey_backbones,
    survey_dataset,
)
from lgm_core.settings.params import Params, parse_params

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def paper() -> Params:
    """The paper's suite."""
    return parse_params(YAML(typ="safe").load((ROOT / "suites/paper.yaml").read_text(encoding="utf-8")))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No hub, and nothing in its cache."""
    monkeypatch.setattr(inventory, "hub_answers", lambda: False)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *names: None)


def lay_out(root: Path, name: str = "mine", per_class: int = 2) -> None:
    """A folder data set of two classes."""
    for split in ("train", "test"):
        for owner in ("a", "b"):
            (root / name / split / owner).mkdir(parents=True)
            for number in range(per_class):
                Image.new("RGB", (4, 4)).save(root / name / split / owner / f"{number}.png")


def test_one_message_names_every_missing_input(paper: Params, offline: None, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        require_inputs(paper, "imagenet100", tmp_path)
    message = str(caught.value)
    assert message.startswith("6 of 6 inputs of suite paper are missing")
    for told in ("ImageNet-100", "ImageNet-1k", *(f"Backbone {name}:" for name in paper.backbones)):
        assert told in message
    assert "waterbirds" not in message.lower()
    for told in ("LGM_INPUTS=own", "make check", "CC-BY-NC-4.0", "vit-b-300ep.pth.tar", str(tmp_path)):
        assert told in message


def test_alone_asks_for_this_data_set_only(paper: Params, offline: None, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        require_inputs(paper, "imagenet100", tmp_path, alone=True)
    assert "ImageNet-1k" not in str(caught.value)
    assert "LGM_INPUTS" not in str(caught.value)


def test_only_figure_8s_data_set_asks_for_the_weights_of_its_backbone(
    paper: Params, offline: None, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"6 of 6 inputs[\s\S]*Backbone dino: no weights"):
        require_inputs(paper, "artbench", tmp_path)
    with pytest.raises(InputError) as caught:
        require_inputs(paper, "fruits", tmp_path)
    assert "Backbone dino:" not in str(caught.value)


def test_peers_share_a_table(paper: Params) -> None:
    assert peers(paper, "imagenet1k") == ["imagenet1k", "imagenet100"]
    assert peers(paper, "cub") == ["cub", "dogs"]


def test_what_is_there_is_no_fault(params: Callable[..., Params], tmp_path: Path) -> None:
    lay_out(tmp_path)
    changed = params(datasets={"mine": "folder:mine", "shapes": "toy:shapes", "digits": "digits"})
    require_inputs(changed, "mine", tmp_path)


def test_a_data_set_is_counted(tmp_path: Path) -> None:
    lay_out(tmp_path, per_class=3)
    finding = survey_dataset("mine", {"source": "folder:mine"}, tmp_path)
    assert (finding.status, finding.images, finding.classes) == (PRESENT, (6, 6), 2)
    assert finding.told == "6 training and 6 test images in 2 classes"


def test_a_missing_data_set_has_its_expected_size(tmp_path: Path) -> None:
    finding = survey_dataset("birds", {"source": "cub"}, tmp_path)
    assert (finding.status, finding.images, finding.classes) == (MISSING, (5994, 5794), 200)
    assert "CUB_200_2011.tgz" in finding.told
    assert survey_dataset("x", {"source": "folder:x"}, tmp_path).classes == 0


def test_weights_are_present_downloadable_or_missing(
    paper: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = tmp_path / "model.safetensors"
    found = {"timm/vit_base_patch14_dinov2.lvd142m": str(cached)}
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache", lambda repository, name: found.get(repository)
    )
    monkeypatch.setattr(inventory, "hub_answers", lambda: True)
    status = {finding.name: finding.status for finding in survey_backbones(paper.backbones)}
    assert status == {"clip": DOWNLOAD, "dinov2": PRESENT, "eva02": DOWNLOAD, "mocov3": DOWNLOAD}
    monkeypatch.setattr(inventory, "hub_answers", lambda: False)
    lost = survey_backbones({"mocov3": {"source": "mocov3"}})[0]
    assert lost.status == MISSING
    assert "nyu-visionx/moco-v3-vit-b (model.safetensors)" in lost.told


@pytest.mark.parametrize(
    ("source", "repository"),
    [
        ("clip", "timm/vit_base_patch16_clip_224.openai"),
        ("dinov2", "timm/vit_base_patch14_dinov2.lvd142m"),
        ("eva02", "timm/eva02_base_patch14_224.mim_in22k"),
        ("mocov3", "nyu-visionx/moco-v3-vit-b"),
        ("dino", "timm/vit_base_patch16_224.dino"),
        ("timm:hf-hub:someone/model@main", "someone/model"),
    ],
)
def test_hub_repositories_of_the_rows(source: str, repository: str) -> None:
    assert hub_files(backbone_row(source))[0] == repository


def test_a_missing_checkpoint_and_a_missing_folder_are_faults() -> None:
    with pytest.raises(InputError, match=r"Checkpoint no\.pth"):
        find_weights(backbone_row("clip", {"checkpoint": "no.pth"}))
    with pytest.raises(InputError, match="Folder no of"):
        find_weights(backbone_row("timm:local-dir:no"))
    with pytest.raises(InputError, match="knows no downloadable weights"):
        find_weights(backbone_row("timm:no_such_model"))


def test_costs_are_counted_by_hand(params: Callable[..., Params]) -> None:
    changed = params(
        ipc=2, steps=10, aug_rounds=3, real_rounds=4, resolution=64,
        probe={"view_rounds": 5, "full_view_rounds": 1, "random_seeds": 6},
        dataset_overrides={"digits": {"aug_rounds": 1}},
    )  # fmt: skip
    speeds = {"one": Speed(1.0, 2.0, 10), "two": Speed(3.0, 4.0, 20)}
    cost = estimate(changed, "shapes", Size(100, 50, 7), speeds, workers=1)
    assert cost.features_seconds == (100 * 6 + 50) * (1 + 3)
    assert cost.distill_seconds == 10 * 14 * 3 * (2 + 4)
    assert cost.probe_seconds == 14 * 6 * (2 + 2 + 6) * (1 + 3)
    assert cost.disk_bytes == 650 * 30 * 4 + 2 * 14 * 3 * 64 * 64 * 4
    assert cost.seconds == cost.features_seconds + cost.distill_seconds + cost.probe_seconds
    assert estimate(changed, "digits", Size(100, 50, 7), speeds, workers=1).distill_seconds == 10 * 14 * 6


def test_decoding_bounds_the_time_of_features_from_below(params: Callable[..., Params]) -> None:
    fast = {"one": Speed(1e-9, 1e-9, 10)}
    one, four = (
        estimate(params(), "shapes", Size(900, 100, 2), fast, workers=n).features_seconds for n in (1, 4)
    )
    assert one == pytest.approx(10)
    assert four == pytest.approx(2.5)


def test_speed_is_measured_without_weights(tiny_backbone: Callable[..., FrozenBackbone]) -> None:
    speed = measure_speed(tiny_backbone(width=5), 16, batch=2)
    assert speed.width == 5
    assert 0 < speed.forward_seconds < 1
    assert 0 < speed.gradient_seconds < 1
    assert load_backbone(backbone_row("timm:test_vit"), input_size=32, pretrained=False).width(32) == 64


def test_numbers_are_written_for_people() -> None:
    assert [format_seconds(seconds) for seconds in (5, 600, 9000, 400_000)] == [
        "5 s",
        "10 min",
        "2.5 h",
        "4.6 days",
    ]
    assert [format_bytes(count) for count in (3e6, 2.5e9)] == ["3 MB", "2.5 GB"]


def test_overrides_are_settings_of_data_sets_that_exist(params: Callable[..., Params], paper: Params) -> None:
    assert paper.for_dataset("imagenet1k").aug_rounds == 3
    assert paper.for_dataset("imagenet100") == paper.method
    assert paper.method.aug_rounds == 10
    for wrong, message in (
        ({"nowhere": {"steps": 3}}, "one of datasets: shapes, digits"),
        ({"shapes": {"stps": 3}}, r"dataset_overrides\.shapes is"),
        ({"shapes": {"ipc": 3}}, r"dataset_overrides\.shapes is"),
        ({"shapes": {"steps": 0}}, "steps is 0"),
        ([], "dataset_overrides is"),
    ):
        with pytest.raises(InputError, match=message):
            params(dataset_overrides=wrong)


@pytest.mark.slow
def test_the_check_reports_and_fails_where_something_is_missing(tmp_path: Path) -> None:
    settings = YAML(typ="safe").load((ROOT / "suites/embedded.yaml").read_text(encoding="utf-8"))
    settings["datasets"] = {"shapes": "toy:shapes", "digits": "cub"}
    settings["backbones"] = {"lite0": "efficientnet_lite0"}
    for part in ("tables", "figures"):
        for shown in settings[part].values():
            for place in {"left", "right", "dataset"} & set(shown):
                shown[place] = "digits" if place == "right" else "shapes"
    with (tmp_path / "params.yaml").open("w", encoding="utf-8") as out:
        YAML().dump(settings, out)
    environment = {
        "PYTHONPATH": str(ROOT),
        "LGM_DEVICE": "cpu",
        "PATH": "/usr/bin:/bin",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "stages.check"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    assert "2,000 training and 1,000 test images in 10 classes" in done.stdout
    assert "MISSING   Data set cub" in done.stdout
    assert "images/s with gradient" in done.stdout
    assert "1 of 3 are missing: digits." in done.stdout
