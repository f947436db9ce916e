"""Tables 3 to 8 from hand-made cells: every printed number can be worked out with pencil and paper."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.layout import Layout
from lgm_core.reporting.results import Cells, Value
from lgm_core.reporting.table_formats import (
    best_rows,
    format_value,
    to_csv,
    to_latex,
    to_markdown,
    to_metrics,
)
from lgm_core.reporting.tables import TABLES, Table, assemble, table3, table4, table5, table6, table7, table8
from lgm_core.settings.params import PairSpec, Params

MODELS = ["a", "b", "c"]
# 1-NN accuracy of what a row distilled under a column, and the models' alignment.
NEAREST = {
    "a": {"a": 80, "b": 30, "c": 20},
    "b": {"a": 60, "b": 60, "c": 10},
    "c": {"a": 20, "b": 15, "c": 40},
}
ALIGNMENT = {
    "a": {"a": 1, "b": 0.4, "c": 0.2},
    "b": {"a": 0.4, "b": 1, "c": 0.3},
    "c": {"a": 0.2, "b": 0.3, "c": 1},
}
PETS = PairSpec("pets", "pets")
VARIANTS = ["no_pyramid", "no_augment"]


def write(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def runs(top1: list[float], nearest: float = 0.0, *, groups: bool = False) -> dict[str, list[float]]:
    """One training set's accuracies; balanced is 10 and the worst group 20 below top-1."""
    found = {"top1": top1, "nearest_neighbor": [nearest]}
    if groups:
        found |= {"balanced": [v - 10 for v in top1], "worst_group": [v - 20 for v in top1]}
    return found


