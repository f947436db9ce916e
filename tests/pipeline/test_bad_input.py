"""A stage that meets bad input says what to repair, and writes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pipeline.whole_runs import remove_backbone
from toy_project import DATASET, LAYOUT, PER_CLASS, run, snapshot, write_settings

from lgm_core.foundation.errors import InputError
from lgm_core.models.catalogue import ROWS, BackboneRow
from stages.advice import explained

pytestmark = pytest.mark.slow

# How the project is spoilt, the stage that meets it, and what its message says.


def _unknown_key(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    write_settings({**settings, "aug_round": 5})


def _not_yaml(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    Path("params.yaml").write_text("suite: [toy\n", encoding="utf-8")


def _no_params(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    Path("params.yaml").unlink()


def _bad_value(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    write_settings({**settings, "aug_rounds": "five"})


def _no_weights_package(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    row = BackboneRow("timm", "test_vit", package="absent-weights", module="absent_weights")
    patch.setitem(ROWS, "absent", row)
    settings["backbones"]["vit"] = "absent"
    write_settings(settings)


def _no_checkpoint(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    settings["backbones"]["vit"]["checkpoint"] = "gone.pth"
    write_settings(settings)


def _unknown_source(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    settings["datasets"][DATASET] = "zip:blobs"
    write_settings(settings)


def _no_data(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    patch.setenv("LGM_DATA", "elsewhere")


def _empty_class(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    for split in PER_CLASS:
        (Path("data") / DATASET / split / "violet").mkdir()


def _class_only_in_train(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(Path("data") / DATASET / "test" / "green")


def _damaged_image(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    path = Path("data") / DATASET / "train" / "red" / "3.png"
    path.write_bytes(path.read_bytes()[:60])


def _many_images_per_class(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    write_settings({**settings, "ipc": PER_CLASS["train"] + 1})


def _large_real_batch(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    write_settings({**settings, "real_batch": 19})


def _damaged_features(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    path = LAYOUT.cell(DATASET, "vit").features / "train.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _truncated_features(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    path = LAYOUT.cell(DATASET, "vit").features / "test.safetensors"
    path.write_bytes(path.read_bytes()[:100])


def _no_features(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(LAYOUT.cell(DATASET, "vit").features)


def _renamed_class(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    for split in PER_CLASS:
        folder = Path("data") / DATASET / split
        (folder / "red").rename(folder / "amber")


def _other_classes(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    """Renamed, and the features are of the new names already."""
    _renamed_class(settings, patch)
    run("features", DATASET, "vit")


def _intact(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    pass


Spoil = Callable[[dict[str, Any], pytest.MonkeyPatch], None]
BAD_INPUT: list[tuple[Spoil, tuple[str, ...], list[str]]] = [
    (_unknown_key, ("distill", DATASET, "vit"), ["aug_round;", "aug_rounds", "params.yaml"]),
    (_unknown_key, ("tables", "table1"), ["aug_round;", "params.yaml"]),
    (_not_yaml, ("align", DATASET), ["params.yaml", "not valid YAML"]),
    (_no_params, ("baselines", DATASET, "vit"), ["params.yaml is missing", "make suite"]),
    (_bad_value, ("features", DATASET, "vit"), ["aug_rounds", "'five'", "whole number"]),
    (_no_weights_package, ("features", DATASET, "vit"), ["pip install absent-weights"]),
    (_no_checkpoint, ("features", DATASET, "vit"), ["Checkpoint gone.pth", "test_vit"]),
    (_no_checkpoint, ("inputs", DATASET), ["Backbone vit", "gone.pth", "make check"]),
    (_unknown_source, ("features", DATASET, "vit"), ["zip:blobs", "folder:<path>"]),
    (_no_data, ("features", DATASET, "vit"), ["elsewhere/blobs/train", "<class>", "start at elsewhere"]),
    (_no_data, ("inputs", DATASET), ["elsewhere/blobs/train", "<class>", "the folder that LGM_DATA names"]),
    (_empty_class, ("features", DATASET, "vit"), ["violet"]),
    (_class_only_in_train, ("features", DATASET, "vit"), ["green", "only in train"]),
    (_damaged_image, ("features", DATASET, "vit"), ["red/3.png"]),
    (_many_images_per_class, ("baselines", DATASET, "vit"), ["ipc", "blue (6)"]),
    (_large_real_batch, ("distill", DATASET, "vit"), ["real_batch is 19", "18"]),
    (_damaged_features, ("distill", DATASET, "vit"), ["damaged", f"dvc repro -f features@{DATASET}-vit"]),
    (_truncated_features, ("align", DATASET), ["damaged", f"dvc repro -f features@{DATASET}-vit"]),
    (_no_features, ("distill", DATASET, "vit"), ["missing", f"features@{DATASET}-vit"]),
    (_renamed_class, ("probe", DATASET, "vit"), ["renamed", f"dvc repro -f features@{DATASET}-vit"]),
    (_other_classes, ("probe", DATASET, "vit"), ["amber", "red", f"dvc repro -f distill@{DATASET}-vit"]),
    (_intact, ("tables", "tabel2"), ["'tabel2'", "table1, table2"]),
    (_intact, ("features", "blob", "vit"), ["'blob'", DATASET]),
    (_intact, ("features", DATASET, "vti"), ["'vti'", "vit, conv"]),
    (_intact, ("baselines", "blob", "vit"), ["'blob'", DATASET]),
    (_intact, ("baselines", DATASET, "vti"), ["'vti'", "vit, conv"]),
    (_intact, ("distill", "blob", "vit"), ["'blob'", DATASET]),
    (_intact, ("distill", DATASET, "vti"), ["'vti'", "vit, conv"]),
    (_intact, ("probe", "blob", "vit"), ["'blob'", DATASET]),
    (_intact, ("probe", DATASET, "vti"), ["'vti'", "vit, conv"]),
    (_intact, ("align", "blob"), ["'blob'", DATASET]),
]


@pytest.mark.parametrize(
    ("spoil", "call", "words"),
    BAD_INPUT,
    ids=["-".join([case[0].__name__[1:], *case[1]]) for case in BAD_INPUT],
)
def test_bad_input_says_what_to_repair_and_writes_nothing(
    project: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    spoil: Spoil,
    call: tuple[str, ...],
    words: list[str],
) -> None:
    spoil(project, monkeypatch)
    before = snapshot()
    with pytest.raises(InputError) as caught:
        run(*call)
    message = explained(caught.value)
    assert [word for word in words if word not in message] == [], message
    assert snapshot() == before


def test_a_backbone_that_was_removed_is_not_probed(project: dict[str, Any]) -> None:
    remove_backbone(project, "conv")
    write_settings(project)
    before = snapshot()
    with pytest.raises(InputError, match="'conv' is not among"):
        run("probe", DATASET, "conv")
    assert snapshot() == before
