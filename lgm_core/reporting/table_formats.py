"""A table in words: CSV for programs, Markdown and LaTeX for people, flat numbers for `dvc metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lgm_core.reporting.blocks import CENTROIDS, Block
from lgm_core.reporting.results import Value, resolved
from lgm_core.reporting.tables import Table
from lgm_core.reporting.universal import LONGER

if TYPE_CHECKING:
    import pandas as pd

TITLES = {
    "distilled": "Distilled (ours)",
    "neighbors": "Neighbors",
    "centroids": "Centroids",
    "random": "Random",
    "full": "Full dataset",
    "majority": "Always the largest class",
    "nearest_class_mean": "Nearest class mean (all)",
    "ridge": "Ridge (all)",
    "average": "Average",
    "lead": "Lead over the best real set",
    "gap": "Fine-grained less Table 1",
    "over_random": "Over the column's Random",
    "over_source_centroids": "Over the Centroids of who distilled",
    "over_own_centroids": "Over the column's own Centroids",
    "distilled_png": "Distilled, as 8-bit PNG",
    "distilled_jpeg95": "Distilled, as JPEG 95",
    "herding": "Herding",
    "medoids": "k-means medoids",
    "k_center": "k-center",
    "prototypes": "Prototypes (no images)",
    "settings": "The settings' own",
    "held_out": "Never seen",
    "worst": "Worst",
    "own_share": "Share, %",
    "seconds": "Seconds",
    "probe_seconds": "Seconds, probe",
    "steps": "Steps",
    "rounds": "K",
    "same": "Same model",
    "others": "Other models",
    "share": "Share, %",
    "ior": "IOR",
    "hlr": "HLR",
    "lrs": "LRS",
    "kib": "PNG, KiB",
    "published": "Published pairs (original)",
    "method": "Full method",
    "no_decorrelate": "− Decorrelate",
    "no_pyramid": "− Pyramid",
    "no_augment": "− Augment",
    "alignment": "M-kNN alignment",
    "transfer": "Transfer top-1 (%)",
    "normalized": "Normalised 1-NN (%)",
    "overall": "All pairs",
    "pairs": "Pairs",
    "r": "r",
    "r_squared": "R²",
    "spearman": "Spearman ρ",
}
MEASURES = {
    "top1": "top-1 accuracy, %",
    "balanced": "balanced accuracy, %",
    "worst_group": "worst-group accuracy, %",
    "same": "same model, top-1 accuracy, %",
    "cross": "average over the other models, top-1 accuracy, %",
    "pairs": "every ordered pair of models",
    "nearest_raw": "1-NN accuracy, %",
    "nearest": "normalised 1-NN accuracy, %",
    "probed": "normalised linear-probe accuracy, %",
    "carried": "what other models' distilled images lead by, percentage points ± standard error",
    "gap": "lead over the best real set, percentage points ± standard error",
    "alignment": "mutual k-NN alignment",
    "universal": "top-1 accuracy, %",
    "costs": "what a distillation takes",
    "judged": "top-1 accuracy, %, and other measures",
    "correlation": "correlation of normalised 1-NN with alignment",
    "correlation_probed": "correlation of normalised linear-probe accuracy with alignment",
}
_DASH = "–"
MARK = "†"
_TINT_COLOR = "0072B2"
_STRONGEST_TINT = 0.55


def title_of(name: str) -> str:
    """How a row or column is written; an ordered pair `a/b` is `a → b`, what b chooses `Centroids of b`,
    a longer run of b `b, <name>`."""
    kind, _, source = name.partition("/")
    if kind == CENTROIDS and source:
        return f"{TITLES[CENTROIDS]} of {source}"
    if kind == LONGER and source:
        return source.replace("/", ", ")
    return TITLES.get(name, name.replace("/", " → "))


def row_title(block: Block, row: str) -> str:
    """How a block's row is written: what the settings name, as it stands there."""
    return row if row in block.named else title_of(row)


def heading_of(block: Block) -> str:
    """Data set and measure of a block."""
    return f"{block.dataset}: {MEASURES[block.measure]}"


def format_value(value: Value | None) -> str:
    """`84.9 ± 0.1`, `84.9` where there is one run only, a dash where there is no value."""
    if value is None:
        return _DASH
    mean = f"{value.mean:.{value.digits}f}"
    return mean if value.std is None else f"{mean} ± {value.std:.{value.digits}f}"


def printed(block: Block, row: str, column: str) -> str:
    """A cell's value, with a mark where the column's backbone took no part in the row's distillation."""
    mark = MARK if column in block.marked.get(row, ()) else ""
    return format_value(block.cells[row].get(column)) + mark


def best_rows(block: Block, column: str) -> set[str]:
    """The contender with a column's highest value, and those within two standard errors of it."""
    values = {row: block.cells[row][column] for row in block.contenders if column in block.cells[row]}
    if not values or (block.contested is not None and column not in block.contested):
        return set()
    best = max(values.values(), key=lambda value: value.mean)
    return {row for row, value in values.items() if not resolved(value, best)}


