"""Whether distilled images carry over: what they lead real images by on models that did not distil them."""

from __future__ import annotations

from lgm_core.reporting.alignment_blocks import pairs
from lgm_core.reporting.blocks import AVERAGE, CENTROIDS, RANDOM, Block, Compared, Grid, cross_model_blocks
from lgm_core.reporting.results import Results, Value, average, difference, resolved

OVER = {
    "over_random": "the target's Random",
    "over_source_centroids": "the source's Centroids",
    "over_own_centroids": "the target's own Centroids",
}
"""Row → the real images that distilled ones are compared with."""


def rivals(results: Results, dataset: str, source: str, target: str) -> dict[str, Value]:
    """The real images that a distilled set is compared with on another model, by a name of :data:`OVER`.

    Args:
        results: where it is read.
        dataset, source, target: names; the source distils, the target evaluates.
    """
    found = (
        results.transfer(dataset, target, target, training_set=RANDOM),
        results.transfer(dataset, source, target, training_set=CENTROIDS),
        results.transfer(dataset, target, target, training_set=CENTROIDS),
    )
    return dict(zip(OVER, found, strict=True))


def carried_blocks(results: Results, dataset: str, compared: Compared) -> tuple[Block, ...]:
    """Mean leads over real images, a column for each evaluating model; none where there is one model only."""
    names = compared.backbones
    ordered = pairs(names)
    if not ordered:
        return ()
    distilled = {pair: results.transfer(dataset, *pair) for pair in ordered}
    real = {pair: rivals(results, dataset, *pair) for pair in ordered}
    shown = {target: [pair for pair in ordered if pair[1] == target] for target in names} | {AVERAGE: ordered}
    cells: Grid = {
        row: {
            column: difference(
                average([distilled[pair] for pair in chosen]), average([real[pair][row] for pair in chosen])
            )
            for column, chosen in shown.items()
        }
        for row in OVER
    }
    return (Block(dataset, "carried", "Lead on other models", tuple(OVER), (*names, AVERAGE), cells),)


def cross_model_table(results: Results, dataset: str, compared: Compared) -> tuple[Block, ...]:
    """Cross-model accuracy, and what it says of transfer (Table 2)."""
    return cross_model_blocks(results, dataset, compared) + carried_blocks(results, dataset, compared)


def carried_told(results: Results, dataset: str, compared: Compared) -> str:
    """In how many ordered pairs of models the lead is resolved, and in how many it is a resolved loss."""
    ordered = pairs(compared.backbones)
    if not ordered:
        return ""
    verdicts: dict[str, list[bool]] = {name: [] for name in OVER}
    for pair in ordered:
        distilled = results.transfer(dataset, *pair)
        for name, value in rivals(results, dataset, *pair).items():
            if resolved(distilled, value):
                verdicts[name].append(distilled.mean > value.mean)
    counts = [
        f"{what} in {sum(verdicts[name])} (lose in {verdicts[name].count(False)})"
        for name, what in OVER.items()
    ]
    return (
        f"{dataset}: in {len(ordered)} ordered pairs of different models, distilled images beat "
        f"{', '.join(counts)}, by more than two standard errors."
    )