def probe_cell(source: str, drop: float, *, groups: bool = False) -> dict[str, Any]:
    """Top-1 is 1-NN ± 2 less `drop`; real sets are 30, 40 and 50 on the source itself."""
    targets: dict[str, Any] = {}
    for target, nearest in NEAREST[source].items():
        values = [nearest - drop - 2.0, nearest - drop + 2.0]
        targets[target] = {"distilled": runs(values, nearest, groups=groups)}
    for name, value in (("neighbors", 30.0), ("centroids", 40.0), ("random", 50.0)):
        targets[source][name] = runs([value], groups=groups)
    return {"source": source, "targets": targets}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Cells of three models on one data set without groups and one with."""
    layout = Layout(tmp_path, "hand")
    for dataset, groups in (("pets", False), ("biased", True)):
        for name in MODELS:
            write(layout.probe(dataset, name), probe_cell(name, 0, groups=groups))
            majority = {"top1": 70.0} | ({"balanced": 50.0, "worst_group": 0.0} if groups else {})
            full = runs([88.0, 92.0], groups=groups)
            ceilings = {"nearest_class_mean": 60.0, "ridge": 65.0, "majority": majority}
            write(layout.baselines(dataset, name), {"full": full, **ceilings})
        write(layout.alignment(dataset), {"matrix": ALIGNMENT})
    for number, variant in enumerate(VARIANTS, start=1):
        for name in MODELS:
            write(layout.probe("pets", name, f"ablation/{variant}"), probe_cell(name, 10.0 * number))
    return layout


@pytest.fixture
def cells(layout: Layout) -> Cells:
    return Cells(layout)


def csv_rows(table: Table) -> dict[tuple[str, str, str, str], dict[str, str]]:
    lines = csv.DictReader(io.StringIO(to_csv(table)))
    return {(line["dataset"], line["measure"], line["row"], line["column"]): line for line in lines}


# Table 3


def test_table3_same_is_the_diagonal_and_cross_the_mean_of_the_others(cells: Cells) -> None:
    same, cross = table3(cells, "pets", MODELS, VARIANTS).blocks
    assert same.cells["method"] == {
        "a": Value(80.0, 2.0), "b": Value(60.0, 2.0), "c": Value(40.0, 2.0), "average": Value(60.0, 2.0),
    }  # fmt: skip
    assert cross.cells["method"] == {
        "a": Value(25.0, 2.0), "b": Value(35.0, 2.0), "c": Value(17.5, 2.0), "average": Value(77.5 / 3, 2.0),
    }  # fmt: skip
    assert same.cells["no_augment"]["b"] == Value(40.0, 2.0)
    assert cross.cells["no_pyramid"]["c"] == Value(7.5, 2.0)
    assert same.rows == ("method", "no_pyramid", "no_augment", "full")
    assert cross.rows == ("method", "no_pyramid", "no_augment")
    assert best_rows(same, "a") == {"method"}


def test_table3_needs_another_model(cells: Cells) -> None:
    with pytest.raises(InputError, match="two backbones"):
        table3(cells, "pets", ["a"], VARIANTS)


# Table 4


def test_table4_shows_three_measures_of_every_data_set(cells: Cells) -> None:
    table = table4(cells, PairSpec("biased", "biased"), MODELS)
    assert [(block.dataset, block.measure) for block in table.blocks] == [
        ("biased", "top1"), ("biased", "balanced"), ("biased", "worst_group"),
    ]  # fmt: skip
    top1, balanced, worst = table.blocks
    assert top1.cells["distilled"]["a"] == Value(80.0, 2.0)
    assert balanced.cells["distilled"]["a"] == Value(70.0, 2.0)
    assert worst.cells["centroids"]["c"] == Value(20.0)
    assert [block.cells["majority"]["a"].mean for block in table.blocks] == [70.0, 50.0, 0.0]
    assert worst.cells["full"]["average"] == Value(70.0, 2.0)


def test_table4_of_a_cell_from_before_worst_groups_says_what_to_run(cells: Cells) -> None:
    with pytest.raises(InputError, match="dvc repro probe@pets-a") as caught:
        table4(cells, PETS, MODELS)
    assert "balanced" in str(caught.value)


# Tables 5 and 8


@pytest.mark.parametrize("table", [table5, table8])
def test_tables_5_and_8_are_table_1_on_other_data_sets(cells: Cells, table: Callable[..., Table]) -> None:
    block = table(cells, PETS, MODELS).blocks[0]
    assert block.cells["random"]["b"] == Value(50.0)
    assert block.cells["ridge"]["average"] == Value(65.0)
    assert best_rows(block, "a") == {"distilled"}
    assert best_rows(block, "c") == {"random"}


# Table 6


def test_table6_lists_every_ordered_pair(cells: Cells) -> None:
    block = table6(cells, "pets", MODELS).blocks[0]
    assert block.rows == ("a/b", "a/c", "b/a", "b/c", "c/a", "c/b")
    assert block.cells["b/a"] == {
        "alignment": Value(0.4, digits=3), "transfer": Value(60.0, 2.0), "normalized": Value(75.0),
    }  # fmt: skip
    assert "| b → a | 0.400 | 60.0 ± 2.0 | 75.0 |" in to_markdown(table6(cells, "pets", MODELS))


# Table 7


def test_table7_normalises_by_the_columns_own_accuracy(cells: Cells) -> None:
    transfer, alignment, found = table7(cells, "pets", MODELS).blocks
    assert {row: {c: v.mean for c, v in transfer.cells[row].items()} for row in MODELS} == {
        "a": {"a": 100.0, "b": 50.0, "c": 50.0},
        "b": {"a": 75.0, "b": 100.0, "c": 25.0},
        "c": {"a": 25.0, "b": 25.0, "c": 100.0},
    }
    assert alignment.cells["a"]["c"] == Value(0.2, digits=3)
    # Transfer 50 50 75 25 25 25 against alignment .4 .2 .4 .3 .2 .3, in the order of table 6.
    assert found.cells["overall"]["pairs"].mean == 6
    assert found.cells["overall"]["r"].mean == pytest.approx(0.3**0.5)
    assert found.cells["overall"]["r_squared"].mean == pytest.approx(0.3)
    assert found.cells["overall"]["spearman"].mean == pytest.approx(8 / 240**0.5)


def test_table7_of_two_pairs_in_a_row_shows_a_dash(cells: Cells) -> None:
    table = table7(cells, "pets", MODELS)
    assert table.blocks[2].cells["a"] == {"pairs": Value(2, digits=0)}
    assert "| a | 2 | – | – | – |" in to_markdown(table)
    assert csv_rows(table)["pets", "correlation", "a", "r"]["mean"] == ""


def test_table7_tints_a_row_from_its_lowest_to_its_highest(cells: Cells) -> None:
    transfer, alignment, _ = table7(cells, "pets", MODELS).blocks
    assert transfer.tints["b"] == {"a": 1.0, "c": 0.0}
    assert transfer.tints["a"] == {"b": 0.0, "c": 0.0}
    assert alignment.tints["c"] == {"a": 0.0, "b": 1.0}


def test_a_model_that_recognises_none_of_its_own_images_leaves_its_column_empty(layout: Layout) -> None:
    cell = probe_cell("c", 0)
    cell["targets"]["c"]["distilled"]["nearest_neighbor"] = [0.0]
    write(layout.probe("pets", "c"), cell)
    transfer, _, found = table7(Cells(layout), "pets", MODELS).blocks
    assert set(transfer.cells["a"]) == {"a", "b"}
    assert found.cells["overall"]["pairs"].mean == 4
    assert "normalized" not in table6(Cells(layout), "pets", MODELS).blocks[0].cells["a/c"]


# Missing cells


@pytest.mark.parametrize(
    ("make", "missing", "stage"),
    [
        (lambda cells: table3(cells, "pets", MODELS, VARIANTS), ("probe", "b", "ablation/no_augment"),
         "probe_ablation@pets-b-no_augment"),
        (lambda cells: table3(cells, "pets", MODELS, VARIANTS), ("probe", "c"), "probe@pets-c"),
        (lambda cells: table5(cells, PETS, MODELS), ("baselines", "a"), "baselines@pets-a"),
        (lambda cells: table6(cells, "pets", MODELS), ("alignment",), "align@pets"),
        (lambda cells: table7(cells, "pets", MODELS), ("probe", "a"), "probe@pets-a"),
    ],
)  # fmt: skip
def test_a_missing_cell_names_its_file_and_its_stage(
    layout: Layout, make: Callable[[Cells], Table], missing: tuple[str, ...], stage: str
) -> None:
    path = getattr(layout, missing[0])("pets", *missing[1:])
    path.unlink()
    with pytest.raises(InputError, match=f"dvc repro {stage}") as caught:
        make(Cells(layout))
    assert str(path) in str(caught.value)


# Reported values


@pytest.fixture
def papers(tmp_path: Path) -> Cells:
    """The paper's models with the same hand-made numbers, on its data sets."""
    layout, names = Layout(tmp_path, "paper"), ("clip", "dinov2", "eva02", "mocov3")
    for dataset in ("imagenet1k", "cub"):
        for source in names:
            targets = {target: {"distilled": runs([50.0], 40.0)} for target in names}
            for name in ("neighbors", "centroids", "random"):
                targets[source][name] = runs([30.0])
            write(layout.probe(dataset, source), {"targets": targets})
            ceilings = {"nearest_class_mean": 1.0, "ridge": 1.0}
            write(layout.baselines(dataset, source), {"full": runs([90.0]), **ceilings})
        write(layout.alignment(dataset), {"matrix": {a: dict.fromkeys(names, 0.25) for a in names}})
    return Cells(layout)


