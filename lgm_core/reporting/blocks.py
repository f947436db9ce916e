"""The parts of tables: one data set, one measure each, and a function for every kind of table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lgm_core.foundation.errors import InputError
from lgm_core.reporting.correlation import correlation
from lgm_core.reporting.published import PAPER_BACKBONES, Reported, reported_values
from lgm_core.reporting.results import Results, Value, average

AVERAGE = "average"
FULL = "full"
MAJORITY = "majority"
METHOD = "method"
CENTROIDS = "centroids"
RANDOM = "random"
RIDGE = "ridge"
TRAINING_SETS = ("distilled", "neighbors", CENTROIDS, RANDOM)
CEILINGS = ("nearest_class_mean", RIDGE)
Grid = dict[str, dict[str, Value]]
Published = dict[str, dict[str, tuple[Reported, ...]]]


@dataclass(frozen=True)
class Block:
    """One part of a table: one data set, one measure.

    Attributes:
        dataset: its name in the settings.
        measure: what the numbers are, as `table_formats` titles it.
        corner: what the rows are.
        rows, columns: in order.
        cells: row → column → value; a missing one is undefined and printed as a dash.
        contenders: rows among which the best of a column is bold.
        shares: row → column → percent of what all images give the column, where the table shows it.
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
    reported: Published = field(default_factory=dict)


@dataclass(frozen=True)
class Compared:
    """What a table compares.

    Attributes:
        backbones: names, in order.
        variants: names of the ablations, in order.
        table: its name among the published values; another name has none.
    """

    backbones: tuple[str, ...]
    variants: tuple[str, ...] = ()
    table: str = ""

    def reported(self, part: str, rows: dict[str, str]) -> Published:
        """Published values by row and column; averages only where the columns are the paper's backbones.

        Args:
            part: data set, or half of Table 7.
            rows: row here → row there.
        """
        whole = set(self.backbones) == set(PAPER_BACKBONES)
        columns = [*self.backbones, *([AVERAGE] if whole else [])]
        return {
            row: {column: reported_values(self.table, part, there, column) for column in columns}
            for row, there in rows.items()
        }


BlockMaker = Callable[[Results, str, Compared], tuple[Block, ...]]


def _with_average(row: dict[str, Value]) -> dict[str, Value]:
    return {**row, AVERAGE: average(list(row.values()))}


def _same_model(results: Results, dataset: str, compared: Compared, measure: str, references: Grid) -> Block:
    """Every training set under the backbone that distilled or chose it, above what all images reach."""
    names = compared.backbones
    found: Grid = {
        row: {
            name: results.transfer(dataset, name, name, training_set=row, measure=measure) for name in names
        }
        for row in TRAINING_SETS
    }
    found[FULL] = {name: results.full(dataset, name, measure) for name in names}
    found |= references
    published = {row: row for row in (*TRAINING_SETS, FULL)} if measure == "top1" else {}
    return Block(
        dataset,
        measure,
        "Training set",
        tuple(found),
        (*names, AVERAGE),
        {row: _with_average(found[row]) for row in found},
        contenders=TRAINING_SETS,
        reported=compared.reported(dataset, published),
    )


def same_model_blocks(results: Results, dataset: str, compared: Compared) -> tuple[Block, ...]:
    """Linear probes with one image per class: distilled and real training sets, same model (Table 1)."""
    ceilings: Grid = {
        row: {name: results.ceiling(dataset, name, row) for name in compared.backbones} for row in CEILINGS
    }
    return (_same_model(results, dataset, compared, "top1", ceilings),)


def spurious_blocks(results: Results, dataset: str, compared: Compared) -> tuple[Block, ...]:
    """The same by three measures, beside always answering the largest class (Table 4)."""
    return tuple(
        _same_model(
            results,
            dataset,
            compared,
            measure,
            {
                MAJORITY: {
                    name: results.ceiling(dataset, name, MAJORITY, measure) for name in compared.backbones
                }
            },
        )
        for measure in ("top1", "balanced", "worst_group")
    )


def chosen_by(source: str) -> str:
    """Row of the real images that a backbone chooses as nearest to its class means."""
    return f"{CENTROIDS}/{source}"


def cross_model_blocks(results: Results, dataset: str, compared: Compared) -> tuple[Block, ...]:
    """Cross-model accuracy: a row distils, or chooses real images, and a column evaluates (Table 2)."""
    names = compared.backbones
    found: Grid = {
        source: {target: results.transfer(dataset, source, target) for target in names} for source in names
    }
    for source in names:
        found[chosen_by(source)] = {
            target: results.transfer(dataset, source, target, training_set=CENTROIDS) for target in names
        }
    found[RANDOM] = {
        target: results.transfer(dataset, target, target, training_set=RANDOM) for target in names
    }
    found[FULL] = {name: results.full(dataset, name) for name in names}
    found[RIDGE] = {name: results.ceiling(dataset, name, RIDGE) for name in names}
    found = {row: _with_average(found[row]) for row in found}
    columns = (*names, AVERAGE)
    whole = _with_average({name: results.best_of_all_images(dataset, name) for name in names})
    small = [row for row in found if row not in (FULL, RIDGE)]
    shares = {
        row: {
            column: 100 * found[row][column].mean / whole[column].mean
            for column in columns
            if whole[column].mean > 0
        }
        for row in small
    }
    block = Block(
        dataset,
        "top1",
        "Distilled with",
        tuple(found),
        columns,
        found,
        contenders=tuple(small),
        shares=shares,
        tints={row: {column: min(share / 100, 1) for column, share in shares[row].items()} for row in shares},
        reported=compared.reported(dataset, {row: row for row in (*names, FULL)}),
    )
    return (block,)


