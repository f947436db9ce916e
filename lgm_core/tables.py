"""Tables 1 to 8, assembled from the cells.

A table lists its cells from the parameters and never looks around in folders: a removed backbone leaves no
trace, and a missing cell is an error that names the stage to run. How a table is written is in `rendering`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lgm_core.captions import about
from lgm_core.cells import Cells, Value, average
from lgm_core.errors import InputError
from lgm_core.reported import PAPER_BACKBONES, Reported, reported_values
from lgm_core.specs import PairSpec, Params
from lgm_core.statistics import correlation

AVERAGE, FULL, MAJORITY, METHOD = "average", "full", "majority", "method"
RESERVED = (AVERAGE, FULL)
TRAINING_SETS = ("distilled", "neighbors", "centroids", "random")
CEILINGS = ("nearest_class_mean", "ridge")
Grid = dict[str, dict[str, Value]]


@dataclass(frozen=True)
class Block:
    """One part of a table: one data set, one measure.

    Attributes:
        dataset: its name in the parameters.
        measure: what the numbers are, as `rendering` titles it.
        corner: what the rows are.
        rows, columns: in order.
        cells: row → column → value; a missing one is undefined and printed as a dash.
        contenders: rows among which the best of a column is bold.
        shares: row → column → share of the Full row in percent, where the table shows it.
        tints: row → column → strength in [0, 1] of the colour behind a cell.
        reported: row → column → published values.
    """

    dataset: str
    measure: str
    corner: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Grid
    contenders: tuple[str, ...] = ()
    shares: dict[str, dict[str, float]] = field(default_factory=dict)
    tints: dict[str, dict[str, float]] = field(default_factory=dict)
    reported: dict[str, dict[str, tuple[Reported, ...]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A finished table: `table1` …, one line of title, blocks, and sentences under it."""

    name: str
    title: str
    blocks: tuple[Block, ...]
    notes: tuple[str, ...]


def _with_average(row: dict[str, Value]) -> dict[str, Value]:
    return {**row, AVERAGE: average(list(row.values()))}


def _reported(
    table: str, part: str, rows: dict[str, str], backbones: list[str]
) -> dict[str, dict[str, tuple[Reported, ...]]]:
    """Published values by row and column; averages only where the columns are the paper's backbones.

    Args:
        table: name of the table.
        part: data set, or half of Table 7.
        rows: row here → row there.
        backbones: the columns.
    """
    columns = [*backbones, *([AVERAGE] if set(backbones) == set(PAPER_BACKBONES) else [])]
    return {
        row: {column: reported_values(table, part, there, column) for column in columns}
        for row, there in rows.items()
    }


def _same_model_block(
    table: str, cells: Cells, dataset: str, backbones: list[str], measure: str = "top1"
) -> Block:
    """Every training set under the backbone that distilled or chose it."""
    found: Grid = {
        row: {
            name: cells.transfer(dataset, name, name, training_set=row, measure=measure) for name in backbones
        }
        for row in TRAINING_SETS
    }
    found[FULL] = {name: cells.full(dataset, name, measure) for name in backbones}
    if table == "table4":
        found[MAJORITY] = {name: cells.ceiling(dataset, name, MAJORITY, measure) for name in backbones}
    else:
        for row in CEILINGS:
            found[row] = {name: cells.ceiling(dataset, name, row) for name in backbones}
    published = {row: row for row in (*TRAINING_SETS, FULL)} if measure == "top1" else {}
    return Block(
        dataset,
        measure,
        "Training set",
        tuple(found),
        (*backbones, AVERAGE),
        {row: _with_average(found[row]) for row in found},
        contenders=TRAINING_SETS,
        reported=_reported(table, dataset, published, backbones),
    )


_RUNS_NOTE = "Mean ± standard deviation over probe seeds (Random: over draws of the images). "
_SMALL_SETS_NOTE = _RUNS_NOTE + "Bold: the best of the small training sets."


def _same_model_table(name: str, title: str, cells: Cells, pair: PairSpec, backbones: list[str]) -> Table:
    blocks = tuple(_same_model_block(name, cells, dataset, backbones) for dataset in _datasets(pair))
    return Table(name, title, blocks, (_SMALL_SETS_NOTE + " The last three rows use all training images.",))


def table1(cells: Cells, pair: PairSpec, backbones: list[str]) -> Table:
    """Linear probes with one image per class: distilled and real training sets, same model (Table 1)."""
    return _same_model_table("table1", "Linear probes on a few images per class", cells, pair, backbones)


def table5(cells: Cells, pair: PairSpec, backbones: list[str]) -> Table:
    """Table 1 on fine-grained data sets (Table 5)."""
    return _same_model_table("table5", "Fine-grained data sets", cells, pair, backbones)


def table8(cells: Cells, pair: PairSpec, backbones: list[str]) -> Table:
    """Table 1 on further data sets (Table 8)."""
    return _same_model_table("table8", "Further data sets", cells, pair, backbones)


