"""Table 11: one data set, everything that can be trained on in place of it, by every measure."""

from __future__ import annotations

from lgm_core.reporting.blocks import CENTROIDS, RANDOM, Block, Compared, Grid
from lgm_core.reporting.measures import (
    hard_label_recovery,
    improvement_over_random,
    label_robust_score,
)
from lgm_core.reporting.results import DISTILLED, Results, Value, average

SETS = (
    DISTILLED, "distilled_png", "distilled_jpeg95", "neighbors", CENTROIDS, RANDOM, "herding", "medoids",
    "k_center",
)  # fmt: skip
PROTOTYPES = "prototypes"
SAME, OTHERS, WORST = "same", "others", "worst"
SHARE, IOR, HLR, LRS = "share", "ior", "hlr", "lrs"
KIB, SECONDS, PROBE_SECONDS = "kib", "seconds", "probe_seconds"
COLUMNS = (SAME, OTHERS, WORST, SHARE, IOR, HLR, LRS, KIB, SECONDS, PROBE_SECONDS)
_KIB = 1024


def judge_blocks(results: Results, dataset: str, compared: Compared) -> tuple[Block, ...]:
    """A block for every source: a row is a training set, a column a measure."""
    return tuple(_judged(results, dataset, source, compared) for source in compared.sources)


def _judged(results: Results, dataset: str, source: str, compared: Compared) -> Block:
    own, others = _targets(source, compared)

    def mean(row: str, targets: tuple[str, ...]) -> Value:
        return average([results.judged(dataset, source, target, row) for target in targets])

    whole = average([results.best_of_all_images(dataset, name) for name in own]).mean
    full = average([results.full(dataset, name) for name in own]).mean
    random = mean(RANDOM, own).mean
    cells: Grid = {}
    for row in (*SETS, PROTOTYPES):
        same = mean(row, own)
        cells[row] = {SAME: same, **ranked(same.mean, random, full, whole)}
        if row == PROTOTYPES:
            continue
        if others:
            cells[row][OTHERS] = mean(row, others)
        cells[row][WORST] = min(
            (results.judged(dataset, source, name, row) for name in (*own, *others)),
            key=lambda value: value.mean,
        )
        cells[row][KIB] = Value(results.png_bytes(dataset, source, row) / _KIB, digits=0)
    seconds = results.distill_seconds(dataset, source) / compared.distillations
    cells[DISTILLED][SECONDS] = Value(seconds, digits=0)
    cells[DISTILLED][PROBE_SECONDS] = Value(results.judged_probe_seconds(dataset, source), digits=2)
    return Block(
        f"{dataset}, {source}",
        "judged",
        "Training set",
        (*SETS, PROTOTYPES),
        COLUMNS,
        cells,
        contenders=SETS,
        contested=(SAME, OTHERS, WORST),
    )


def _targets(source: str, compared: Compared) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The backbones that distilled, and the others."""
    own = compared.ensembles.get(source, (source,))
    return own, tuple(name for name in compared.backbones if name not in own)


def ranked(accuracy: float, random: float, full: float, whole: float) -> dict[str, Value]:
    """Share of all images, IOR, HLR and LRS of an accuracy in percent.

    Args:
        accuracy: of a probe on the set.
        random: on as many random images.
        full: on all images.
        whole: the better of that and of ridge regression on all images, which the share is of.
    """
    improvement = improvement_over_random(accuracy, random)
    recovery = hard_label_recovery(accuracy, full)
    found = {IOR: Value(improvement), HLR: Value(recovery)}
    found[LRS] = Value(label_robust_score(improvement, recovery), digits=3)
    return {SHARE: Value(100 * accuracy / whole, digits=0), **found} if whole > 0 else found


def judges_told(results: Results, dataset: str, compared: Compared) -> str:
    """What a probe on all images takes, and which selections are whose."""
    lines = []
    for source in compared.sources:
        own, _ = _targets(source, compared)
        seconds = results.full_probe_seconds(dataset, own[0])
        lines.append(
            f"{dataset}, {source}: selections are made in the features of {own[0]}; one probe on all "
            f"{results.image_count(dataset, own[0]):,} images takes {seconds:.1f} s there."
        )
    return " ".join(lines)