def to_frame(table: Table) -> pd.DataFrame:
    """One row per cell, numbers in full precision; what is not there is not-a-number."""
    import pandas as pd

    lines = []
    for block in table.blocks:
        for row in block.rows:
            for column in block.columns:
                value = block.cells[row].get(column)
                known = {one.source: one.mean for one in block.reported.get(row, {}).get(column, ())}
                numbers = [
                    None if value is None else value.mean,
                    None if value is None else value.std,
                    block.shares.get(row, {}).get(column),
                    known.get("original"),
                    known.get("writeup"),
                ]
                lines.append([block.dataset, block.measure, row, column, *numbers])
    words = ["dataset", "measure", "row", "column"]
    numbers = ["mean", "std", "share_of_full"]
    numbers += ["reported_original", "reported_writeup"]
    return pd.DataFrame(lines, columns=[*words, *numbers]).astype(dict.fromkeys(numbers, float))


def to_csv(table: Table) -> str:
    """One line per cell, for programs."""
    return to_frame(table).to_csv(index=False, float_format="%.6g", lineterminator="\n")


def reported_lines(block: Block, row: str, column: str) -> list[str]:
    """`original: 84.9 (+1.0)` for every published value: theirs, and ours less theirs."""
    value = block.cells[row].get(column)
    digits = 1 if value is None else value.digits
    return [
        f"{one.source}: {one.mean:.{digits}f}"
        + ("" if value is None else f" ({value.mean - one.mean:+.{digits}f})")
        for one in block.reported.get(row, {}).get(column, ())
    ]


def _markdown_cell(block: Block, row: str, column: str) -> str:
    text = printed(block, row, column)
    if row in best_rows(block, column):
        text = f"**{text}**"
    share = block.shares.get(row, {}).get(column)
    if share is not None:
        text += f" ({share:.0f} %)"
    return "<br>".join([text, *reported_lines(block, row, column)])


def to_markdown(table: Table) -> str:
    """The table for people, one part per block."""
    lines = [f"# {table.title}", ""]
    for block in table.blocks:
        header = [block.corner, *(title_of(column) for column in block.columns)]
        lines += [f"## {heading_of(block)}", "", "| " + " | ".join(header) + " |"]
        lines.append("|---" + "|---:" * len(block.columns) + "|")
        for row in block.rows:
            texts = [_markdown_cell(block, row, column) for column in block.columns]
            lines.append("| " + " | ".join([row_title(block, row), *texts]) + " |")
        lines.append("")
    return "\n".join([*lines, "\n\n".join(table.notes)]) + "\n"


_LATEX = str.maketrans(
    {
        "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}",
        "±": r"$\pm$", "−": "$-$", "→": r"$\rightarrow$", "²": "$^2$", "ρ": r"$\rho$", "×": r"$\times$",
        "–": "--", "†": r"$^\dagger$", "λ": r"$\lambda$", "τ": r"$\tau$",
    }
)  # fmt: skip


def _latex_cell(block: Block, row: str, column: str) -> str:
    text = printed(block, row, column).translate(_LATEX)
    if row in best_rows(block, column):
        text = rf"\textbf{{{text}}}"
    tint = block.tints.get(row, {}).get(column)
    shade = "" if tint is None else rf"\cellcolor{{tint!{round(100 * _STRONGEST_TINT * tint)}}}"
    return shade + " ".join(
        [text, *(f"[{line.translate(_LATEX)}]" for line in reported_lines(block, row, column))]
    )


def to_latex(table: Table) -> str:
    """A `table` environment for a paper: needs the packages booktabs and xcolor with the option `table`."""
    lines = [
        r"% \usepackage{booktabs}  \usepackage[table]{xcolor}",
        rf"\definecolor{{tint}}{{HTML}}{{{_TINT_COLOR}}}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{table.title.translate(_LATEX)}. {' '.join(table.notes).translate(_LATEX)}}}",
        rf"\label{{tab:{table.name}}}",
    ]
    for block in table.blocks:
        header = [block.corner, *(title_of(column) for column in block.columns)]
        lines += [
            rf"\par\smallskip\textit{{{heading_of(block).translate(_LATEX)}}}\par",
            rf"\begin{{tabular}}{{l{'r' * len(block.columns)}}}",
            r"\toprule",
            " & ".join(text.translate(_LATEX) for text in header) + r" \\",
            r"\midrule",
        ]
        for row in block.rows:
            texts = [_latex_cell(block, row, column) for column in block.columns]
            lines.append(" & ".join([row_title(block, row).translate(_LATEX), *texts]) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def to_metrics(table: Table) -> dict[str, Any]:
    """Data set → measure → row → column → mean, for `dvc metrics show` and `diff`.

    What has a spread has its standard deviation at the same place below `<measure> ±`.
    """
    metrics: dict[str, Any] = {}
    for block in table.blocks:
        rows = {row: block.cells[row] for row in block.rows}
        found = metrics.setdefault(block.dataset, {})
        found[block.measure] = {row: {c: round(v.mean, 4) for c, v in rows[row].items()} for row in rows}
        spread = {
            row: {c: round(v.std, 4) for c, v in rows[row].items() if v.std is not None} for row in rows
        }
        if any(spread.values()):
            found[f"{block.measure} ±"] = {row: columns for row, columns in spread.items() if columns}
    return metrics
