"""What the results say of the paper's findings: each with a verdict that follows from the numbers.

A verdict counts differences of accuracies that exceed two standard errors over distillations. One
distillation has no such error; then nothing is told.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from lgm_core.foundation.layout import BASE
from lgm_core.reporting.alignment_blocks import PROBED, normalized_transfer, pairs
from lgm_core.reporting.blocks import AVERAGE, RANDOM, TRAINING_SETS
from lgm_core.reporting.correlation import correlation
from lgm_core.reporting.results import Results, Value, average, difference, resolved
from lgm_core.reporting.table_formats import format_value
from lgm_core.reporting.tables import TABLES, Table
from lgm_core.settings.params import Params

CONFIRMED, IN_PART, OPEN, CONTRADICTED = "confirmed", "confirmed in part", "not confirmed", "contradicted"
UNTOLD = "cannot be told"
_NORMAL_95 = 1.96
_LEAST_FOR_ERROR = 4
"""Fewest pairs from which a correlation's error can be told."""
_PARTS = {
    "no_decorrelate": "Colour decorrelation matters",
    "no_pyramid": "The pyramid matters",
    "no_augment": "Augmentation matters",
}

Pair = tuple[Value, Value]


@dataclass(frozen=True)
class Finding:
    """A claim, what the results make of it, and the numbers.

    Attributes:
        claim: a sentence.
        verdict: :data:`CONFIRMED` or another of them.
        measured: what was measured, in words.
    """

    claim: str
    verdict: str
    measured: str


def verdict_of(compared: list[Pair], distillations: int) -> str:
    """What differences say of the claim that the first is higher than the second."""
    if distillations == 1:
        return UNTOLD
    told = [one.mean > other.mean for one, other in compared if resolved(one, other)]
    if not told:
        return OPEN
    if all(told):
        return CONFIRMED if len(told) == len(compared) else IN_PART
    return IN_PART if any(told) else CONTRADICTED


def findings(results: Results, params: Params, tables: Iterable[Table]) -> list[Finding]:
    """Every finding that the settings show something of.

    Args:
        results: where the cells are read.
        params: what is shown.
        tables: those of the report.
    """
    found = [
        _beat_real(results, params),
        _carry_over(results, params),
        _together(results, params),
        _fine_grained(params, tables),
        *_parts_matter(results, params),
        _rounds_help(results, params),
        _follow_alignment(results, params),
    ]
    return [one for one in found if one is not None]


def _shown(params: Params, kind: str) -> tuple[str, ...]:
    """Data sets that the paper's tables of a kind show."""
    names = [name for name, row in TABLES.items() if row.kind == kind]
    return tuple(dict.fromkeys(one for name in names for one in params.tables[name].datasets))


def _counted(compared: list[Pair], what: str, params: Params) -> str:
    """In how many comparisons the first is higher, and by how much on average."""
    less = [difference(one, other) for one, other in compared]
    mean = math.fsum(value.mean for value in less) / len(less)
    if params.distillations == 1:
        higher = sum(value.mean > 0 for value in less)
        return f"higher in {higher} of {len(less)} {what}, by {mean:+.1f} points on average"
    told = [one.mean > other.mean for one, other in compared if resolved(one, other)]
    return (
        f"resolved in {sum(told)} of {len(less)} {what}, a resolved loss in {told.count(False)}; "
        f"{mean:+.1f} points on average"
    )


def signed_difference(one: Value, other: Value, distillations: int) -> str:
    """The difference with its standard error over distillations, which one distillation has not."""
    less = difference(one, other)
    known = distillations > 1 and one.std is not None and other.std is not None
    return f"{less.mean:+.1f}{f' ± {less.std:.1f}' if known else ''}"


def _less(one: Value, other: Value, params: Params) -> str:
    """Both values, and their difference."""
    less = signed_difference(one, other, params.distillations)
    return f"{format_value(one)} against {format_value(other)}: {less}"


def _beat_real(results: Results, params: Params) -> Finding | None:
    compared: list[Pair] = []
    for dataset in _shown(params, "same_model"):
        for name in params.backbones:
            sets = [results.transfer(dataset, name, name, training_set=row) for row in TRAINING_SETS]
            compared.append((sets[0], max(sets[1:], key=lambda value: value.mean)))
    if not compared:
        return None
    measured = _counted(compared, "pairs of data set and model, over the best real images", params)
    verdict = verdict_of(compared, params.distillations)
    return Finding("Distilled images beat as many real ones", verdict, measured)


def _carry_over(results: Results, params: Params) -> Finding | None:
    compared = [
        (results.transfer(dataset, a, b), results.transfer(dataset, b, b, training_set=RANDOM))
        for dataset in _shown(params, "cross_model")
        for a, b in pairs(tuple(params.backbones))
    ]
    if not compared:
        return None
    what = "ordered pairs of different models, over random real images"
    verdict = verdict_of(compared, params.distillations)
    measured = _counted(compared, what, params)
    return Finding("They carry over to models that never saw them", verdict, measured)


