"""Whole runs through the stages with a suite of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from pipeline.whole_runs import LITTLE, LITTLE_PROBE, pictures, run, run_table
from ruamel.yaml import YAML
from torchvision.datasets import ImageFolder

import lgm_core
from lgm_core.foundation.layout import Layout
from stages.own_suite import own_suite

pytestmark = pytest.mark.slow


def own_settings() -> dict[str, Any]:
    """The suite that `make suite` writes for one folder and one model, with little of everything."""
    text = own_suite("mine", ["folder:pets"], ["timm:local-dir:weights/own"], 32)
    settings = YAML(typ="safe").load(text)
    settings |= {**LITTLE, "growth_interval": 1}
    settings["probe"] |= LITTLE_PROBE
    return settings


def test_own_folder_and_own_model(empty_project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "test"):
        pictures(empty_project / "data/pets" / split, ["cat", "dog", "owl"], side=40, count=3)
    model = timm.create_model("test_vit", num_classes=4)
    timm.models.save_for_hf(model, empty_project / "weights/own")
    rows = run_table(own_settings(), "table2")
    assert {(row["dataset"], row["row"], row["column"]) for row in rows} == {
        ("pets", row, column)
        for row in ("own", "centroids/own", "random", "full", "ridge")
        for column in ("own", "average")
    }

    run("export", "pets", "own", "release")
    found = lgm_core.load_distilled("release")
    assert found.classes == ("cat", "dog", "owl")
    assert found.facts["settings"]["weights"] == "timm:local-dir:weights/own"
    assert found.images.shape == (3, 3, 37, 37)
    assert ImageFolder("release/train").classes == ["cat", "dog", "owl"]
    assert "folder:pets; state them" in (empty_project / "release/README.md").read_text(encoding="utf-8")

    capsys.readouterr()
    for place, dataset in (
        ("release", ""),
        ("release/train", "pets"),
        ("results/mine/pets/distilled/own", ""),
    ):
        run("probe_images", place, "timm:local-dir:weights/own", dataset)
        assert "top1" in capsys.readouterr().out


def test_tables_of_ones_own_are_made_from_the_same_results(empty_project: Path) -> None:
    for split in ("train", "test"):
        pictures(empty_project / "data/pets" / split, ["cat", "dog", "owl"], side=40, count=3)
    for seed, name in enumerate(("own", "other")):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = timm.create_model("test_vit", num_classes=4)
        timm.models.save_for_hf(model, empty_project / "weights" / name)
    settings = own_settings()
    settings["backbones"] = {name: f"timm:local-dir:weights/{name}" for name in ("own", "other")}
    settings["alignment"] |= {"neighbors": 2, "samples": 6}
    settings["own_tables"] = {
        kind: {"kind": kind, "left": "pets", "right": "none"} for kind in ("cross_model", "pairs", "matrices")
    }
    run_table(settings, "table1")
    run("align", "pets")
    for name in settings["own_tables"]:
        run("tables", name)
        text = Layout(Path(), "mine").table(name, ".md").read_text(encoding="utf-8")
        assert text.startswith(f"# {name}\n")
        assert "other" in text
