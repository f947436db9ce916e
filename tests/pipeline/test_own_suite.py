"""Whole runs through the stages: one's own folder and model in three lines, and the paper's suite."""

from __future__ import annotations

import csv
import importlib
import sys
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
from PIL import Image
from ruamel.yaml import YAML
from torchvision.datasets import ImageFolder

import lgm_core
from lgm_core.data.catalogue import DATASETS
from lgm_core.data.readers import IMAGENET1K, class_list
from lgm_core.foundation.layout import Layout
from lgm_core.preflight import inputs as inventory

ROOT = Path(__file__).resolve().parents[2]
LITTLE = {"steps": 2, "aug_rounds": 1, "head_draws": 1, "real_batch": "all", "real_rounds": 1}
LITTLE_PROBE = {
    "epochs": 4,
    "full_epochs": 2,
    "seeds": 2,
    "random_seeds": 2,
    "view_rounds": 1,
    "full_view_rounds": 1,
}


def run(verb: str, *arguments: str) -> None:
    """One stage, in this process."""
    importlib.import_module(f"stages.{verb}").main(*arguments)


def run_table(settings: dict[str, Any], table: str) -> list[dict[str, str]]:
    """All stages that a table needs, in order, and the table's rows."""
    with Path("params.yaml").open("w", encoding="utf-8") as out:
        YAML().dump(settings, out)
    datasets = list(dict.fromkeys(settings["tables"][table].values()))
    for dataset in datasets:
        run("inputs", dataset)
        run("overrides", dataset)
        for verb in ("features", "baselines", "distill", "probe"):
            for backbone in settings["backbones"]:
                run(verb, dataset, backbone)
    run("tables", table)
    path = Layout(Path(), settings["suite"]).table(table, ".csv")
    with path.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def pictures(root: Path, names: list[str], *, side: int, count: int = 2) -> None:
    """Noisy pictures, a shade for every class, as `<root>/<name>/<k>.png`."""
    generator = torch.Generator().manual_seed(len(str(root)))
    for shade, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for number in range(count):
            noise = torch.randint(0, 60, (side, side, 3), generator=generator)
            pixels = (noise + 180 * shade // len(names)).byte().numpy()
            Image.fromarray(pixels).save(root / name / f"{number}.png")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder that is current, with data below it."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"LGM_DATA": str(tmp_path / "data"), "LGM_WORKERS": "0", "LGM_DEVICE": "cpu"}.items():
        monkeypatch.setenv(name, value)
    return tmp_path


# Two lines more, and one changed.
OWN_LINES = {
    "  shapes: toy:shapes": "  shapes: toy:shapes\n  pets: folder:pets",
    "  lite0: efficientnet_lite0": "  lite0: efficientnet_lite0\n  own: timm:local-dir:weights/own",
    "  table2:\n    left: shapes": "  table2:\n    left: pets",
}


def show_only(settings: dict[str, Any], left: str, right: str, source: str) -> None:
    """Let all tables and figures show what the settings still list."""
    places = {"left": left, "dataset": left, "right": right, "source": source}
    for part in ("tables", "figures"):
        for shown in settings[part].values():
            shown |= {place: places[place] for place in shown}


def own_settings() -> dict[str, Any]:
    """The embedded suite with three lines of one's own, and little of everything."""
    text = (ROOT / "suites/embedded.yaml").read_text(encoding="utf-8")
    for line, own in OWN_LINES.items():
        assert line in text
        text = text.replace(line, own)
    settings = YAML(typ="safe").load(text)
    settings["backbones"] = {"own": settings["backbones"]["own"]}
    show_only(settings, "pets", "pets", "own")
    settings |= {**LITTLE, "resolution": 36, "input_size": 32, "growth_interval": 1}
    settings["probe"] |= LITTLE_PROBE
    return settings


def test_own_folder_and_own_model_take_three_lines(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "test"):
        pictures(project / "data/pets" / split, ["cat", "dog", "owl"], side=40, count=3)
    model = timm.create_model("test_vit", num_classes=4)
    timm.models.save_for_hf(model, project / "weights/own")
    rows = run_table(own_settings(), "table2")
    assert {(row["dataset"], row["row"], row["column"]) for row in rows} == {
        ("pets", row, column) for row in ("own", "full") for column in ("own", "average")
    }

    run("export", "pets", "own", "release")
    found = lgm_core.load_distilled("release")
    assert found.classes == ("cat", "dog", "owl")
    assert found.facts["settings"]["weights"] == "timm:local-dir:weights/own"
    assert found.images.shape == (3, 3, 36, 36)
    assert ImageFolder("release/train").classes == ["cat", "dog", "owl"]
    assert "folder:pets; state them" in (project / "release/README.md").read_text(encoding="utf-8")

    capsys.readouterr()
    for place, dataset in (
        ("release", ""),
        ("release/train", "pets"),
        ("results/embedded/pets/distilled/own", ""),
    ):
        run("probe_images", place, "timm:local-dir:weights/own", dataset)
        assert "top1" in capsys.readouterr().out


def test_the_probe_command_takes_options(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, ...]] = []
    module = importlib.import_module("stages.probe_images")
    monkeypatch.setattr(module, "main", lambda *given: seen.append(given))
    monkeypatch.setattr(sys, "argv", ["stages/probe.py", "--images", "x", "--backbone", "clip"])
    module.run()
    assert seen == [("x", "clip", "")]


