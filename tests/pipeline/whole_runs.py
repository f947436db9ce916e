"""Whole runs through the stages: all that a table needs, in this process."""

from __future__ import annotations

import csv
import importlib
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from ruamel.yaml import YAML
from settings.suite_values import left_out

from lgm_core.foundation.layout import Layout
from lgm_core.settings.places import LISTS

ROOT = Path(__file__).resolve().parents[2]
LITTLE = {"steps": 2, "aug_rounds": 1, "head_draws": 1, "real_batch": "all", "real_rounds": 1}
LITTLE_PROBE = {
    "epochs": 4,
    "full_epochs": 2,
    "seeds": 2,
    "random_seeds": 2,
    "view_rounds": 2,
    "full_view_rounds": 1,
}


def run(verb: str, *arguments: str) -> None:
    """One stage, in this process."""
    importlib.import_module(f"stages.{verb}").main(*arguments)


def run_table(settings: dict[str, Any], table: str) -> list[dict[str, str]]:
    """All stages that a table needs, in order, and the table's rows."""
    with Path("params.yaml").open("w", encoding="utf-8") as out:
        YAML().dump(settings, out)
    shown = settings["tables"][table].values()
    datasets = [name for name in dict.fromkeys(shown) if name != "none"]
    run("settings")
    for dataset in datasets:
        run("inputs", dataset)
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


def show_only(settings: dict[str, Any], left: str, right: str, source: str) -> None:
    """Let all tables and figures show what the settings still list."""
    places = {"left": left, "dataset": left, "right": right, "source": source, "sources": [source]}
    places["backbones"] = [source]
    for part in ("tables", "figures"):
        for shown in settings[part].values():
            shown |= {place: places[place] for place in shown}


def leave_out(settings: dict[str, Any], *names: str) -> None:
    """Leave out tables and figures, with what they alone show."""
    alone = {
        "table3": "ablation",
        "table9": "longer",
        "table10": "objectives",
        "figure9": "ipc",
        "figure10": "recipes",
    }
    for name in names:
        part = "tables" if name.startswith("table") else "figures"
        settings[part][name] = left_out(settings[part][name])
        if name in alone:
            settings["variants"][alone[name]] = {}
    if "table9" in names:
        settings["ensembles"] = {}


def remove_backbone(settings: dict[str, Any], name: str) -> None:
    """Take a backbone out of the settings, wherever they name it; with it Table 9."""
    del settings["backbones"][name]
    leave_out(settings, "table9")
    for shown in settings["tables"].values():
        for place in set(LISTS) & set(shown):
            shown[place] = [one for one in shown[place] if one in settings["backbones"]]
