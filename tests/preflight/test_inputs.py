"""Before anything runs, one message names all that is missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.sources import BackboneSource, DatasetSource
from lgm_core.models.catalogue import backbone_row
from lgm_core.models.hub import find_weights, hub_files
from lgm_core.preflight import inputs
from lgm_core.preflight.inputs import (
    DOWNLOAD,
    MISSING,
    PRESENT,
    check_counts,
    peers,
    require_inputs,
    survey_backbones,
    survey_dataset,
)
from lgm_core.settings.params import Params


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
    for told in ("CC-BY-NC-4.0", "vit-b-300ep.pth.tar", str(tmp_path)):
        assert told in message
    for boundary in ("LGM_INPUTS", "LGM_DATA", "make check", "params.yaml"):
        assert boundary not in message


def test_alone_asks_for_this_data_set_only(paper: Params, offline: None, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        require_inputs(paper, "imagenet100", tmp_path, alone=True)
    assert str(caught.value).startswith("5 of 5 inputs")
    assert "ImageNet-1k" not in str(caught.value)


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
    assert peers(paper, "fruits") == ["fruits"]


def test_peers_share_a_table_of_ones_own_and_none_is_no_peer(params: Callable[..., Params]) -> None:
    own = {"mine": {"kind": "pairs", "left": "polygons", "right": "digits"}}
    changed = params(own_tables=own, tables={"table2": {"right": "none"}})
    assert peers(changed, "polygons") == ["polygons", "digits"]
    assert peers(changed, "digits") == ["digits", "shapes", "polygons"]


def test_what_is_there_is_no_fault(params: Callable[..., Params], tmp_path: Path) -> None:
    lay_out(tmp_path)
    sets = {"mine": "folder:mine", "shapes": "toy:shapes", "digits": "digits"}
    changed = params(datasets=sets)
    require_inputs(changed, "mine", tmp_path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ipc": 4}, r"ipc is 4; allowed: at most 3, .*smallest class of mine"),
        ({"real_batch": 8}, r"real_batch is 8; allowed: at most 7, the training images of mine"),
        ({"dataset_overrides": {"mine": {"real_batch": 9}}}, r"real_batch is 9; allowed: at most 7"),
        ({"alignment": {"neighbors": 6}}, r"alignment.neighbors is 6; allowed: 1 to 5, for 6 test images"),
        ({"alignment": {"neighbors": 4, "samples": 4}}, r"alignment.neighbors is 4; allowed: 1 to 3"),
    ],
)
def test_more_than_there_is_is_told_before_anything_is_made(
    params: Callable[..., Params], tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    lay_out(tmp_path, per_class=3)
    first = next((tmp_path / "mine" / "train").rglob("*.png"))
    shutil.copyfile(first, first.with_name("another.png"))
    fitting = {"objective": "gradient", "head_bank": 0, "ridge_penalty": "none", "ridge_temperature": "none"}
    enough = {"ipc": 3, "real_batch": 7, "alignment": {"neighbors": 5}} | fitting
    enough |= {"tables": {"table6": {"dataset": "mine"}}}
    sets = {"mine": "folder:mine", "shapes": "toy:shapes", "digits": "digits"}
    check_counts(params(datasets=sets, **enough), "mine", tmp_path)
    with pytest.raises(InputError, match=told):
        check_counts(params(datasets=sets, **(enough | changes)), "mine", tmp_path)
    elsewhere = {"tables": {"table6": {"dataset": "shapes"}}}
    if "alignment" in changes:  # of a data set that no table of alignment shows it does not matter
        check_counts(params(datasets=sets, **(enough | changes | elsewhere)), "mine", tmp_path)


def test_a_single_class_is_nothing_to_tell_apart(params: Callable[..., Params], tmp_path: Path) -> None:
    lay_out(tmp_path, per_class=3)
    for split in ("train", "test"):
        shutil.rmtree(sorted((tmp_path / "mine" / split).iterdir())[0])
    sets = {"mine": "folder:mine", "shapes": "toy:shapes", "digits": "digits"}
    with pytest.raises(InputError, match="has the single class"):
        check_counts(params(datasets=sets), "mine", tmp_path)


def test_a_data_set_is_counted(tmp_path: Path) -> None:
    lay_out(tmp_path, per_class=3)
    finding = survey_dataset("mine", DatasetSource("folder:mine"), tmp_path)
    assert (finding.status, finding.images, finding.classes) == (PRESENT, (6, 6), 2)
    assert finding.told == "6 training and 6 test images in 2 classes"
    assert finding.title == "data set  mine           present  "


def test_groups_are_told_where_there_are_some(tmp_path: Path) -> None:
    finding = survey_dataset("birds", DatasetSource("toy:birds"), tmp_path)
    assert finding.status == PRESENT
    assert finding.told.endswith("in 2 classes, 4 groups")


def test_a_missing_data_set_has_its_expected_size(tmp_path: Path) -> None:
    finding = survey_dataset("birds", DatasetSource("cub"), tmp_path)
    assert (finding.status, finding.images, finding.classes) == (MISSING, (5994, 5794), 200)
    assert "CUB_200_2011.tgz" in finding.told
    assert survey_dataset("x", DatasetSource("folder:x"), tmp_path).classes == 0


def test_weights_are_present_downloadable_or_missing(
    paper: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = tmp_path / "model.safetensors"
    found = {"timm/vit_base_patch14_dinov2.lvd142m": str(cached)}
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache", lambda repository, name: found.get(repository)
    )
    monkeypatch.setattr(inputs, "hub_answers", lambda: True)
    status = {finding.name: finding.status for finding in survey_backbones(paper.backbones)}
    assert status == {"clip": DOWNLOAD, "dinov2": PRESENT, "eva02": DOWNLOAD, "mocov3": DOWNLOAD}
    monkeypatch.setattr(inputs, "hub_answers", lambda: False)
    lost = survey_backbones({"mocov3": BackboneSource("mocov3")})[0]
    assert lost.status == MISSING
    assert "nyu-visionx/moco-v3-vit-b (model.safetensors)" in lost.told


def test_an_unknown_backbone_and_a_missing_checkpoint_are_findings() -> None:
    wrong, gone = survey_backbones(
        {"wrong": BackboneSource("resnet"), "gone": BackboneSource("clip", checkpoint="no.pth")}
    )
    assert (wrong.status, gone.status) == (MISSING, MISSING)
    assert wrong.told.startswith("Backbone wrong: The backbone 'resnet' is unknown")
    assert gone.told.startswith("Backbone gone: Checkpoint no.pth")


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
    assert hub_files(backbone_row(BackboneSource(source)))[0] == repository


def test_a_missing_checkpoint_and_a_missing_folder_are_faults() -> None:
    with pytest.raises(InputError, match=r"Checkpoint no\.pth"):
        find_weights(backbone_row(BackboneSource("clip", checkpoint="no.pth")))
    with pytest.raises(InputError, match="Folder no of"):
        find_weights(backbone_row(BackboneSource("timm:local-dir:no")))
    with pytest.raises(InputError, match="knows no downloadable weights"):
        find_weights(backbone_row(BackboneSource("timm:no_such_model")))