def save_random_weights(folder: Path) -> dict[str, dict[str, str]]:
    """Random weights of the paper's backbones in the authors' layouts, and the rows that name them."""
    weights: dict[str, dict[str, torch.Tensor]] = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights["clip"] = dict(open_clip.create_model("ViT-B-16-quickgelu").state_dict())
        for name, tag in (("dinov2", "vit_base_patch14_dinov2"), ("eva02", "eva02_base_patch14_224")):
            weights[name] = timm.create_model(tag, num_classes=0).state_dict()
        moco = timm.create_model("vit_base_patch16_224", num_classes=0).state_dict()
    weights["dino"] = moco
    weights["mocov3"] = {f"module.base_encoder.{key}": value for key, value in moco.items()}
    folder.mkdir()
    for name, content in weights.items():
        torch.save({"state_dict": content}, folder / f"{name}.pth")
    return {name: {"source": name, "checkpoint": f"{folder.name}/{name}.pth"} for name in weights}


def class_list_of(subset: str) -> tuple[str, ...]:
    """The wnids of a subset of ImageNet."""
    return DATASETS[subset].read.keywords["classes"]  # type: ignore[attr-defined]


@pytest.mark.slow
def test_the_papers_table_2_runs_in_miniature(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its suite, with few steps, small images, one block per transformer; ten classes stand for each set."""
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda tag, **named: create(tag, depth=1, **named))
    for tower in ("vision_cfg", "text_cfg"):
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS["ViT-B-16-quickgelu"][tower], "layers", 1)
    chosen = [*class_list_of("imagenet-fruits"), *class_list_of("imagenette")]
    assert set(chosen) < set(class_list(IMAGENET1K))
    for split in ("train", "val"):
        pictures(project / "data/imagenet" / split, chosen, side=130)
    settings = YAML(typ="safe").load((ROOT / "suites/paper.yaml").read_text(encoding="utf-8"))
    assert settings["dataset_overrides"]["imagenet1k"]["aug_rounds"] == 3
    settings["dataset_overrides"]["imagenet1k"]["real_batch"] = "all"
    settings["datasets"] = {
        "imagenet100": {"source": "imagenet-fruits", "partial": True},
        "imagenet1k": {"source": "imagenette", "partial": True},
    }
    rows = save_random_weights(project / "weights")
    settings["figure_backbones"] = {"dino": rows.pop("dino")}
    settings["backbones"] = rows
    show_only(settings, "imagenet100", "imagenet1k", "dinov2")
    settings |= {**LITTLE, "steps": 1, "resolution": 128, "input_size": 112}
    settings["probe"] |= LITTLE_PROBE
    monkeypatch.setattr(inventory, "hub_answers", lambda: False)
    cells = run_table(settings, "table2")
    assert {cell["row"] for cell in cells} == {*rows, "full"}
    assert len(cells) == 2 * 5 * 5
    settings_used = Layout(Path(), "paper").distilled("imagenet1k", "clip") / "settings.json"
    assert '"aug_rounds": 3' in settings_used.read_text(encoding="utf-8")
