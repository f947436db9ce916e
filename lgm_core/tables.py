"""Tables: assembled from the cells' JSON files, written as CSV, Markdown and flat metrics.

A table lists its cells from the parameters and never looks around in folders: a removed backbone leaves no
trace, and a missing cell is an error that names the stage to run.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lgm_core.errors import InputError
from lgm_core.layout import Layout
from lgm_core.reported import Reported, reported_values
from lgm_core.specs import PairSpec
from lgm_core.store import read_json

AVERAGE = "average"
FULL = "full"
REPORTED_COLUMNS = {"clip", "dinov2", "eva02", "mocov3", AVERAGE}
TRAINING_SETS = ("distilled", "neighbors", "centroids", "random")
CEILINGS = ("nearest_class_mean", "ridge")
ROW_TITLES = {
    "distilled": "Distilled (ours)",
    "neighbors": "Neighbors",
    "centroids": "Centroids",
    "random": "Random",
    "full": "Full dataset",
    "nearest_class_mean": "Nearest class mean (all)",
    "ridge": "Ridge (all)",
    "average": "Average",
}


@dataclass(frozen=True)
class Accuracy:
    """Mean and standard deviation over runs, in percent; std is None where there is one run only."""

    mean: float
    std: float | None = None


def summarize(runs: list[float]) -> Accuracy:
    """Mean and population standard deviation of at least one run."""
    mean = math.fsum(runs) / len(runs)
    if len(runs) == 1:
        return Accuracy(mean)
    return Accuracy(mean, math.sqrt(math.fsum((run - mean) ** 2 for run in runs) / len(runs)))


def average(cells: list[Accuracy]) -> Accuracy:
    """Mean of the means, and mean of the standard deviations as the paper's average column has it."""
    stds = [cell.std for cell in cells if cell.std is not None]
    return Accuracy(
        math.fsum(cell.mean for cell in cells) / len(cells), math.fsum(stds) / len(stds) if stds else None
    )


@dataclass(frozen=True)
class Block:
    """One data set's half of a table.

    Attributes:
        dataset: its name in the parameters.
        cells: row → column → accuracy.
        shares: row → column → share of the Full row in percent, where the table shows it.
    """

    dataset: str
    cells: dict[str, dict[str, Accuracy]]
    shares: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Table:
    """A finished table.

    Attributes:
        name: `table1`, …
        title: one line.
        notes: sentences under the table.
        corner: what the rows are.
        columns: backbones and the average.
        rows: in order; each is in every block.
        contenders: rows among which the best of a column is bold.
        blocks: one per data set.
    """

    name: str
    title: str
    notes: tuple[str, ...]
    corner: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    contenders: tuple[str, ...]
    blocks: tuple[Block, ...]


_CSV_HEADER = (
    "dataset", "row", "column", "mean", "std", "share_of_full", "reported_original", "reported_writeup",
)  # fmt: skip


