"""The parts of tables about alignment: transfer of distilled images beside the models' shared neighbours."""

from __future__ import annotations

from lgm_core.reporting.blocks import Block, Compared, Grid
from lgm_core.reporting.correlation import correlation
from lgm_core.reporting.published import PAPER_BACKBONES, reported_values
from lgm_core.reporting.results import Results, Value

NEAREST = "nearest_neighbor"
PROBED = "top1"
PUBLISHED = "published"


def normalized_transfer(
    results: Results, dataset: str, backbones: tuple[str, ...], measure: str = NEAREST
) -> Grid:
    """Accuracy with the images that a row distilled, as a share of the column's own, in percent.

    A column whose own accuracy is 0 stays empty.

    Args:
        results: where it is read.
        dataset, backbones: names.
        measure: of 1-NN or of linear probes.
    """
    found = {
        source: {target: results.transfer(dataset, source, target, measure=measure) for target in backbones}
        for source in backbones
    }
    return {
        source: {
            target: Value(100 * value.mean / found[target][target].mean, origin=value.origin)
            for target, value in row.items()
            if found[target][target].mean > 0
        }
        for source, row in found.items()
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


def _correlation_row(x: list[float], y: list[float]) -> dict[str, Value]:
    result = correlation(x, y)
    numbers = {"r": result.pearson, "r_squared": result.r_squared, "spearman": result.spearman}
    found = {name: Value(value, digits=2) for name, value in numbers.items() if value is not None}
    return {"pairs": Value(result.count, digits=0), **found}


def _correlation_rows(transfer: Grid, alignment: Grid, backbones: tuple[str, ...]) -> Grid:
    """Correlation of transfer with alignment over all ordered pairs, and over those of each source."""
    known = [(a, b) for a, b in pairs(backbones) if b in transfer[a]]
    chosen = {"overall": known, **{name: [pair for pair in known if pair[0] == name] for name in backbones}}
    return {
        row: _correlation_row([alignment[a][b].mean for a, b in some], [transfer[a][b].mean for a, b in some])
        for row, some in chosen.items()
    }


def _published_correlation() -> dict[str, Value]:
    """The same of what the original's Table 7 prints, over its ordered pairs."""
    x, y = (
        [reported_values("table7", part, a, b)[0].mean for a, b in pairs(PAPER_BACKBONES)]
        for part in ("alignment", "nearest")
    )
    return _correlation_row(x, y)


def matrix_blocks(results: Results, dataset: str, compared: Compared) -> tuple[Block, ...]:
    """Transfer by 1-NN and by probes beside alignment, and how they correlate (Table 7)."""
    names = compared.backbones
    raw: Grid = {a: {b: results.transfer(dataset, a, b, measure=NEAREST) for b in names} for a in names}
    nearest = normalized_transfer(results, dataset, names)
    probed = normalized_transfer(results, dataset, names, PROBED)
    alignment: Grid = {a: {b: results.alignment(dataset, a, b) for b in names} for a in names}
    # The paper's matrices are of ImageNet-1k.
    rows = {name: name for name in names} if dataset == "imagenet1k" else {}
    matrices = [
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
            ("nearest_raw", "Distilled with", raw),
            ("nearest", "Distilled with", nearest),
            ("probed", "Distilled with", probed),
            ("alignment", "Source model", alignment),
        )
    ]
    columns = ("pairs", "r", "r_squared", "spearman")
    by_nearest = _correlation_rows(nearest, alignment, names) | {PUBLISHED: _published_correlation()}
    by_probe = _correlation_rows(probed, alignment, names)
    correlations = [
        Block(dataset, measure, "Distilled with", tuple(found), columns, found)
        for measure, found in (("correlation", by_nearest), ("correlation_probed", by_probe))
    ]
    return (*matrices, *correlations)


def alignment_told(results: Results, dataset: str, compared: Compared) -> str:
    """What a data set's alignment was measured with."""
    facts = results.alignment_facts(dataset)
    return (
        f"Alignment on {dataset}: mutual k-NN with k = {facts['neighbors']} of n = {facts['samples']:,} test "
        f"images; chance is {facts['chance']:.3f}."
    )
