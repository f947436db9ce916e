"""What a setting is worth, told without the test set: python -m benchmarks.variance

Distils a data set from three quarters of its training images and probes on the rest, several times from draws
of their own. By default it compares 1 and 8 heads a step, a batch and the whole bank of real features, each
for the same number of seconds (from its own measured time per step), probing on the way, and writes
docs/variance.{png,csv}. With --vary KEY VALUE … it compares values of one setting, each with its own number
of steps, and prints a table.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML

from benchmarks.held_out import held_out
from lgm_core.data.sources import load_images
from lgm_core.evaluation.small_sets import LabeledImages, evaluate_sets
from lgm_core.features.cache import FeatureCache
from lgm_core.features.extraction import extract_features
from lgm_core.foundation.store import replacing, write_text
from lgm_core.method.distiller import Distiller
from lgm_core.method.real import real_bank
from lgm_core.models.cpu.allocator import keep_freed_memory
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.models.libraries import open_backbone
from lgm_core.settings.method import WHOLE_BANK, checked_settings
from lgm_core.settings.params import Params, parse_params

WAYS: dict[str, dict[str, Any]] = {
    "1 head, batch of 100": {"head_draws": 1, "real_batch": 100},
    "8 heads, batch of 100": {"head_draws": 8, "real_batch": 100},
    "1 head, whole bank": {"head_draws": 1, "real_batch": WHOLE_BANK},
    "8 heads, whole bank": {"head_draws": 8, "real_batch": WHOLE_BANK},
}
_PARTS = 4
"""Probes on the way of a run."""


@dataclass(frozen=True)
class Point:
    """One probe on the way: of which way and seed, after how many steps and seconds; top-1 in percent."""

    way: str
    seed: int
    steps: int
    seconds: float
    top1: float


@dataclass(frozen=True)
class Ground:
    """What all runs share: settings, backbone, and features whose test part are held-out training images."""

    params: Params
    backbone: FrozenBackbone
    cache: FeatureCache


def prepare(params: Params, dataset: str, backbone: str, share: float, workers: int) -> Ground:
    """Open the backbone, and make the features; the test images are never opened."""
    keep_freed_memory()
    opened = open_backbone(
        params.backbones[backbone],
        input_size=params.method.input_size,
        normalization=params.normalization,
        device="cuda" if torch.cuda.is_available() else "cpu",
        precision="auto",
    )
    data = Path(os.environ.get("LGM_DATA", "data"))
    splits = held_out(load_images(params.datasets[dataset], "train", data), share, params.seed)
    spec = replace(params.features(), full_view_rounds=0)
    cache = extract_features(opened, splits, spec, seed=params.seed, workers=workers)
    return Ground(params, opened, cache)


def _changed(ground: Ground, changes: dict[str, Any]) -> tuple[Ground, dict[str, Any]]:
    """The ground with as many rounds of real views as are asked for, and the method's own changes."""
    own = {key: value for key, value in changes.items() if key != "real_rounds"}
    if "real_rounds" in changes:
        views = ground.cache.real_views[: changes["real_rounds"]]
        ground = replace(ground, cache=replace(ground.cache, real_views=views))
    return ground, checked_settings(own, tuple(own))


def _steps_within(ground: Ground, changes: dict[str, Any], seconds: float) -> dict[str, Any]:
    """As many steps as fit into the time, growing at the same shares of them."""
    method = replace(ground.params.method, **changes)
    bank = real_bank(ground.cache, method)
    whole = replace(method, pyramid_start=method.resolution)
    trial = Distiller(ground.backbone, bank, whole, seed=0)
    trial.step()
    start = time.perf_counter()
    for _ in range(4):
        trial.step().item()
    steps = max(_PARTS, int(seconds * 4 / (time.perf_counter() - start)))
    interval = max(1, round(steps * method.growth_interval / method.steps))
    return {"steps": steps, "growth_interval": interval}


def run(ground: Ground, way: str, changes: dict[str, Any], seed: int) -> list[Point]:
    """Distil, and probe at some places on the way; probing does not count as time."""
    ground, changes = _changed(ground, changes)
    method = replace(ground.params.method, **changes)
    distiller = Distiller(ground.backbone, real_bank(ground.cache, method), method, seed=seed)
    stops = {max(1, round(method.steps * part / _PARTS)) for part in range(1, _PARTS + 1)}
    points: list[Point] = []
    spent = 0.0
    mark = time.perf_counter()

    def watch(step: int, loss: float) -> None:
        nonlocal spent, mark
        if step + 1 not in stops:
            return
        spent += time.perf_counter() - mark
        with torch.no_grad():
            images = distiller.state.images.render().cpu()
        sets = {"distilled": [LabeledImages(images, distiller.labels)]}
        size, spec = method.input_size, ground.params.probe
        found = evaluate_sets(ground.backbone, ground.cache, sets, spec, input_size=size, seed=seed)
        points.append(Point(way, seed, step + 1, spent, statistics.fmean(found["distilled"]["top1"][0])))
        mark = time.perf_counter()

    distiller.run(watch)
    return points