def table4(cells: Cells, pair: PairSpec, backbones: list[str]) -> Table:
    """Table 1 on data sets with spurious correlations, by three measures (Table 4)."""
    blocks = tuple(
        _same_model_block("table4", cells, dataset, backbones, measure)
        for dataset in _datasets(pair)
        for measure in ("top1", "balanced", "worst_group")
    )
    notes = (
        _SMALL_SETS_NOTE,
        "Balanced accuracy is the mean over the classes, worst-group accuracy the lowest over the test set's "
        "groups of class and background, or over its classes where it has no groups. The last row always "
        "answers the training set's largest class.",
    )
    return Table("table4", "Data sets with spurious correlations", blocks, notes)


def _cross_model_block(cells: Cells, dataset: str, backbones: list[str]) -> Block:
    found: Grid = {
        source: _with_average({target: cells.transfer(dataset, source, target) for target in backbones})
        for source in backbones
    }
    found[FULL] = _with_average({name: cells.full(dataset, name) for name in backbones})
    columns = (*backbones, AVERAGE)
    shares = {
        source: {
            target: 100 * found[source][target].mean / found[FULL][target].mean
            for target in columns
            if found[FULL][target].mean > 0
        }
        for source in backbones
    }
    return Block(
        dataset,
        "top1",
        "Distilled with",
        (*backbones, FULL),
        columns,
        found,
        contenders=tuple(backbones),
        shares=shares,
        tints={row: {column: min(share / 100, 1) for column, share in shares[row].items()} for row in shares},
        reported=_reported("table2", dataset, {row: row for row in (*backbones, FULL)}, backbones),
    )


def table2(cells: Cells, pair: PairSpec, backbones: list[str]) -> Table:
    """Cross-model accuracy of distilled sets: a row distils, a column evaluates (Table 2)."""
    return Table(
        "table2",
        "Distilled with the row's backbone, probed on the column's",
        tuple(_cross_model_block(cells, dataset, backbones) for dataset in _datasets(pair)),
        (
            "Mean ± standard deviation over probe seeds; in parentheses the share of the full data set's "
            "accuracy. Bold: the best distilled set of a column.",
        ),
    )


def table3(cells: Cells, dataset: str, backbones: list[str], variants: list[str]) -> Table:
    """Ablation: the method and its variants, on the distilling model and on the others (Table 3)."""
    if len(backbones) < 2:
        raise InputError("Table 3 averages over the other models: params.yaml needs two backbones or more.")
    names = {METHOD: "", **{name: f"ablation/{name}" for name in variants}}

    def cross(source: str, variant: str) -> Value:
        others = [target for target in backbones if target != source]
        return average([cells.transfer(dataset, source, target, variant=variant) for target in others])

    def same(source: str, variant: str) -> Value:
        return cells.transfer(dataset, source, source, variant=variant)

    blocks = []
    for measure, evaluate in (("same", same), ("cross", cross)):
        found: Grid = {row: {name: evaluate(name, names[row]) for name in backbones} for row in names}
        published = {row: f"{measure}/{FULL if row == METHOD else row}" for row in names}
        if measure == "same":
            found[FULL] = {name: cells.full(dataset, name) for name in backbones}
            published[FULL] = FULL
        blocks.append(
            Block(
                dataset,
                measure,
                "Method",
                tuple(found),
                (*backbones, AVERAGE),
                {row: _with_average(found[row]) for row in found},
                contenders=tuple(names),
                reported=_reported("table3", dataset, published, backbones),
            )
        )
    notes = (
        "A column distils. Same model: the probe runs on it; other models: the mean over all others. "
        "Mean ± standard deviation over probe seeds. Bold: the best of a column.",
    )
    return Table("table3", "Ablation of the method", tuple(blocks), notes)


def normalized_transfer(cells: Cells, dataset: str, backbones: list[str]) -> Grid:
    """1-NN accuracy of the images that a row distilled, as a share of the column's own, in percent.

    A column whose own accuracy is 0 stays empty.
    """
    own = {name: cells.transfer(dataset, name, name, measure="nearest_neighbor").mean for name in backbones}
    return {
        source: {
            target: Value(
                100 * cells.transfer(dataset, source, target, measure="nearest_neighbor").mean / own[target],
                origin=cells.layout.probe(dataset, source),
            )
            for target in backbones
            if own[target] > 0
        }
        for source in backbones
    }


def pairs(backbones: list[str]) -> list[tuple[str, str]]:
    """Ordered pairs of different backbones: the one that distils, the one that evaluates."""
    return [(a, b) for a in backbones for b in backbones if a != b]