def test_averages_are_compared_where_the_columns_are_the_papers(papers: Cells) -> None:
    names = ["clip", "dinov2", "eva02", "mocov3"]
    whole = csv_rows(table5(papers, PairSpec("cub", "cub"), names))
    assert whole["cub", "top1", "distilled", "average"]["reported_original"] == "66.2"
    fewer = csv_rows(table5(papers, PairSpec("cub", "cub"), names[:3]))
    assert fewer["cub", "top1", "distilled", "average"]["reported_original"] == ""
    assert fewer["cub", "top1", "distilled", "clip"]["reported_original"] == "62.2"


def test_table7_is_compared_on_imagenet_1k_only(papers: Cells) -> None:
    names = ["clip", "dinov2", "eva02", "mocov3"]
    found = csv_rows(table7(papers, "imagenet1k", names))
    assert found["imagenet1k", "nearest", "clip", "dinov2"]["reported_original"] == "69.5"
    assert found["imagenet1k", "alignment", "clip", "dinov2"]["reported_original"] == "0.21"
    assert "0.250<br>original: 0.210 (+0.040)" in to_markdown(table7(papers, "imagenet1k", names))
    assert "original" not in to_markdown(table7(papers, "cub", names))


# All tables through the settings, and how they are written


def test_every_table_of_the_embedded_suite_lists_its_cells_from_the_settings(
    params: Callable[..., Params], tmp_path: Path
) -> None:
    settings = params()
    for name in TABLES:
        with pytest.raises(InputError, match="dvc repro"):
            assemble(name, Cells(Layout(tmp_path, "empty")), settings)