def last_points(points: list[Point]) -> dict[str, list[Point]]:
    """The last probe of every run, by way."""
    found: dict[str, dict[int, Point]] = {}
    for point in points:
        found.setdefault(point.way, {})[point.seed] = point
    return {way: list(runs.values()) for way, runs in found.items()}


def in_words(points: list[Point]) -> str:
    """A Markdown table: mean ± sample standard deviation over distillations of every way."""
    lines = ["| way | steps | seconds | top-1 on held-out training images, % |", "|---|---:|---:|---:|"]
    for way, runs in last_points(points).items():
        found = [point.top1 for point in runs]
        spread = f" ± {statistics.stdev(found):.1f}" if len(found) > 1 else ""
        seconds = statistics.fmean(point.seconds for point in runs)
        lines.append(f"| {way} | {runs[0].steps} | {seconds:.0f} | {statistics.fmean(found):.1f}{spread} |")
    return "\n".join(lines)


def draw(points: list[Point], title: str, path: Path) -> None:
    """Accuracy against steps and against seconds, one line per way; bars are standard deviations."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for way in dict.fromkeys(point.way for point in points):
        own = [point for point in points if point.way == way]
        stages = [
            [point for point in own if point.steps == steps] for steps in sorted({p.steps for p in own})
        ]
        means = [statistics.fmean(point.top1 for point in stage) for stage in stages]
        spread = [
            statistics.stdev([point.top1 for point in stage]) if len(stage) > 1 else 0.0 for stage in stages
        ]
        for panel, key in zip(panels, ("steps", "seconds"), strict=True):
            x = [statistics.fmean(getattr(point, key) for point in stage) for stage in stages]
            panel.errorbar(x, means, yerr=spread, marker="o", markersize=4, capsize=2, label=way)
    for panel, label in zip(panels, ("steps", "seconds"), strict=True):
        panel.set_xlabel(label)
    panels[0].set_ylabel("top-1 on held-out training images (%)")
    panels[1].legend()
    figure.suptitle(title, fontsize=10)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--suite", type=Path, default=Path("suites/embedded.yaml"))
    parser.add_argument("--dataset", default="shapes")
    parser.add_argument("--backbone", default="lite0")
    parser.add_argument("--seeds", type=int, default=3, help="distillations of every way")
    parser.add_argument("--seconds", type=float, default=45, help="for the steps of each run")
    parser.add_argument("--vary", nargs="+", metavar=("KEY", "VALUE"), help="a setting and its values")
    parser.add_argument("--share", type=float, default=0.25, help="of the training images that is held out")
    parser.add_argument("--epochs", type=int, default=300, help="of each probe")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--workers", type=int, default=0, help="processes that decode images")
    return parser.parse_args()


def main() -> None:
    """Measure, print a table, and of the four ways write the points and draw them."""
    arguments = _arguments()
    params = parse_params(YAML(typ="safe").load(arguments.suite.read_text(encoding="utf-8")))
    params = replace(params, probe=replace(params.probe, epochs=arguments.epochs, view_rounds=50))
    ways = WAYS
    if arguments.vary:
        key, *values = arguments.vary
        ways = {f"{key} = {value}": {key: json.loads(value)} for value in values}
        most = max(change.get("real_rounds", 0) for change in ways.values())
        params = replace(params, real_rounds=max(params.real_rounds, most))
    ground = prepare(params, arguments.dataset, arguments.backbone, arguments.share, arguments.workers)
    points: list[Point] = []
    for way, changes in ways.items():
        timed = {} if arguments.vary else _steps_within(ground, changes, arguments.seconds)
        for seed in range(arguments.seeds):
            points += run(ground, way, {**changes, **timed}, seed)
            print(f"{way}, seed {seed}: {points[-1].top1:.1f} % after {points[-1].seconds:.0f} s", flush=True)
    print(f"\n{in_words(points)}")
    if not arguments.vary:
        title = f"{arguments.dataset} ({params.suite}), {arguments.backbone}, {arguments.seeds} distillations"
        lines = [f"{p.way},{p.seed},{p.steps},{p.seconds:.2f},{p.top1:.2f}" for p in points]
        write_text(arguments.out / "variance.csv", "\n".join(["way,seed,steps,seconds,top1", *lines]) + "\n")
        draw(points, title, arguments.out / "variance.png")


if __name__ == "__main__":
    main()
