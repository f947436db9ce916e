"""A toy cell from images to tables, through the stages themselves: small pictures, small random backbones."""

from __future__ import annotations

import copy
import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml
from PIL import Image
from ruamel.yaml import YAML

from lgm_core.foundation.layout import Layout

ROOT = Path(__file__).resolve().parents[1]
DATASET, BACKBONES = "blobs", ("vit", "conv")
SHOWN = "shown"
"""The backbone of Figure 8 alone."""
# Worst-group accuracy needs groups, which folders do not have.
GROUPED = "birds"
ENSEMBLE = "both"
VARIANTS = {
    "ablation": {"pixels": {"parameterization": "pixels"}},
    "rounds": {"once": {"aug_rounds": 1}},
    "longer": {"twofold": {"steps": 8}},
    "objectives": {"ridge": {"objective": "ridge", "ridge_penalty": 1.0, "ridge_temperature": 0}},
    "ipc": {"two": {"ipc": 2}, "two_clusters": {"ipc": 2, "slots": "clusters", "init": "real"}},
    "recipes": {"means": {"objective": "means", "aug_rounds": 1}},
}
OF_ALL_BACKBONES = ("ablation", "longer", "objectives")
"""Groups of variants that are made of every backbone; the others of the first."""
TABLES = [f"table{number}" for number in range(1, 12)]
FIGURES = [*(f"figure{number}" for number in (1, 3, 4, 5, 6, 7, 8, 9, 10)), "alignment", "losses"]
PLOTS = ["figure3", "figure4", "figure9", "figure10", "alignment", "losses"]
DISTILLATIONS = 2
PER_CLASS = {"train": 6, "test": 4}
COLORS = {"blue": (0.1, 0.2, 0.9), "green": (0.1, 0.8, 0.2), "red": (0.9, 0.2, 0.1)}
LAYOUT = Layout(Path(), "toy", ensembles=frozenset({ENSEMBLE}))


def write_dataset(folder: Path) -> None:
    """Noisy pictures of three colours, 40 × 36 pixels, in train and test."""
    generator = torch.Generator().manual_seed(0)
    for split, count in PER_CLASS.items():
        for name, color in COLORS.items():
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                noise = torch.randn(36, 40, 3, generator=generator) * 0.15
                pixels = ((torch.tensor(color) + noise).clamp(0, 1) * 255).byte()
                Image.fromarray(pixels.numpy()).save(folder / split / name / f"{number}.png")


def write_checkpoints(folder: Path) -> dict[str, dict[str, str]]:
    """Random weights of two small models, and the rows of params.yaml that name them."""
    rows = {}
    for name, tag, size in (("vit", "test_vit", {"img_size": 32}), ("conv", "test_efficientnet", {})):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            weights = timm.create_model(tag, num_classes=0, **size).state_dict()
        torch.save(weights, folder / f"{name}.pth")
        rows[name] = {"source": f"timm:{tag}", "checkpoint": str(folder / f"{name}.pth")}
    return rows


def toy_settings(rows: dict[str, dict[str, str]]) -> dict[str, Any]:
    """The embedded suite with little of everything."""
    settings = YAML(typ="safe").load((ROOT / "suites" / "embedded.yaml").read_text(encoding="utf-8"))
    for part in ("tables", "figures"):
        for shown in settings[part].values():
            known = {"source": BACKBONES[0], "sources": [BACKBONES[0], ENSEMBLE]}
            known["backbones"] = list(BACKBONES)
            shown |= {place: known.get(place, DATASET) for place in shown}
    settings["figures"]["figure8"]["source"] = SHOWN
    settings["tables"]["table4"] = {"left": GROUPED, "right": GROUPED}
    settings |= {
        "suite": "toy",
        "datasets": {DATASET: f"folder:{DATASET}", GROUPED: f"toy:{GROUPED}"},
        "variants": copy.deepcopy(VARIANTS),
        "backbones": rows,
        "ensembles": {ENSEMBLE: list(BACKBONES)},
        "figure_backbones": {SHOWN: rows["conv"]},
        "distillations": DISTILLATIONS,
        "objective": "gradient",
        "steps": 4,
        "aug_rounds": 2,
        "head_draws": 2,
        "growth_interval": 1,
        "resolution": 36,
        "input_size": 32,
    }
    settings["probe"] |= {"epochs": 8, "full_epochs": 3, "batch_size": 8, "seeds": 2, "random_seeds": 3}
    settings["probe"] |= {"view_rounds": 4, "full_view_rounds": 2}
    settings["alignment"] |= {"neighbors": 3, "samples": 10}
    return settings


def write_settings(settings: dict[str, Any]) -> None:
    """Make the settings the active ones of the current folder."""
    Path("params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


def run(verb: str, *arguments: str) -> None:
    """Run a stage in this process, in the current folder."""
    importlib.import_module(f"stages.{verb}").main(*arguments)


def stage_calls() -> list[tuple[str, ...]]:
    """Every stage of the toy cell but `code`, with its arguments, in an order that works."""
    cells = [
        (verb, dataset, name)
        for dataset in (DATASET, GROUPED)
        for verb in ("features", "baselines", "distill", "probe")
        for name in BACKBONES
    ]
    variants = [call for cell in variant_cells() for call in variant_calls(*cell)]
    variants += [(verb, DATASET, SHOWN) for verb in ("features", "baselines", "distill", "probe")]
    together = [(verb, DATASET, ENSEMBLE) for verb in ("distill", "probe")]
    together += [("judge", DATASET, source) for source in (BACKBONES[0], ENSEMBLE)]
    shown = [*(("tables", name) for name in TABLES), *(("figures", name) for name in FIGURES)]
    checks = [("settings",), *(("inputs", dataset) for dataset in (DATASET, GROUPED))]
    aligned = [("align", dataset) for dataset in (DATASET, GROUPED)]
    return [*checks, *cells, *variants, *together, *aligned, *shown, ("report",)]


def variant_cells() -> list[tuple[str, str]]:
    """Backbone and variant, of all variants that there are."""
    return [
        (name, f"{group}/{label}")
        for group, labels in VARIANTS.items()
        for name in (BACKBONES if group in OF_ALL_BACKBONES else BACKBONES[:1])
        for label in labels
    ]


def variant_calls(name: str, variant: str) -> list[tuple[str, ...]]:
    """The stages of a variant."""
    distill = "distill_ipc" if variant.startswith("ipc/") else "distill"
    return [(distill, DATASET, name, variant), ("probe", DATASET, name, variant)]


def enter(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Make `folder` the project: data, machine and current folder."""
    patch.chdir(folder)
    patch.setenv("LGM_DATA", str(folder / "data"))
    patch.setenv("LGM_WORKERS", "0")
    patch.setenv("LGM_DEVICE", "cpu")
    patch.delenv("LGM_MICRO_BATCH", raising=False)


def start_project(folder: Path) -> dict[str, Any]:
    """Data, weights and params.yaml of the toy cell in a folder that is current already; the settings."""
    write_dataset(folder / "data" / DATASET)
    settings = toy_settings(write_checkpoints(folder))
    write_settings(settings)
    return settings


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def snapshot(folder: Path = Path()) -> dict[str, bytes]:
    """Every result file and its bytes, hidden and temporary ones too."""
    files = [path for top in ("results", "metrics") for path in (folder / top).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
