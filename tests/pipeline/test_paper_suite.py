"""Whole runs through the stages with the paper's suite, in miniature."""

from __future__ import annotations

from pathlib import Path

import open_clip
import pytest
import timm
import torch
from pipeline.whole_runs import LITTLE, LITTLE_PROBE, ROOT, pictures, run_table, show_only
from ruamel.yaml import YAML

from lgm_core.data.catalogue import DATASETS
from lgm_core.data.readers import IMAGENET1K, class_list
from lgm_core.foundation.layout import Layout
from lgm_core.preflight import inputs as inventory
from lgm_core.reporting.carried import OVER


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
def test_the_papers_table_2_runs_in_miniature(empty_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its suite, with few steps, small images, one block per transformer; ten classes stand for each set."""
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda tag, **named: create(tag, depth=1, **named))
    for tower in ("vision_cfg", "text_cfg"):
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS["ViT-B-16-quickgelu"][tower], "layers", 1)
    chosen = [*class_list_of("imagenet-fruits"), *class_list_of("imagenette")]
    assert set(chosen) < set(class_list(IMAGENET1K))
    for split in ("train", "val"):
        pictures(empty_project / "data/imagenet" / split, chosen, side=130)
    settings = YAML(typ="safe").load((ROOT / "suites/paper.yaml").read_text(encoding="utf-8"))
    assert settings["dataset_overrides"]["imagenet1k"]["aug_rounds"] == 3
    settings["datasets"] = {
        "imagenet100": {"source": "imagenet-fruits", "partial": True},
        "imagenet1k": {"source": "imagenette", "partial": True},
    }
    rows = save_random_weights(empty_project / "weights")
    settings["figure_backbones"] = {"dino": rows.pop("dino")}
    settings["backbones"] = rows
    show_only(settings, "imagenet100", "imagenet1k", "dinov2")
    settings |= {**LITTLE, "steps": 1, "real_batch": settings["real_batch"]}
    settings |= {"resolution": 128, "input_size": 112}
    settings["probe"] |= LITTLE_PROBE
    monkeypatch.setattr(inventory, "hub_answers", lambda: False)
    cells = run_table(settings, "table2")
    assert {cell["row"] for cell in cells} == {
        *rows, *(f"centroids/{name}" for name in rows), "random", "full", "ridge", *OVER,
    }  # fmt: skip
    assert len(cells) == 2 * (11 + 3) * 5
    # Ten classes of two images: their 30 views are more than the 20 images.
    settings_used = Layout(Path(), "paper").cell("imagenet1k", "clip").distilled / "settings.json"
    assert '"aug_rounds": 3' in settings_used.read_text(encoding="utf-8")
    assert '"real_batch": "views"' in settings_used.read_text(encoding="utf-8")
