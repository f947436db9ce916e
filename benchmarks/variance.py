"""What settings are worth, told without the test images: python -m benchmarks.variance

A quarter of the training images is held out and probed on; the rest is distilled from, again and again from
other draws. Compared are one and eight heads, each with a batch of 100 real images and with the whole bank,
at equal time (its own measured time per step says how many steps each makes); with --vary, values of one
setting at the method's own steps; or, with --variants, the suite's own settings and its variants of a group,
such as `recipes`. Writes docs/variance.{csv,png}, with --vary docs/variance_<setting>.{csv,png}, with
--variants docs/variance_<suite>_<group>.{csv,png}, and prints a table.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML

from benchmarks.held_out import held_out_features
from benchmarks.measure import interleaved, table
from lgm_core.evaluation.small_sets import LabeledImages, evaluate_sets
from lgm_core.features.cache import FeatureCache
from lgm_core.foundation.errors import InputError, SettingError
from lgm_core.foundation.seeds import derive_seed
from lgm_core.foundation.store import replacing, write_text
from lgm_core.method.distiller import Distiller, Member
from lgm_core.method.real import RealBank, real_bank
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.reporting.plots import color_and_marker
from lgm_core.settings.checks import integer
from lgm_core.settings.evaluation import ProbeSettings
from lgm_core.settings.method import (
    CLUSTERS,
    GRADIENT,
    NO_AUGMENTATION,
    REAL,
    WHOLE_BANK,
    MethodSettings,
    with_overrides,
)
from lgm_core.settings.params import Params
from stages.backbones import opened
from stages.machine import read_machine
from stages.params import read_params

SUITE = Path(__file__).parent.parent / "suites" / "embedded.yaml"
WAYS = {
    "1 head, batch of 100": {"head_draws": 1, "real_batch": 100},
    "8 heads, batch of 100": {"head_draws": 8, "real_batch": 100},
    "1 head, whole bank": {"head_draws": 1, "real_batch": WHOLE_BANK},
    "8 heads, whole bank": {"head_draws": 8, "real_batch": WHOLE_BANK},
}
ROUNDS = "real_rounds"
"""The one setting that is no setting of the method: so many of the cached rounds make the bank."""
STOPS = 8


@dataclass(frozen=True)
class Candidate:
    """What is compared with others.

    Attributes:
        name: in table and figure.
        method: its settings.
        rounds: of the cached views, the first so many.
    """

    name: str
    method: MethodSettings
    rounds: int


@dataclass(frozen=True)
class Point:
    """A probe on the way of one distillation.

    Attributes:
        name: of the candidate.
        draw: number of the distillation.
        steps, seconds: until then; probing does not count.
        top1: on the held-out images in percent, the mean over the probe's seeds.
    """

    name: str
    draw: int
    steps: int
    seconds: float
    top1: float


@dataclass(frozen=True)
class Bench:
    """What all candidates have in common.

    Attributes:
        backbone: on the device to use.
        cache: features of training images, held-out ones in place of test images.
        probe: how the images are evaluated.
        seed: root of all draws; distillation i of every candidate has the same.
        micro_batch: most views in the backbone at once, if limited.
    """

    backbone: FrozenBackbone
    cache: FeatureCache
    probe: ProbeSettings
    seed: int
    micro_batch: int | None = None

    def distiller(self, candidate: Candidate, draw: int) -> Distiller:
        """The candidate at its beginning."""
        bank = real_bank(self.cache, candidate.method)
        bank = RealBank(bank.views[: candidate.rounds], bank.labels, bank.classes)
        seed = derive_seed(self.seed, "distillation", draw)
        member = Member(self.backbone, bank)
        return Distiller(member, candidate.method, seed=seed, micro_batch=self.micro_batch)

    def top1(self, distiller: Distiller) -> float:
        """Accuracy of probes that are trained on the images as they are now."""
        with torch.no_grad():
            images = distiller.state.images.render().cpu()
        sets = {"distilled": [LabeledImages(images, distiller.labels)]}
        size = distiller.method.input_size
        found = evaluate_sets(self.backbone, self.cache, sets, self.probe, input_size=size, seed=self.seed)
        return statistics.fmean(found["distilled"]["top1"][0])

    def curve(self, candidate: Candidate, draw: int) -> list[Point]:
        """Distil, and probe at eight places on the way."""
        distiller = self.distiller(candidate, draw)
        steps = candidate.method.steps
        stops = [max(1, round(steps * part / STOPS)) for part in range(1, STOPS + 1)]
        points: list[Point] = []
        spent = 0.0
        mark = time.perf_counter()

        def probe() -> None:
            nonlocal spent, mark
            done = distiller.state.step
            if done < stops[0]:
                return
            spent += time.perf_counter() - mark
            stops[:] = [stop for stop in stops if stop > done] or [steps + 1]
            points.append(Point(candidate.name, draw, done, spent, self.top1(distiller)))
            mark = time.perf_counter()

        distiller.run(keep=probe)
        return points


def at_equal_time(bench: Bench, method: MethodSettings, rounds: int, seconds: float) -> list[Candidate]:
    """The four ways to match gradients, each with as many steps as fit into the time, growing at the same
    shares of them.
    """
    heads = with_overrides(method, {"objective": GRADIENT})
    ways = [Candidate(name, replace(heads, **changes), rounds) for name, changes in WAYS.items()]
    trials = {}
    for way in ways:
        whole = replace(way, method=replace(way.method, pyramid_start=method.resolution))
        trials[way.name] = bench.distiller(whole, 0).step
    measured = interleaved(trials, rounds=10, device=bench.backbone.device)
    planned = []
    for way in ways:
        steps = max(2, int(seconds / measured[way.name].seconds))
        interval = max(1, round(steps * method.growth_interval / method.steps))
        planned.append(replace(way, method=replace(way.method, steps=steps, growth_interval=interval)))
    return planned


def varied(method: MethodSettings, rounds: int, key: str, values: Sequence[Any]) -> list[Candidate]:
    """The method with every value of one of its settings, or of `real_rounds`.

    Raises:
        InputError: if there is no such setting, a value is out of range, or all candidates share it.
    """
    if key != ROUNDS:
        return [Candidate(f"{key} {value}", with_overrides(method, {key: value}), rounds) for value in values]
    if method.augment == NO_AUGMENTATION:
        raise SettingError(ROUNDS, values, "no values, for without augmentation all rounds are the same")
    check = integer(1)
    return [Candidate(f"{key} {value}", method, check(value, key)) for value in values]


def variants(settings: Params, dataset: str, group: str) -> list[Candidate]:
    """The method as the settings have it, and its variants of a group.

    Raises:
        InputError: if there is no such group, it is empty, or a variant needs more than the method's images.
    """
    groups = settings.variants.groups
    if group not in groups or not groups[group]:
        raise SettingError(
            "--variants", group, f"one of {', '.join(name for name in groups if groups[name])}"
        )
    named = {
        name: settings.variant(f"{group}/{name}", settings.dataset_overrides.get(dataset))
        for name in groups[group]
    }
    for name, method in named.items():
        if method.slots == CLUSTERS or method.init == REAL:
            raise SettingError(
                f"variants.{group}.{name}", groups[group][name], "slots and starts as the method has"
            )
    found = {"the settings' own": settings.for_dataset(dataset), **named}
    return [Candidate(name, method, settings.real_rounds) for name, method in found.items()]


def last_points(points: list[Point]) -> dict[str, list[Point]]:
    """Candidate → the last point of each of its distillations."""
    ends = {(point.name, point.draw): point for point in points}
    return {name: [end for end in ends.values() if end.name == name] for name, _ in ends}


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation; 0 of a single value."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def summary(points: list[Point]) -> str:
    """A row for every candidate, in Markdown."""
    rows = []
    for name, ends in last_points(points).items():
        mean, deviation = mean_and_deviation([end.top1 for end in ends])
        told = f"{mean:.1f} ± {deviation:.1f}" if len(ends) > 1 else f"{mean:.1f}"
        seconds = statistics.fmean(end.seconds for end in ends)
        rows.append([name, str(ends[0].steps), f"{seconds:.0f}", str(len(ends)), told])
    return table(["candidate", "steps", "seconds", "distillations", "top-1 on held-out images, %"], rows)


def draw(points: list[Point], title: str, path: Path) -> None:
    """Accuracy against steps and against seconds: a line for every candidate, its deviation as a band."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(10.5, 3.8), sharey=True, layout="constrained")
    for number, name in enumerate(dict.fromkeys(point.name for point in points)):
        color, marker = color_and_marker(number)
        stops: dict[int, list[Point]] = {}
        for point in points:
            if point.name == name:
                stops.setdefault(point.steps, []).append(point)
        found = [mean_and_deviation([one.top1 for one in stop]) for stop in stops.values()]
        low, high = [mean - std for mean, std in found], [mean + std for mean, std in found]
        spent = [statistics.fmean(one.seconds for one in stop) for stop in stops.values()]
        for panel, across in zip(panels, (list(stops), spent), strict=True):
            panel.plot(across, [mean for mean, _ in found], color=color, marker=marker, ms=4, label=name)
            panel.fill_between(across, low, high, color=color, alpha=0.15, linewidth=0)
    for panel, label in zip(panels, ("steps", "seconds"), strict=True):
        panel.set_xlabel(label)
        panel.grid(color="#dddddd", linewidth=0.5)
    panels[0].set_ylabel("probe top-1 on held-out\ntraining images (%)")
    figure.legend(*panels[1].get_legend_handles_labels(), loc="outside right center", frameon=False)
    figure.suptitle(title, fontsize="medium")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    pyplot.close(figure)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    about = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks.variance", None, __doc__, formatter_class=about)
    parser.add_argument("--suite", type=Path, default=SUITE, help="params file with all other settings")
    parser.add_argument("--dataset", help="one of its data sets; default: the first")
    parser.add_argument("--backbone", help="one of its backbones; default: the first")
    parser.add_argument("--seeds", type=int, default=3, help="distillations of every candidate")
    parser.add_argument("--seconds", type=float, default=33, help="for the steps of each of them")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--vary", nargs="+", metavar=("KEY", "VALUE"), help="a setting and its values")
    what.add_argument("--variants", metavar="GROUP", help="a group of the suite's variants")
    parser.add_argument("--share", type=float, default=0.25, help="of the training images, held out")
    parser.add_argument("--epochs", type=int, default=300, help="of each probe")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    asked = parser.parse_args(arguments)
    if asked.vary and len(asked.vary) == 1:
        parser.error(f"--vary {asked.vary[0]} needs values")
    return asked


