"""Tables: a row of facts each, and what kind of table it is; assembled from the results.

A table lists its cells from the settings and never looks around in folders: a removed backbone leaves no
trace, and a missing cell is an error that names its file. How the blocks of each kind are made is in
`blocks`, how a table is written in `table_formats`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lgm_core.foundation.errors import InputError, SettingError
from lgm_core.reporting.alignment_blocks import alignment_told, matrix_blocks, pair_blocks
from lgm_core.reporting.blocks import (
    Block,
    BlockMaker,
    Compared,
    lead_gap,
    same_model_blocks,
    spurious_blocks,
)
from lgm_core.reporting.carried import carried_told, cross_model_table
from lgm_core.reporting.judges import judge_blocks, judges_told
from lgm_core.reporting.results import Results
from lgm_core.reporting.universal import universal_blocks, universal_told
from lgm_core.reporting.variant_blocks import ablation_blocks, objective_blocks, objectives_told
from lgm_core.settings.params import Params, Shown
from lgm_core.settings.places import check_places, check_shown_alone

PAIR = ("left", "right")
ONE = ("dataset",)
VARIED = ("dataset", "backbones")
JUDGED = ("dataset", "sources")


@dataclass(frozen=True)
class Table:
    """A finished table: its name, one line of title, blocks, and sentences under it."""

    name: str
    title: str
    blocks: tuple[Block, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Kind:
    """What a table compares.

    Attributes:
        blocks: the blocks of one data set.
        notes: sentences under the table.
        variants: group of variants of the method that it compares; no other kind reads them, so that a new
            variant makes no other table again.
        together: whether it reads what the ensembles are.
        told: a sentence about a data set: what its numbers were measured with, or what they say.
    """

    blocks: BlockMaker
    notes: tuple[str, ...]
    variants: str = ""
    together: bool = False
    told: Callable[[Results, str, Compared], str] | None = None


def spread_note(distillations: int) -> str:
    """What ± is in every table."""
    if distillations == 1:
        return (
            "± is the standard deviation over the probe's seeds, of one distillation (Random: over draws of "
            "the images); another distillation may differ by more."
        )
    return (
        f"± is the standard deviation over {distillations} distillations for what is distilled and its "
        "Neighbors, over draws of the images for Random, over the probe's seeds for all else."
    )


REPORTED_NOTE = (
    "Reported values: the write-up's equal the original's × 0.97, in Table 2 × 0.97²; those of Table 7 and "
    "Figure 3 are the original's. Their ± is over probe seeds of one distillation. The original normalised "
    "every backbone's images by ImageNet's statistics, let crops overhang the image, scaled the probe's "
    "learning rate with the number of images below 100, and may have used noise of mean 0.5."
)

GAP_NOTE = (
    "The last block compares leads. Whether the lead is larger on fine-grained data sets is what its last "
    "row says: this table's mean lead less that of Table 1, ± its standard error."
)
_LEAD = (
    "Lead: Distilled less the best real set of the column, ± its standard error; beyond twice that it is "
    "resolved."
)
_OURS = "No paper reports these numbers; all are ours."
_BEST = "Bold: the best, and what is within two standard errors of it."

KINDS = {
    "same_model": Kind(
        same_model_blocks,
        (
            "Neighbors and Centroids are chosen by the column's model. The last three rows use all training "
            f"images. {_BEST} {_LEAD}",
        ),
    ),
    "spurious": Kind(
        spurious_blocks,
        (
            f"{_BEST} {_LEAD}",
            "Balanced accuracy is the mean over the classes, worst-group accuracy the lowest over the test "
            "set's groups of class and background, or over its classes where it has no groups. The last row "
            "always answers the training set's largest class.",
        ),
    ),
    "cross_model": Kind(
        cross_model_table,
        (
            f"In parentheses the share of what all training images give the column, by the probe or by ridge "
            f"regression, whichever is better. {_BEST}",
            "Leads are means over the other models that distil: accuracy with their images less that with "
            "real ones.",
        ),
        told=carried_told,
    ),
    "ablation": Kind(
        ablation_blocks,
        (
            "A column distils. Same model: the probe runs on it; other models: the mean over all others. "
            + _BEST,
        ),
        variants="ablation",
    ),
    "pairs": Kind(
        pair_blocks,
        (
            "Alignment: mutual k-NN, a fraction of 1. Transfer: top-1 accuracy in percent of linear probes. "
            "1-NN: percent of the evaluating model's own 1-NN accuracy.",
        ),
        told=alignment_told,
    ),
    "matrices": Kind(
        matrix_blocks,
        (
            "1-NN: the images that the row distilled are the gallery, the column sees them. Normalised: in "
            "percent of the column's own accuracy, by 1-NN or by linear probes. Darker: higher within the "
            "row. Correlations are over ordered pairs of different models, three or more.",
        ),
        told=alignment_told,
    ),
    "universal": Kind(
        universal_blocks,
        (
            f"† The column's model did not distil the row's images. {_BEST} Share: of what the column's "
            "model reaches with the images that it distilled for itself, the mean over the columns. "
            "Seconds: of one distillation, on the machine that made it.",
            _OURS,
        ),
        variants="longer",
        together=True,
        told=universal_told,
    ),
    "objectives": Kind(
        objective_blocks,
        (
            "A column distils. Same model: the probe runs on it; other models: the mean over all others. "
            f"{_BEST} Rows of equal steps, and rows of about equal seconds, compare with each other.",
            f"{_OURS} means is what SFM (arXiv 2602.05391) matches, ridge the probe of CLP-DD (arXiv "
            "2605.07194), whose penalty, temperature and normalisation are not published.",
        ),
        variants="objectives",
        told=objectives_told,
    ),
    "judges": Kind(
        judge_blocks,
        (
            f"Same and other models: means over the models that distilled and over the rest. {_BEST} Share: "
            "of the better of a probe and ridge regression on all images. IOR: less Random; HLR: what a "
            "probe on all images has more; LRS from both (DD-Ranking), 1 at best. PNG: the size of the set. "
            "Seconds: of one distillation, and of one probe on the set with the features of its views.",
            f"Prototypes are class means of features, no images. {_OURS}",
        ),
        together=True,
        told=judges_told,
    ),
}


@dataclass(frozen=True)
class TableRow:
    """A table of the paper.

    Attributes:
        kind: a name in :data:`KINDS`.
        title: one line.
        places: of the data sets that it shows.
        against: a table whose leads are compared with this one's.
    """

    kind: str
    title: str
    places: tuple[str, ...]
    against: str = ""


TABLES = {
    "table1": TableRow("same_model", "Linear probes on a few images per class", PAIR),
    "table2": TableRow("cross_model", "Distilled with the row's backbone, probed on the column's", PAIR),
    "table3": TableRow("ablation", "Ablation of the method", VARIED),
    "table4": TableRow("spurious", "Data sets with spurious correlations", PAIR),
    "table5": TableRow("same_model", "Fine-grained data sets", PAIR, against="table1"),
    "table6": TableRow("pairs", "Alignment and transfer of every pair of models", ONE),
    "table7": TableRow("matrices", "Transfer of distilled images beside alignment of models", ONE),
    "table8": TableRow("same_model", "Further data sets", PAIR),
    "table9": TableRow("universal", "Sets made for several backbones at once", VARIED),
    "table10": TableRow("objectives", "What the images are to match", VARIED),
    "table11": TableRow("judges", "Everything that can stand for a data set, by every measure", JUDGED),
}

# A table of one's own depends on what these need: see the stage `tables` in dvc.yaml.
OWN_KINDS = ("same_model", "spurious", "cross_model", "pairs", "matrices")


def check_tables(params: Params) -> None:
    """Refuse tables that cannot be.

    Raises:
        InputError: naming the setting.
    """
    check_places("tables", {name: row.places for name, row in TABLES.items()}, params.tables)
    for name, shown in params.own_tables.items():
        if shown.kind not in OWN_KINDS:
            raise SettingError(f"own_tables.{name}.kind", shown.kind, " | ".join(OWN_KINDS))
        if set(shown.places) != set(PAIR) or name in TABLES:
            raise SettingError(
                f"own_tables.{name}", shown.places, "a name of its own, and kind, left and right"
            )
    shown_alone = {
        "variants.ablation": (params.variants.ablation, "table3", True),
        "ensembles": (params.ensembles, "table9", True),
        "variants.longer": (params.variants.longer, "table9", True),
        "variants.objectives": (params.variants.objectives, "table10", True),
    }
    for key, (given, name, needed) in shown_alone.items():
        check_shown_alone(key, given, f"Table {name[5:]}", bool(params.tables[name].datasets), needed=needed)

    for name in ("table3", "table10"):
        if params.tables[name].datasets and len(params.backbones) < 2:
            allowed = "none where there is one backbone only: it averages over the other models"
            raise SettingError(f"tables.{name}.dataset", params.tables[name].dataset, allowed)


def table_of(name: str, params: Params) -> tuple[TableRow, Shown]:
    """A table's row and what it shows, be it the paper's or one's own.

    Raises:
        InputError: if there is no such table.
    """
    if name in params.own_tables:
        shown = params.own_tables[name]
        return TableRow(str(shown.kind), name, PAIR), shown
    if name not in TABLES:
        raise InputError(f"{name!r} is no table; there are: {', '.join((*TABLES, *params.own_tables))}.")
    return TABLES[name], params.tables[name]


def assemble(name: str, results: Results, params: Params, captions: Mapping[str, str]) -> Table:
    """The table of that name under the given settings.

    Args:
        name: of a table of the paper or of one's own.
        results: where the cells are read.
        params: what is shown.
        captions: what a data set is, by its name; missing or empty for nothing to say.

    Raises:
        InputError: if a cell is missing or there is no such table.
    """
    row, shown = table_of(name, params)
    if not shown.datasets:
        return Table(name, row.title, (), (f"{name} is left out: its data set in the settings is none.",))
    kind = KINDS[row.kind]
    notes = [spread_note(params.distillations), *kind.notes]
    compared = Compared(
        tuple(params.backbones),
        tuple(getattr(params.variants, kind.variants)) if kind.variants else (),
        name,
        {one: tuple(members) for one, members in params.ensembles.items()} if kind.together else {},
        shown.sources or (),
        shown.backbones or (),
        params.distillations,
    )
    blocks = tuple(block for dataset in shown.datasets for block in kind.blocks(results, dataset, compared))
    if kind.told is not None:
        notes += filter(None, (kind.told(results, dataset, compared) for dataset in shown.datasets))
    if row.against and params.tables[row.against].datasets:
        others = [
            kind.blocks(results, dataset, compared)[0] for dataset in params.tables[row.against].datasets
        ]
        blocks += (lead_gap(blocks, others, row.against),)
        notes.append(GAP_NOTE)
    lines = [f"{dataset}: {captions[dataset]}." for dataset in shown.datasets if captions.get(dataset)]
    if any(cells for block in blocks for rows in block.reported.values() for cells in rows.values()):
        notes.append(REPORTED_NOTE)
    return Table(name, row.title, blocks, (*notes, *lines))
