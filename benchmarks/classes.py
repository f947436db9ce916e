"""Memory against the number of classes: python -m benchmarks.classes

For 100, 300, 1,000 and 3,000 classes of small noisy pictures, two small backbones with random weights run
through every stage, each a process of its own, whose peak of resident memory is told beside what it leaves on
the disk. What every process needs, torch and the model, is in the first column.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from ruamel.yaml import YAML

from benchmarks.measure import status_bytes, table
from lgm_core.settings.params import NOTHING

ROOT = Path(__file__).resolve().parent.parent
SUITE = ROOT / "suites" / "embedded.yaml"
DATASET = "many"
BACKBONES = ("conv", "vit")
SHOWN = ("table1", "table2", "figure1")
IMAGES = {"train": 4, "test": 2}
SIDE = 32
STAGES = (
    ("features", DATASET, "conv"), ("features", DATASET, "vit"), ("baselines", DATASET, "conv"),
    ("baselines", DATASET, "vit"), ("distill", DATASET, "conv"), ("distill", DATASET, "vit"),
    ("probe", DATASET, "conv"), ("probe", DATASET, "vit"), ("align", DATASET), ("tables", "table1"),
    ("tables", "table2"), ("figures", "figure1"), ("report",),
)  # fmt: skip
"""All that makes something, in an order that works."""
_SECONDS_BETWEEN_LOOKS = 0.01


@dataclass(frozen=True)
class Used:
    """What a stage took.

    Attributes:
        peak_bytes: most resident memory of its process.
        result_bytes: what it added to the results.
        seconds: until it ended.
    """

    peak_bytes: int
    result_bytes: int
    seconds: float


def write_pictures(folder: Path, classes: int) -> None:
    """Noise around a colour of its own for each class."""
    draws = np.random.default_rng(0)
    for number in range(classes):
        color = draws.uniform(40, 216, size=3)
        for split, count in IMAGES.items():
            place = folder / split / f"class{number:05}"
            place.mkdir(parents=True)
            for index in range(count):
                pixels = color + draws.normal(scale=20, size=(SIDE, SIDE, 3))
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(place / f"{index}.png")


def write_project(folder: Path, classes: int) -> None:
    """Pictures, weights, and settings that show Tables 1 and 2 and Figure 1 alone."""
    write_pictures(folder / "data" / DATASET, classes)
    rows = {}
    for name, tag in zip(BACKBONES, ("test_efficientnet", "test_vit"), strict=True):
        weights = timm.create_model(tag, num_classes=0, **({"img_size": SIDE} if name == "vit" else {}))
        torch.save(weights.state_dict(), folder / f"{name}.pth")
        rows[name] = {"source": f"timm:{tag}", "checkpoint": str(folder / f"{name}.pth")}
    settings: dict[str, Any] = YAML(typ="safe").load(SUITE.read_text(encoding="utf-8"))
    for part in ("tables", "figures"):
        for name, shown in settings[part].items():
            dataset, source = (DATASET, BACKBONES[0]) if name in SHOWN else (NOTHING, NOTHING)
            known = {"source": source, "sources": []}
            shown |= {key: known.get(key, dataset) for key in shown}
    settings |= {
        "suite": "classes", "datasets": {DATASET: f"folder:{DATASET}"}, "backbones": rows, "ensembles": {},
        "variants": {group: {} for group in settings["variants"]}, "steps": 4, "growth_interval": 1,
        "resolution": SIDE, "input_size": SIDE,
    }  # fmt: skip
    settings["probe"] |= {"epochs": 2, "full_epochs": 2}
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(settings, file)


def used(folder: Path, stage: Sequence[str]) -> Used:
    """Run a stage in a project.

    Raises:
        SystemExit: with what it said, if it fails.
    """
    before = _size(folder / "results")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "LGM_DATA": str(folder / "data"), "LGM_WORKERS": "0"}
    began = time.perf_counter()
    with (folder / "said.txt").open("w+", encoding="utf-8") as said:
        command = [sys.executable, "-P", "-m", f"stages.{stage[0]}", *stage[1:]]
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=said, stderr=said)
        peak = 0
        while process.poll() is None:
            peak = max(peak, _peak(process.pid))
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(stage)} failed: {said.read()[-2000:]}")
    seconds = time.perf_counter() - began
    return Used(peak, _size(folder / "results") - before, seconds)


def _peak(pid: int) -> int:
    """Most resident memory of a process since it began; 0 once it is gone."""
    try:
        return status_bytes("VmHWM", pid)
    except (OSError, StopIteration):
        return 0


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser("python -m benchmarks.classes", description=__doc__)
    parser.add_argument("--classes", type=int, nargs="+", default=[100, 300, 1000, 3000])
    asked = parser.parse_args(arguments)
    found: dict[str, list[Used]] = {}
    for classes in asked.classes:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            write_project(folder, classes)
            for stage in (("settings",), ("inputs", DATASET)):
                used(folder, stage)
            for stage in STAGES:
                found.setdefault(" ".join(stage), []).append(used(folder, stage))
                print(f"{classes} classes, {' '.join(stage)}: {found[' '.join(stage)][-1]}", file=sys.stderr)
    rows = [
        [
            stage,
            *(
                f"{one.peak_bytes / 2**20:,.0f} / {one.result_bytes / 2**20:,.1f} / {one.seconds:,.0f}"
                for one in all_used
            ),
        ]
        for stage, all_used in found.items()
    ]
    print("Peak of resident memory, MiB / added to the results, MiB / seconds\n")
    print(table(["stage", *(f"{classes:,} classes" for classes in asked.classes)], rows))


if __name__ == "__main__":
    main()