def universal_of(params: Params, dataset: str) -> str | None:
    """The ensemble of all backbones that distilled a data set; None where there is none."""
    if dataset not in params.tables["table9"].datasets:
        return None
    names = set(params.backbones)
    return next((name for name, members in params.ensembles.items() if set(members) == names), None)


def _together(results: Results, params: Params) -> Finding | None:
    datasets = params.tables["table9"].datasets
    universal = next((universal_of(params, dataset) for dataset in datasets), None)
    if universal is None:
        return None
    compared: list[Pair] = []
    for dataset in datasets:
        one = average([results.transfer(dataset, universal, name) for name in params.backbones])
        own = average([results.transfer(dataset, name, name) for name in params.backbones])
        compared.append((one, own))
    told = zip(datasets, compared, strict=True)
    measured = "; ".join(f"{dataset}: {_less(one, own, params)}" for dataset, (one, own) in told)
    worse = [own.mean > one.mean for one, own in compared if resolved(one, own)]
    verdict = CONTRADICTED if any(worse) else CONFIRMED
    claim = "One set distilled by all models together serves each as well as a set of its own"
    verdict = UNTOLD if params.distillations == 1 else verdict
    return Finding(claim, verdict, measured)


def _fine_grained(params: Params, tables: Iterable[Table]) -> Finding | None:
    gaps = [block for table in tables for block in table.blocks if block.measure == "gap"]
    if not gaps:
        return None
    rows = gaps[0].cells
    gap = list(rows.values())[-1][AVERAGE]
    error = gap.std or 0.0
    if params.distillations == 1:
        verdict = UNTOLD
    elif abs(gap.mean) <= 2 * error:
        verdict = OPEN
    else:
        verdict = CONFIRMED if gap.mean > 0 else CONTRADICTED
    known = f" ± {error:.1f}" if params.distillations > 1 else ""
    measured = f"leads on {gaps[0].dataset} less those of Table 1: {gap.mean:+.1f}{known}"
    return Finding("The lead is larger on fine-grained classes", verdict, measured)


def _elsewhere(results: Results, params: Params, dataset: str, variant: str) -> Value:
    """The mean over Table 3's backbones, each on all other models."""
    of = params.tables["table3"].backbones or ()
    known = [(a, b) for a, b in pairs(tuple(params.backbones)) if a in of]
    return average([results.transfer(dataset, a, b, variant=variant) for a, b in known])


def _parts_matter(results: Results, params: Params) -> list[Finding]:
    found = []
    for dataset in params.tables["table3"].datasets:
        whole = _elsewhere(results, params, dataset, BASE)
        for name in params.variants.ablation:
            without = _elsewhere(results, params, dataset, f"ablation/{name}")
            verdict = verdict_of([(whole, without)], params.distillations)
            measured = f"{dataset}, other models, with and without: {_less(whole, without, params)}"
            claim = _PARTS.get(name, f"It is better than its variant {name}")
            found.append(Finding(claim, verdict, measured))
    return found


def _rounds_help(results: Results, params: Params) -> Finding | None:
    shown = params.figures["figure3"]
    if not shown.datasets or shown.source is None or not params.variants.rounds:
        return None
    dataset, source = shown.datasets[0], shown.source
    names = [*(f"rounds/{name}" for name in params.variants.rounds), BASE]
    rounds = {name: results.method(dataset, source, name)["aug_rounds"] for name in names}
    fewest, most = min(names, key=rounds.__getitem__), max(names, key=rounds.__getitem__)
    few, many = (
        average([results.transfer(dataset, source, target, variant=name) for target in params.backbones])
        for name in (fewest, most)
    )
    measured = f"{dataset}, {source}, mean of the models, K = {rounds[most]} and {rounds[fewest]}: "
    verdict = verdict_of([(many, few)], params.distillations)
    measured += _less(many, few, params)
    return Finding("More augmented views in a step help", verdict, measured)


def _follow_alignment(results: Results, params: Params) -> Finding | None:
    datasets = params.tables["table7"].datasets
    if not datasets or len(params.backbones) < 2:
        return None
    dataset, names = datasets[0], tuple(params.backbones)
    transfer = normalized_transfer(results, dataset, names, PROBED)
    known = [(a, b) for a, b in pairs(names) if b in transfer[a]]
    aligned = [results.alignment(dataset, a, b).mean for a, b in known]
    found = correlation(aligned, [transfer[a][b].mean for a, b in known])
    claim = "Images carry over better to models that are aligned with the one that distilled them"
    if found.pearson is None or found.count < _LEAST_FOR_ERROR:
        return Finding(claim, UNTOLD, f"{dataset}: {found.count} pairs of models are too few")
    # Fisher's transformation: atanh r is about normal with variance 1 / (n − 3).
    margin = _NORMAL_95 / math.sqrt(found.count - 3)
    middle = math.atanh(max(-0.999999, min(0.999999, found.pearson)))
    low, high = math.tanh(middle - margin), math.tanh(middle + margin)
    verdict = CONFIRMED if low > 0 else CONTRADICTED if high < 0 else UNTOLD
    interval = f"r = {found.pearson:.2f}, 95 % from {low:.2f} to {high:.2f}"
    measured = f"{dataset}, {found.count} ordered pairs: {interval}"
    return Finding(claim, verdict, measured)