def table6(cells: Cells, dataset: str, backbones: list[str]) -> Table:
    """Alignment beside transfer, for every ordered pair of models (Table 6)."""
    normalized = normalized_transfer(cells, dataset, backbones)
    found: Grid = {}
    for a, b in pairs(backbones):
        row = {"alignment": cells.alignment(dataset, a, b), "transfer": cells.transfer(dataset, a, b)}
        found[f"{a}/{b}"] = row | ({"normalized": normalized[a][b]} if b in normalized[a] else {})
    columns = ("alignment", "transfer", "normalized")
    block = Block(dataset, "pairs", "Distilled with → probed on", tuple(found), columns, found)
    notes = (
        "Alignment: mutual k-NN, a fraction of 1. Transfer: top-1 accuracy in percent of linear probes, mean "
        "± standard deviation over probe seeds. 1-NN: percent of the evaluating model's own 1-NN accuracy.",
    )
    return Table("table6", "Alignment and transfer of every pair of models", (block,), notes)


def _row_tints(grid: Grid) -> dict[str, dict[str, float]]:
    """Within each row 1 for the highest value off the diagonal and 0 for the lowest."""
    tints = {}
    for row, values in grid.items():
        others = {column: value.mean for column, value in values.items() if column != row}
        low, high = min(others.values(), default=0), max(others.values(), default=0)
        tints[row] = {
            column: (mean - low) / (high - low) if high > low else 0.0 for column, mean in others.items()
        }
    return tints


def _correlation_rows(transfer: Grid, alignment: Grid, backbones: list[str]) -> Grid:
    """Correlation of transfer with alignment over all ordered pairs, and over those of each source."""
    known = [(a, b) for a, b in pairs(backbones) if b in transfer[a]]
    chosen = {"overall": known, **{name: [pair for pair in known if pair[0] == name] for name in backbones}}
    found: Grid = {}
    for row, some in chosen.items():
        result = correlation([alignment[a][b].mean for a, b in some], [transfer[a][b].mean for a, b in some])
        numbers = {"r": result.pearson, "r_squared": result.r_squared, "spearman": result.spearman}
        found[row] = {"pairs": Value(result.count, digits=0)}
        found[row] |= {name: Value(value, digits=2) for name, value in numbers.items() if value is not None}
    return found


def table7(cells: Cells, dataset: str, backbones: list[str]) -> Table:
    """Normalised 1-NN transfer (left), alignment (right), and how they correlate (Table 7)."""
    names = tuple(backbones)
    transfer = normalized_transfer(cells, dataset, backbones)
    alignment: Grid = {a: {b: cells.alignment(dataset, a, b) for b in names} for a in names}
    # The paper's matrices are of ImageNet-1k.
    rows = {name: name for name in names} if dataset == "imagenet1k" else {}
    left, right = (
        Block(
            dataset,
            measure,
            corner,
            names,
            names,
            grid,
            tints=_row_tints(grid),
            reported=_reported("table7", measure, rows, backbones),
        )
        for measure, corner, grid in (
            ("nearest", "Distilled with", transfer),
            ("alignment", "Source model", alignment),
        )
    )
    found = _correlation_rows(transfer, alignment, backbones)
    columns = ("pairs", "r", "r_squared", "spearman")
    notes = (
        "Left: 1-NN accuracy of the images that the row distilled, seen by the column, in percent of the "
        "column's own. Right: mutual k-NN. Darker: higher within the row. Correlations are of the two, over "
        "ordered pairs of different models; of fewer than three pairs there is none.",
    )
    third = Block(dataset, "correlation", "Distilled with", tuple(found), columns, found)
    return Table(
        "table7", "Transfer of distilled images beside alignment of models", (left, right, third), notes
    )


def _datasets(pair: PairSpec) -> list[str]:
    return list(dict.fromkeys((pair.left, pair.right)))


_PAIR_TABLES = {"table1": table1, "table2": table2, "table4": table4, "table5": table5, "table8": table8}
_DATASET_TABLES: dict[str, Callable[[Cells, str, list[str]], Table]] = {"table6": table6, "table7": table7}
TABLES = ("table1", "table2", "table3", "table4", "table5", "table6", "table7", "table8")


def assemble(name: str, cells: Cells, params: Params) -> Table:
    """The table of that name under the given settings, its notes saying what each data set is.

    Raises:
        InputError: if a cell is missing, naming the stage that makes it.
    """
    backbones = list(params.backbones)
    if name == "table3":
        shown = params.tables.table3
        table = table3(cells, shown.dataset, backbones, list(params.variants.ablation))
    elif name in _PAIR_TABLES:
        table = _PAIR_TABLES[name](cells, getattr(params.tables, name), backbones)
    else:
        table = _DATASET_TABLES[name](cells, getattr(params.tables, name).dataset, backbones)
    return Table(table.name, table.title, table.blocks, (*table.notes, *_captions(table, params)))


def _captions(table: Table, params: Params) -> list[str]:
    names = dict.fromkeys(block.dataset for block in table.blocks)
    lines = {name: about(params.datasets[name]["source"]) for name in names}
    return [f"{name}: {line}." for name, line in lines.items() if line]
