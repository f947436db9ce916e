"""Table 9: sets that several backbones distilled together, beside those of one backbone alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lgm_core.foundation.layout import BASE
from lgm_core.reporting.blocks import AVERAGE, Block, Compared, Grid
from lgm_core.reporting.results import Results, Value, average, difference, resolved

LONGER = "longer"
HELD_OUT = "held_out"
WORST = "worst"
OWN_SHARE = "own_share"
SECONDS = "seconds"


def longer_row(backbone: str, name: str) -> str:
    """Row of a backbone alone that costs as much as an ensemble."""
    return f"{LONGER}/{backbone}/{name}"


def _rows(compared: Compared) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """Row → source, variant and the backbones that distilled."""
    alone = {name: (name, BASE, (name,)) for name in compared.backbones}
    longer = {
        longer_row(name, label): (name, f"{LONGER}/{label}", (name,))
        for label in compared.variants
        for name in compared.varied
    }
    together = {name: (name, BASE, members) for name, members in compared.ensembles.items()}
    return {**alone, **longer, **together}


def _values(results: Results, dataset: str, compared: Compared) -> Grid:
    return {
        row: {name: results.transfer(dataset, source, name, variant=variant) for name in compared.backbones}
        for row, (source, variant, _) in _rows(compared).items()
    }


def universal_blocks(results: Results, dataset: str, compared: Compared) -> tuple[Block, ...]:
    """A row distils, alone or together, and a column evaluates; marked where it did not take part."""
    names = compared.backbones
    rows = _rows(compared)
    found = _values(results, dataset, compared)
    unseen = {row: tuple(name for name in names if name not in of) for row, (_, _, of) in rows.items()}
    cells: Grid = {}
    for row, (source, variant, _) in rows.items():
        own = found[row]
        cells[row] = {**own, AVERAGE: average(list(own.values()))}
        if unseen[row]:
            cells[row][HELD_OUT] = average([own[name] for name in unseen[row]])
        cells[row][WORST] = min(own.values(), key=lambda value: value.mean)
        shares = [100 * own[name].mean / found[name][name].mean for name in names if found[name][name].mean]
        cells[row][OWN_SHARE] = Value(math.fsum(shares) / len(shares), digits=0)
        seconds = results.distill_seconds(dataset, source, variant) / compared.distillations
        cells[row][SECONDS] = Value(seconds, digits=0)
    return (
        Block(
            dataset,
            "universal",
            "Distilled with",
            tuple(rows),
            (*names, AVERAGE, HELD_OUT, WORST, OWN_SHARE, SECONDS),
            cells,
            contenders=tuple(rows),
            contested=(*names, AVERAGE, HELD_OUT, WORST),
            marked=unseen,
        ),
    )


def universal_told(results: Results, dataset: str, compared: Compared) -> str:
    """What distilling together gives, beside dedicated sets and on backbones that were not seen."""
    names = compared.backbones
    found = _values(results, dataset, compared)
    dedicated = average([found[name][name] for name in names])
    told = [f"{name} = {' + '.join(members)}" for name, members in compared.ensembles.items()]
    lines = [f"{dataset}: {', '.join(told)}."]
    for row, members in compared.ensembles.items():
        if set(members) == set(names):
            lines.append(
                f"{row} less the sets that each model distilled for itself, on average: "
                f"{_said(average(list(found[row].values())), dedicated)}."
            )
    lines += _on_unseen(found, compared, names, "the best single source at the same steps")
    for label in compared.variants:
        rows = {name: found[longer_row(name, label)] for name in compared.varied}
        rival = "the best single source" if set(rows) == set(names) else " or ".join(rows)
        lines += _on_unseen({**found, **rows}, compared, tuple(rows), f"{rival}, {label}")
    return " ".join(lines)


def _on_unseen(found: Grid, compared: Compared, alone: Sequence[str], rival: str) -> list[str]:
    """The mean over ensembles of what they lead the best of lone backbones by where neither distilled."""
    ours, theirs = [], []
    for row, members in compared.ensembles.items():
        for target in (name for name in compared.backbones if name not in members):
            rivals = [found[name][target] for name in alone if name != target]
            if rivals:
                ours.append(found[row][target])
                theirs.append(max(rivals, key=lambda value: value.mean))
    if not ours:
        return []
    return [
        f"Ensembles on the models that they never saw less {rival}: {_said(average(ours), average(theirs))}."
    ]


def _said(one: Value, other: Value) -> str:
    less = difference(one, other)
    verdict = "resolved" if resolved(one, other) else "not resolved"
    known = verdict if one.std is not None and other.std is not None else "one distillation, error unknown"
    return f"{less.mean:+.1f} ± {less.std or 0:.1f} ({known})"