def test_the_notes_say_what_a_stand_in_is(params: Callable[..., Params], layout: Layout) -> None:
    for name in ("lite0", "lite1", "lite2"):
        targets = {target: {"distilled": runs([50.0], 40.0)} for target in ("lite0", "lite1", "lite2")}
        write(layout.probe("shapes", name), {"targets": targets})
    matrix = {a: dict.fromkeys(("lite0", "lite1", "lite2"), 0.5) for a in ("lite0", "lite1", "lite2")}
    write(layout.alignment("shapes"), {"matrix": matrix})
    text = to_markdown(assemble("table6", Cells(layout), params()))
    assert "shapes: ten procedural shapes under strong nuisance, in place of ImageNet." in text


def test_values_are_written_with_their_digits() -> None:
    assert format_value(Value(84.94, 0.06)) == "84.9 ± 0.1"
    assert format_value(Value(0.2104, digits=3)) == "0.210"
    assert format_value(None) == "–"


def test_latex_by_hand(cells: Cells) -> None:
    text = to_latex(table7(cells, "pets", MODELS))
    assert r"a & 100.0 & \cellcolor{tint!0}50.0 & \cellcolor{tint!0}50.0 \\" in text
    assert r"b & \cellcolor{tint!55}75.0 & 100.0 & \cellcolor{tint!0}25.0 \\" in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 3
    assert r"R$^2$" in text
    assert r"\caption{Transfer of distilled images" in text
    bold = to_latex(table3(cells, "pets", MODELS, VARIANTS))
    assert r"Full method & \textbf{80.0 $\pm$ 2.0}" in bold
    assert r"$-$ Pyramid" in bold
    assert " % " not in bold.replace(r"\%", "").split(r"\begin{table}")[1]


def test_metrics_are_by_data_set_measure_row_and_column(cells: Cells) -> None:
    metrics = to_metrics(table7(cells, "pets", MODELS))["pets"]
    assert set(metrics) == {"nearest", "alignment", "correlation"}
    assert metrics["nearest"]["b"]["a"] == 75.0
    assert metrics["correlation"]["a"] == {"pairs": 2}


def test_a_value_knows_its_file(cells: Cells, layout: Layout) -> None:
    block = table6(cells, "pets", MODELS).blocks[0]
    assert block.cells["a/b"]["transfer"].origin == layout.probe("pets", "a")
    assert block.cells["a/b"]["alignment"].origin == layout.alignment("pets")
    ablation = table3(cells, "pets", MODELS, VARIANTS).blocks[0]
    origin = ablation.cells["no_pyramid"]["b"].origin
    assert origin == layout.probe("pets", "b", "ablation/no_pyramid")
    assert ablation.cells["no_pyramid"]["average"].origin is None
