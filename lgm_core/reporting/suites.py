"""Suites side by side: what every suite whose metrics are kept reaches on the data sets of its Table 1."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lgm_core.foundation.store import read_json
from lgm_core.reporting.blocks import AVERAGE, FULL, RANDOM, TRAINING_SETS
from lgm_core.reporting.reading import below, number
from lgm_core.reporting.results import DISTILLED


@dataclass(frozen=True)
class SuiteRow:
    """One data set of one suite: top-1 accuracies in percent, each the mean over the suite's models.

    Attributes:
        suite, dataset: names.
        distilled: of probes on distilled images.
        real: on the best selection of as many real ones.
        random: on as many random ones.
        full: on all images.
    """

    suite: str
    dataset: str
    distilled: float
    real: float
    random: float
    full: float


def suites_side_by_side(metrics: Path) -> list[SuiteRow]:
    """Every data set of the Table 1 of every suite, by name.

    Args:
        metrics: folder of all suites' metrics.

    Raises:
        FileError: if a file is damaged.
    """
    return [
        row
        for path in sorted(metrics.glob("*/table1.json"))
        for dataset, measures in read_json(path).items()
        if (row := _row(path, dataset, measures)) is not None
    ]


def _row(path: Path, dataset: str, measures: Any) -> SuiteRow | None:
    """A data set's row; None where the table shows no accuracies of it."""
    if not isinstance(measures, dict) or "top1" not in measures:
        return None
    found = {row: number(path, below(path, measures, "top1", row, AVERAGE)) for row in (*TRAINING_SETS, FULL)}
    real = max(found[row] for row in TRAINING_SETS[1:])
    return SuiteRow(path.parent.name, dataset, found[DISTILLED], real, found[RANDOM], found[FULL])