def ablation_blocks(results: Results, dataset: str, compared: Compared) -> tuple[Block, ...]:
    """The method and its variants, on the distilling model and on the others (Table 3)."""
    names = compared.backbones
    if len(names) < 2:
        raise InputError(
            "An ablation averages over the other models: there need to be two backbones or more."
        )
    variants = {METHOD: "", **{name: f"ablation/{name}" for name in compared.variants}}

    def cross(source: str, variant: str) -> Value:
        others = [target for target in names if target != source]
        return average([results.transfer(dataset, source, target, variant=variant) for target in others])

    def same(source: str, variant: str) -> Value:
        return results.transfer(dataset, source, source, variant=variant)

    blocks = []
    for measure, evaluate in (("same", same), ("cross", cross)):
        found: Grid = {row: {name: evaluate(name, variants[row]) for name in names} for row in variants}
        published = {row: f"{measure}/{FULL if row == METHOD else row}" for row in variants}
        if measure == "same":
            found[FULL] = {name: results.full(dataset, name) for name in names}
            published[FULL] = FULL
        blocks.append(
            Block(
                dataset,
                measure,
                "Method",
                tuple(found),
                (*names, AVERAGE),
                {row: _with_average(found[row]) for row in found},
                contenders=tuple(variants),
                reported=compared.reported(dataset, published),
            )
        )
    return tuple(blocks)


def normalized_transfer(results: Results, dataset: str, backbones: tuple[str, ...]) -> Grid:
    """1-NN accuracy of the images that a row distilled, as a share of the column's own, in percent.

    A column whose own accuracy is 0 stays empty.
    """

    def nearest(source: str, target: str) -> float:
        return results.transfer(dataset, source, target, measure="nearest_neighbor").mean

    own = {name: nearest(name, name) for name in backbones}
    return {
        source: {
            target: Value(
                100 * nearest(source, target) / own[target], origin=results.layout.cell(dataset, source).probe
            )
            for target in backbones
            if own[target] > 0
        }
        for source in backbones
    }


def pairs(backbones: tuple[str, ...]) -> list[tuple[str, str]]:
    """Ordered pairs of different backbones: the one that distils, the one that evaluates."""
    return [(a, b) for a in backbones for b in backbones if a != b]


def pair_blocks(results: Results, dataset: str, compared: Compared) -> tuple[Block, ...]:
    """Alignment beside transfer, for every ordered pair of models (Table 6)."""
    normalized = normalized_transfer(results, dataset, compared.backbones)
    found: Grid = {}
    for a, b in pairs(compared.backbones):
        row = {"alignment": results.alignment(dataset, a, b), "transfer": results.transfer(dataset, a, b)}
        found[f"{a}/{b}"] = row | ({"normalized": normalized[a][b]} if b in normalized[a] else {})
    columns = ("alignment", "transfer", "normalized")
    return (Block(dataset, "pairs", "Distilled with → probed on", tuple(found), columns, found),)


def _row_tints(grid: Grid) -> dict[str, dict[str, float]]:
    """Within each row 1 for the highest value off the diagonal and 0 for the lowest."""
    tints = {}
    for row, values in grid.items():
        others = {column: value.mean for column, value in values.items() if column != row}
        low = min(others.values(), default=0)
        high = max(others.values(), default=0)
        tints[row] = {
            column: (mean - low) / (high - low) if high > low else 0.0 for column, mean in others.items()
        }
    return tints


def _correlation_rows(transfer: Grid, alignment: Grid, backbones: tuple[str, ...]) -> Grid:
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


def matrix_blocks(results: Results, dataset: str, compared: Compared) -> tuple[Block, ...]:
    """Normalised 1-NN transfer (left), alignment (right), and how they correlate (Table 7)."""
    names = compared.backbones
    transfer = normalized_transfer(results, dataset, names)
    alignment: Grid = {a: {b: results.alignment(dataset, a, b) for b in names} for a in names}
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
            reported=compared.reported(measure, rows),
        )
        for measure, corner, grid in (
            ("nearest", "Distilled with", transfer),
            ("alignment", "Source model", alignment),
        )
    )
    found = _correlation_rows(transfer, alignment, names)
    columns = ("pairs", "r", "r_squared", "spearman")
    return left, right, Block(dataset, "correlation", "Distilled with", tuple(found), columns, found)