def prepare(asked: argparse.Namespace, settings: Params, rounds: int) -> Bench:
    """The backbone, and the features of the data set's training images."""
    machine = read_machine()
    backbone = opened(settings, asked.backbone, machine)
    cache = held_out_features(
        backbone,
        settings.datasets[asked.dataset],
        machine.data_root,
        replace(settings.features(), real_rounds=rounds, full_view_rounds=0),
        share=asked.share,
        seed=settings.seed,
        workers=machine.workers,
    )
    views = max(settings.probe.seeds, 20)
    probe = replace(settings.probe, epochs=asked.epochs, view_rounds=views)
    return Bench(backbone, cache, probe, settings.seed, machine.micro_batch)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write the points, draw them and print what came out."""
    asked = parsed(arguments)
    settings = read_params(asked.suite)
    asked.dataset = asked.dataset or next(iter(settings.datasets))
    asked.backbone = asked.backbone or next(iter(settings.backbones))
    if asked.dataset not in settings.datasets:
        raise SettingError("--dataset", asked.dataset, f"one of {', '.join(settings.datasets)}")
    method = settings.for_dataset(asked.dataset)
    rounds = settings.real_rounds
    key, *texts = asked.vary or [""]
    candidates = varied(method, rounds, key, [YAML(typ="safe").load(text) for text in texts]) if key else []
    if asked.variants:
        candidates = variants(settings, asked.dataset, asked.variants)
        key = f"{settings.suite}_{asked.variants}"
    bench = prepare(asked, settings, max([rounds, *(one.rounds for one in candidates)]))
    compared = candidates or at_equal_time(bench, method, rounds, asked.seconds)
    points: list[Point] = []
    for number in range(asked.seeds):  # in turns, so that whatever else the machine does hits all alike
        for candidate in compared:
            points += bench.curve(candidate, number)
    path = asked.out / ("_".join(filter(None, ("variance", key))) + ".csv")
    lines = [f'"{one.name}",{one.draw},{one.steps},{one.seconds:.2f},{one.top1:.2f}' for one in points]
    write_text(path, "\n".join(["candidate,distillation,steps,seconds,top1", *lines]) + "\n")
    told = "at its own steps" if key else "at equal time"
    title = (
        f"Suite {settings.suite}: {asked.dataset}, {asked.backbone}, {told}; {asked.seeds} distillations each"
    )
    draw(points, title, path.with_suffix(".png"))
    print(f"{title}\n\n{summary(points)}")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
