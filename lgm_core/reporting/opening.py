"""What the report opens with: a strip of real and distilled pictures, and the results in three sentences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lgm_core.reporting.alignment_blocks import pairs
from lgm_core.reporting.blocks import DISTILLED, RANDOM, TRAINING_SETS
from lgm_core.reporting.findings import signed_difference, universal_of
from lgm_core.reporting.results import Results, Value, average
from lgm_core.reporting.table_formats import format_value
from lgm_core.settings.params import Params


@dataclass(frozen=True)
class Row:
    """A row of the strip: its title, and a file for every class; None where a class has no picture."""

    title: str
    pictures: list[Path | None]


@dataclass(frozen=True)
class Strip:
    """Pictures of one data set: a column for every class."""

    dataset: str
    classes: list[str]
    rows: list[Row]


@dataclass(frozen=True)
class Headline:
    """A number, and a sentence that says what it is."""

    number: str
    told: str


def main_dataset(params: Params) -> str:
    """The data set that stands for the suite: the first of Table 1, or of all."""
    return next(iter((*params.tables["table1"].datasets, *params.datasets)))


def opening_strip(results: Results, params: Params) -> Strip:
    """A real image of each class, those of every backbone, and those of all backbones together."""
    dataset = main_dataset(params)
    first = next(iter(params.backbones))
    samples = next(iter(results.samples(dataset, first).values()))
    chosen = [name for name in results.distilled(dataset, first)["classes"] if name in samples]
    real = [next(iter(samples[name]), None) for name in chosen]
    rows = [Row("real images", real)]
    rows += [Row(name, _distilled(results, dataset, name, chosen)) for name in params.backbones]
    universal = universal_of(params, dataset)
    if universal is not None:
        rows.append(Row("all together", _distilled(results, dataset, universal, chosen)))
    return Strip(dataset, [results.class_title(name) for name in chosen], rows)


def _distilled(results: Results, dataset: str, source: str, classes: list[str]) -> list[Path | None]:
    """The first distilled picture of each of some classes."""
    cell = results.layout.cell(dataset, source)
    facts = results.distilled(dataset, source)
    per_class = len(facts["pictures"]) // len(facts["classes"])
    firsts = dict(zip(facts["classes"], facts["pictures"][::per_class], strict=True))
    return [cell.distilled / firsts[name] for name in classes]


def headlines(results: Results, params: Params) -> list[Headline]:
    """What one set reaches, how it carries over, and what a common one gives, as far as there is one."""
    dataset, names = main_dataset(params), tuple(params.backbones)
    own = average([results.transfer(dataset, name, name) for name in names])
    found = [_first(results, params, dataset, own)]
    if known := pairs(names):
        elsewhere = average([results.transfer(dataset, a, b) for a, b in known])
        drawn = average([results.transfer(dataset, name, name, training_set=RANDOM) for name in names])
        told = (
            f"on models that never saw the images, mean of {len(known)} ordered pairs of models. Real images "
            f"drawn at random give {format_value(drawn)} %."
        )
        found.append(Headline(f"{format_value(elsewhere)} %", told))
    universal = universal_of(params, dataset)
    if universal is not None:
        one = average([results.transfer(dataset, universal, name) for name in names])
        gained = signed_difference(one, own, params.distillations)
        found.append(Headline(f"{gained} points", _common(len(names), one)))
    return found


def _first(results: Results, params: Params, dataset: str, own: Value) -> Headline:
    names = tuple(params.backbones)
    real = {
        row: average([results.transfer(dataset, name, name, training_set=row) for name in names])
        for row in TRAINING_SETS
        if row != DISTILLED
    }
    best = max(real.values(), key=lambda value: value.mean)
    whole = average([results.best_of_all_images(dataset, name) for name in names])
    count = results.image_count(dataset, names[0])
    ipc = params.method.ipc
    images = "one distilled image" if ipc == 1 else f"{ipc} distilled images"
    mean = f", mean of {len(names)} models" if len(names) > 1 else ""
    return Headline(
        f"{format_value(own)} %",
        f"top-1 accuracy on {dataset} of linear probes trained on {images} per class{mean}. As many real "
        f"images, the best selection: {format_value(best)} %. All {count:,} images: {format_value(whole)} %.",
    )


def _common(count: int, one: Value) -> str:
    return (
        f"is what one set distilled by all {count} models together ({format_value(one)} %) has over the sets "
        "that each distilled for itself, on average."
    )