class Cells:
    """Reads the cells of one suite's results.

    Args:
        layout: where they lie.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def probe(self, dataset: str, source: str) -> dict[str, Any]:
        """Accuracies of what `source` distilled, on every backbone, and of its real baselines."""
        return read_json(self.layout.probe(dataset, source), made_by=f"dvc repro probe@{dataset}-{source}")

    def baselines(self, dataset: str, backbone: str) -> dict[str, Any]:
        """Full-data accuracies and ceilings."""
        return read_json(
            self.layout.baselines(dataset, backbone),
            made_by=f"dvc repro baselines@{dataset}-{backbone}",
        )


def _with_average(row: dict[str, Accuracy]) -> dict[str, Accuracy]:
    return {**row, AVERAGE: average(list(row.values()))}


def _full_row(cells: Cells, dataset: str, backbones: list[str]) -> dict[str, Accuracy]:
    return _with_average(
        {name: summarize(cells.baselines(dataset, name)["full"]["top1"]) for name in backbones}
    )


def _same_model_block(cells: Cells, dataset: str, backbones: list[str]) -> Block:
    rows: dict[str, dict[str, Accuracy]] = {row: {} for row in (*TRAINING_SETS, *CEILINGS)}
    for name in backbones:
        targets = cells.probe(dataset, name)["targets"]
        _check_targets(dataset, name, targets, [name])
        own = targets[name]
        ceilings = cells.baselines(dataset, name)
        for row in TRAINING_SETS:
            rows[row][name] = summarize(own[row]["top1"])
        for row in CEILINGS:
            rows[row][name] = Accuracy(ceilings[row])
    found = {row: _with_average(rows[row]) for row in rows}
    found[FULL] = _full_row(cells, dataset, backbones)
    return Block(dataset, found, shares={})


def _check_targets(dataset: str, source: str, targets: dict[str, Any], backbones: list[str]) -> None:
    """A cell measured before a backbone was added cannot be shown beside newer ones."""
    missing = [name for name in backbones if name not in targets]
    if missing:
        raise InputError(
            f"The cell of {source} on {dataset} was not measured on {', '.join(missing)}. "
            f"Make it again with: dvc repro probe@{dataset}-{source}"
        )


def _cross_model_block(cells: Cells, dataset: str, backbones: list[str]) -> Block:
    found: dict[str, dict[str, Accuracy]] = {}
    for source in backbones:
        targets = cells.probe(dataset, source)["targets"]
        _check_targets(dataset, source, targets, backbones)
        found[source] = _with_average(
            {target: summarize(targets[target]["distilled"]["top1"]) for target in backbones}
        )
    found[FULL] = _full_row(cells, dataset, backbones)
    shares = {
        source: {
            target: 100 * found[source][target].mean / found[FULL][target].mean
            for target in found[source]
            if found[FULL][target].mean > 0
        }
        for source in backbones
    }
    return Block(dataset, found, shares)


def table1(cells: Cells, pair: PairSpec, backbones: list[str]) -> Table:
    """Linear probes with one image per class: distilled and real training sets, same model (Table 1)."""
    return Table(
        name="table1",
        title="Linear probes on a few images per class, top-1 accuracy in percent",
        notes=(
            "Mean ± standard deviation over probe seeds (Random: over draws of the images). "
            "Bold: the best of the small training sets. The last three rows use all training images.",
        ),
        corner="Training set",
        columns=(*backbones, AVERAGE),
        rows=(*TRAINING_SETS, FULL, *CEILINGS),
        contenders=TRAINING_SETS,
        blocks=tuple(_same_model_block(cells, name, backbones) for name in _datasets(pair)),
    )


def table2(cells: Cells, pair: PairSpec, backbones: list[str]) -> Table:
    """Cross-model accuracy of distilled sets: a row distils, a column evaluates (Table 2)."""
    return Table(
        name="table2",
        title="Distilled with the row's backbone, probed on the column's, top-1 accuracy in percent",
        notes=(
            "Mean ± standard deviation over probe seeds; in parentheses the share of the full data set's "
            "accuracy. Bold: the best distilled set of a column.",
        ),
        corner="Distilled with",
        columns=(*backbones, AVERAGE),
        rows=(*backbones, FULL),
        contenders=tuple(backbones),
        blocks=tuple(_cross_model_block(cells, name, backbones) for name in _datasets(pair)),
    )


def _datasets(pair: PairSpec) -> list[str]:
    return list(dict.fromkeys((pair.left, pair.right)))


TABLES: dict[str, Callable[[Cells, PairSpec, list[str]], Table]] = {
    "table1": table1,
    "table2": table2,
}


def _reported(table: Table, block: Block, row: str, column: str) -> tuple[Reported, ...]:
    """Values from the literature; an average only where it is over the same backbones."""
    if column == AVERAGE and set(table.columns) != REPORTED_COLUMNS:
        return ()
    return reported_values(table.name, block.dataset, row, column)


def row_title(row: str) -> str:
    """How a row or column is written."""
    return ROW_TITLES.get(row, row)


def format_accuracy(cell: Accuracy) -> str:
    """`84.9 ± 0.1`, or `84.9` where there is one run only."""
    return f"{cell.mean:.1f}" if cell.std is None else f"{cell.mean:.1f} ± {cell.std:.1f}"


def best_rows(table: Table, block: Block, column: str) -> set[str]:
    """The contenders with a column's highest accuracy as printed."""
    printed = {row: round(block.cells[row][column].mean, 1) for row in table.contenders}
    return {row for row, value in printed.items() if value == max(printed.values())}


def to_csv(table: Table) -> str:
    """One line per cell: numbers in full precision, for programs."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_CSV_HEADER)
    for block in table.blocks:
        for row in table.rows:
            for column in table.columns:
                cell = block.cells[row][column]
                share = block.shares.get(row, {}).get(column)
                known = {value.source: value.mean for value in _reported(table, block, row, column)}
                numbers = [cell.mean, cell.std, share, known.get("original"), known.get("writeup")]
                texts = ["" if number is None else f"{number:.6g}" for number in numbers]
                writer.writerow([block.dataset, row, column, *texts])
    return out.getvalue()


def _markdown_cell(table: Table, block: Block, row: str, column: str) -> str:
    text = format_accuracy(block.cells[row][column])
    if row in table.contenders and row in best_rows(table, block, column):
        text = f"**{text}**"
    share = block.shares.get(row, {}).get(column)
    if share is not None:
        text += f" ({share:.0f} %)"
    for value in _reported(table, block, row, column):
        difference = block.cells[row][column].mean - value.mean
        text += f"<br>{value.source}: {value.mean:.1f} ({difference:+.1f})"
    return text


def to_markdown(table: Table) -> str:
    """The table for people, one part per data set."""
    lines = [f"# {table.title}", ""]
    for block in table.blocks:
        header = [table.corner, *(row_title(column) for column in table.columns)]
        lines += [f"## {block.dataset}", "", "| " + " | ".join(header) + " |"]
        lines.append("|---" + "|---:" * len(table.columns) + "|")
        for row in table.rows:
            texts = [_markdown_cell(table, block, row, column) for column in table.columns]
            lines.append("| " + " | ".join([row_title(row), *texts]) + " |")
        lines.append("")
    return "\n".join([*lines, *table.notes]) + "\n"


def to_metrics(table: Table) -> dict[str, Any]:
    """Data set → row → column → mean accuracy, for `dvc metrics show` and `diff`."""
    return {
        block.dataset: {
            row: {column: round(block.cells[row][column].mean, 4) for column in table.columns}
            for row in table.rows
        }
        for block in table.blocks
    }
