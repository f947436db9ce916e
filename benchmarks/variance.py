"""What more heads and more real samples per step are worth at equal time: python -m benchmarks.variance

Distils the embedded suite's shapes with EfficientNet-Lite0 in four ways, each for the same number of seconds
(from its own measured time per step), and probes the images on the way. Writes docs/variance.{png,csv}.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.cases import params
from lgm_core.data.sources import load_splits
from lgm_core.evaluation.small_sets import LabeledImages, evaluate_sets
from lgm_core.features.cache import FeatureCache
from lgm_core.features.extraction import extract_features
from lgm_core.foundation.store import replacing, write_text
from lgm_core.method.distiller import Distiller
from lgm_core.method.real import RealBank
from lgm_core.models.cpu.allocator import keep_freed_memory
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.models.libraries import open_backbone
from lgm_core.settings.method import WHOLE_BANK, MethodSettings
from lgm_core.settings.params import Params

WAYS = {
    "1 head, batch of 100": {"head_draws": 1, "real_batch": 100},
    "8 heads, batch of 100": {"head_draws": 8, "real_batch": 100},
    "1 head, whole bank": {"head_draws": 1, "real_batch": WHOLE_BANK},
    "8 heads, whole bank": {"head_draws": 8, "real_batch": WHOLE_BANK},
}
Point = tuple[str, int, float, float]
"""Way, steps done, seconds spent on them, top-1 in percent."""


def prepare(settings: Params, workers: int) -> tuple[FrozenBackbone, FeatureCache]:
    """The backbone and the features of the data set."""
    keep_freed_memory()
    backbone = open_backbone(
        settings.backbones["lite0"],
        input_size=settings.method.input_size,
        normalization=settings.normalization,
        device="cuda" if torch.cuda.is_available() else "cpu",
        precision="auto",
    )
    splits = load_splits(settings.datasets["shapes"], Path("data"))
    return backbone, extract_features(
        backbone, splits, settings.features(), seed=settings.seed, workers=workers
    )


def planned(
    method: MethodSettings, bank: RealBank, backbone: FrozenBackbone, seconds: float
) -> MethodSettings:
    """The method with as many steps as fit into the time, growing at the same shares of them."""
    trial = Distiller(backbone, bank, replace(method, pyramid_start=method.resolution), seed=0)
    trial.step()
    start = time.perf_counter()
    for _ in range(4):
        trial.step().item()
    steps = max(2, int(seconds * 4 / (time.perf_counter() - start)))
    interval = max(1, round(steps * method.growth_interval / method.steps))
    return replace(method, steps=steps, growth_interval=interval)


def curve(
    name: str,
    method: MethodSettings,
    bank: RealBank,
    backbone: FrozenBackbone,
    cache: FeatureCache,
    settings: Params,
) -> list[Point]:
    """Distil, and probe at eight places on the way; probing does not count as time."""
    distiller = Distiller(backbone, bank, method, seed=settings.seed)
    stops = {max(1, round(method.steps * part / 8)) for part in range(1, 9)}
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
        size = method.input_size
        found = evaluate_sets(backbone, cache, sets, settings.probe, input_size=size, seed=settings.seed)
        accuracies = found["distilled"]["top1"]
        points.append((name, step + 1, spent, sum(accuracies) / len(accuracies)))
        mark = time.perf_counter()

    distiller.run(watch)
    return points


def draw(points: list[Point], path: Path) -> None:
    """Accuracy against steps and against seconds, one line per way."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(9, 3.5), sharey=True, layout="constrained")
    for name in dict.fromkeys(point[0] for point in points):
        own = [point for point in points if point[0] == name]
        for panel, column in zip(panels, (1, 2), strict=True):
            panel.plot([point[column] for point in own], [point[3] for point in own], marker="o", label=name)
    for panel, label in zip(panels, ("steps", "seconds"), strict=True):
        panel.set_xlabel(label)
    panels[0].set_ylabel("probe top-1 (%)")
    panels[1].legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    pyplot.close(figure)


def main() -> None:
    """Measure, write the points and draw them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=45, help="for the steps of each way")
    parser.add_argument("--epochs", type=int, default=300, help="of each probe")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--workers", type=int, default=2, help="processes that decode images")
    arguments = parser.parse_args()
    settings = params()
    settings = replace(settings, probe=replace(settings.probe, epochs=arguments.epochs, view_rounds=20))
    backbone, cache = prepare(settings, arguments.workers)
    bank = RealBank(cache.real_views, cache.train_labels, cache.classes)
    points: list[Point] = []
    for name, changes in WAYS.items():
        method = planned(replace(settings.method, **changes), bank, backbone, arguments.seconds)
        points += curve(name, method, bank, backbone, cache, settings)
        print(f"{name}: {points[-1][1]} steps in {points[-1][2]:.0f} s, top-1 {points[-1][3]:.1f} %")
    lines = [f"{name},{step},{spent:.2f},{top1:.2f}" for name, step, spent, top1 in points]
    write_text(arguments.out / "variance.csv", "\n".join(["way,steps,seconds,top1", *lines]) + "\n")
    draw(points, arguments.out / "variance.png")


if __name__ == "__main__":
    main()
