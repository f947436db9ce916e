"""The parts of tables: one data set, one measure each, and a function for every kind of table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lgm_core.reporting.published import PAPER_BACKBONES, Reported, reported_values
from lgm_core.reporting.results import DISTILLED, Results, Value, average, difference

AVERAGE = "average"
FULL = "full"
MAJORITY = "majority"
METHOD = "method"
LEAD = "lead"
GAP = "gap"
CENTROIDS = "centroids"
RANDOM = "random"
RIDGE = "ridge"
TRAINING_SETS = (DISTILLED, "neighbors", CENTROIDS, RANDOM)
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
        contested: columns in which it is; None for all.
        marked: row → columns whose backbone did not take part in the row's distillation.
        shares: row → column → percent of what all images give the column, where the table shows it.
        tints: row → column → strength in [0, 1] of the colour behind a cell.
        reported: row → column → published values.
        named: rows that the settings name, written as they stand there whatever else is called so.
    """

    dataset: str
    measure: str
    corner: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Grid
    contenders: tuple[str, ...] = ()
    contested: tuple[str, ...] | None = None
    marked: dict[str, tuple[str, ...]] = field(default_factory=dict)
    shares: dict[str, dict[str, float]] = field(default_factory=dict)
    tints: dict[str, dict[str, float]] = field(default_factory=dict)
    reported: Published = field(default_factory=dict)
    named: tuple[str, ...] = ()


@dataclass(frozen=True)
class Compared:
    """What a table compares.

    Attributes:
        backbones: names, in order.
        variants: names of the variants of its kind, in order.
        table: its name among the published values; another name has none.
        ensembles: name → members, where its kind compares them.
        sources: what distils, where a table names it.
        varied: backbones that distil its variants.
        distillations: of every set.
    """

    backbones: tuple[str, ...]
    variants: tuple[str, ...] = ()
    table: str = ""
    ensembles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    varied: tuple[str, ...] = ()
    distillations: int = 1

    def reported(self, part: str, rows: dict[str, str]) -> Published:
        """Published values by row and column; averages only where the columns are the paper's backbones.

        Args:
            part: data set, or half of Table 7.
            rows: row here → row there.
        """
        distilling = self.varied or self.backbones
        whole = set(distilling) == set(PAPER_BACKBONES)
        columns = [*distilling, *([AVERAGE] if whole else [])]
        return {
            row: {column: reported_values(self.table, part, there, column) for column in columns}
            for row, there in rows.items()
        }


BlockMaker = Callable[[Results, str, Compared], tuple[Block, ...]]


def with_average(row: dict[str, Value]) -> dict[str, Value]:
    """A row with the mean over its columns."""
    return {**row, AVERAGE: average(list(row.values()))}


def lead(grid: Grid, column: str) -> Value:
    """The distilled set's accuracy less that of the best real set of a column, with its standard error."""
    real = (grid[row][column] for row in TRAINING_SETS[1:])
    return difference(grid[DISTILLED][column], max(real, key=lambda value: value.mean))


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
    found = {row: with_average(found[row]) for row in found}
    found[LEAD] = {column: lead(found, column) for column in (*names, AVERAGE)}
    order = (*TRAINING_SETS, LEAD, FULL, *references)
    published = {row: row for row in (*TRAINING_SETS, FULL)} if measure == "top1" else {}
    return Block(
        dataset,
        measure,
        "Training set",
        order,
        (*names, AVERAGE),
        found,
        contenders=TRAINING_SETS,
        reported=compared.reported(dataset, published),
    )


def _mean_lead(leads: list[Value]) -> Value:
    """Mean of independent leads, with its standard error in the deviation's place."""
    errors = [value.std or 0.0 for value in leads]
    return Value(math.fsum(value.mean for value in leads) / len(leads), math.hypot(*errors) / len(leads))


def lead_gap(blocks: tuple[Block, ...], others: list[Block], table: str) -> Block:
    """Leads of this table's data sets beside another's, and the difference of their means.

    Args:
        blocks: of this table, one for each data set.
        others: the same of the other table.
        table: its name.
    """
    own = {block.dataset: block.cells[LEAD] for block in blocks}
    there = {f"{table}/{block.dataset}": block.cells[LEAD] for block in others}
    columns = blocks[0].columns
    cells: Grid = there | own
    cells[GAP] = {}
    for column in columns:
        ours, theirs = (_mean_lead([found[column] for found in part.values()]) for part in (own, there))
        error = math.hypot(ours.std or 0.0, theirs.std or 0.0)
        cells[GAP][column] = Value(ours.mean - theirs.mean, error)
    return Block(" and ".join(own), "gap", "Data set", tuple(cells), columns, cells)


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
    found = {row: with_average(found[row]) for row in found}
    columns = (*names, AVERAGE)
    whole = with_average({name: results.best_of_all_images(dataset, name) for name in names})
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
