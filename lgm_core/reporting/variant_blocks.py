"""Tables of variants of the method: the ablation (Table 3), and other objectives (Table 10)."""

from __future__ import annotations

import math
from collections.abc import Callable

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.layout import BASE
from lgm_core.reporting.blocks import AVERAGE, FULL, METHOD, Block, Compared, Grid, with_average
from lgm_core.reporting.results import Results, Value, average

OWN = "settings"
"""Row of the method as the settings have it, where other objectives stand beside it."""
STEPS, ROUNDS, SECONDS = "steps", "rounds", "seconds"


def ablation_blocks(results: Results, dataset: str, compared: Compared) -> tuple[Block, ...]:
    """The method and its variants, on the distilling model and on the others (Table 3)."""
    variants = {METHOD: BASE, **{name: f"ablation/{name}" for name in compared.variants}}
    same, cross = _grids(results, dataset, compared, variants)
    same[FULL] = with_average({name: results.full(dataset, name) for name in compared.varied})
    published = {row: FULL if row == METHOD else row for row in variants}
    return tuple(
        Block(
            dataset,
            measure,
            "Method",
            tuple(found),
            _columns(compared),
            found,
            contenders=tuple(variants),
            reported=compared.reported(
                dataset,
                {row: f"{measure}/{there}" for row, there in published.items()}
                | ({FULL: FULL} if measure == "same" else {}),
            ),
        )
        for measure, found in (("same", same), ("cross", cross))
    )


def objective_blocks(results: Results, dataset: str, compared: Compared) -> tuple[Block, ...]:
    """The settings' own objective and others: same model, other models, and what a distillation costs."""
    variants = {OWN: BASE, **{name: f"objectives/{name}" for name in compared.variants}}
    same, cross = _grids(results, dataset, compared, variants)
    costs: Grid = {row: _cost(results, dataset, compared, variant) for row, variant in variants.items()}
    rows, named, columns = tuple(variants), compared.variants, _columns(compared)
    return (
        Block(dataset, "same", "Objective", rows, columns, same, rows, named=named),
        Block(dataset, "cross", "Objective", rows, columns, cross, rows, named=named),
        Block(dataset, "costs", "Objective", rows, (STEPS, ROUNDS, SECONDS), costs, named=named),
    )


def objectives_told(results: Results, dataset: str, compared: Compared) -> str:
    """Which objective the settings themselves have."""
    method = results.method(dataset, compared.varied[0])
    return f"{dataset}: the settings' own objective is {method['objective']}."


def _columns(compared: Compared) -> tuple[str, ...]:
    """The models that distil variants; their mean, where there are several."""
    return compared.varied if len(compared.varied) == 1 else (*compared.varied, AVERAGE)


def _cost(results: Results, dataset: str, compared: Compared, variant: str) -> dict[str, Value]:
    """Steps, views of an image in a step, and seconds of one distillation, the mean over backbones."""
    method = results.method(dataset, compared.varied[0], variant)
    seconds = [results.distill_seconds(dataset, name, variant) for name in compared.varied]
    mean = math.fsum(seconds) / len(seconds) / compared.distillations
    return {
        STEPS: Value(method["steps"], digits=0),
        ROUNDS: Value(method["aug_rounds"], digits=0),
        SECONDS: Value(mean, digits=0),
    }


def _grids(results: Results, dataset: str, compared: Compared, variants: dict[str, str]) -> tuple[Grid, Grid]:
    """Row → distilling model → accuracy on itself, and the mean over the others."""
    names = compared.backbones
    if len(names) < 2:
        raise InputError(
            "Tables of variants average over the other models: there need to be two backbones or more."
        )

    def cross(source: str, variant: str) -> Value:
        others = [target for target in names if target != source]
        return average([results.transfer(dataset, source, target, variant=variant) for target in others])

    def same(source: str, variant: str) -> Value:
        return results.transfer(dataset, source, source, variant=variant)

    def grid(evaluate: Callable[[str, str], Value]) -> Grid:
        return {
            row: with_average({name: evaluate(name, variant) for name in compared.varied})
            for row, variant in variants.items()
        }

    return grid(same), grid(cross)
