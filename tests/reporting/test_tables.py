"""Tables from hand-made cells: every printed number can be worked out with pencil and paper."""

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
from lgm_core.reporting.published import reported_values
from lgm_core.reporting.results import Cells, Value, average, summarize
from lgm_core.reporting.table_formats import best_rows, format_value, to_csv, to_markdown, to_metrics
from lgm_core.reporting.tables import Table, table1, table2
from lgm_core.settings.params import PairSpec, Params

PAIR = PairSpec(left="pets", right="cars")
CSV_HEADER = "dataset,measure,row,column,mean,std,share_of_full,reported_original,reported_writeup"


def sets(distilled: list[float], **real: list[float]) -> dict[str, Any]:
    """What one backbone reaches with each training set, as a probe's cell holds it."""
    return {
        name: {"top1": runs, "nearest_neighbor": [0.0]}
        for name, runs in {"distilled": distilled, **real}.items()
    }


def baselines(full: list[float], nearest_class_mean: float = 60.0, ridge: float = 65.0) -> dict[str, Any]:
    return {"full": {"top1": full}, "nearest_class_mean": nearest_class_mean, "ridge": ridge, "selection": {}}


REAL = {"neighbors": [70.0, 72.0], "centroids": [85.0, 85.0], "random": [40.0, 50.0, 60.0]}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Cells of two backbones, a and b, on two data sets; cars has the accuracies of pets less ten."""
    layout = Layout(tmp_path, "hand")
    for dataset, less in (("pets", 0.0), ("cars", 10.0)):
        runs = {
            "a": {"a": [80.0, 90.0], "b": [30.0, 50.0]},
            "b": {"a": [20.0, 20.0], "b": [61.0, 63.0]},
        }
        for source, targets in runs.items():
            cell = {
                target: sets([value - less for value in values], **(REAL if target == source else {}))
                for target, values in targets.items()
            }
            write(layout.probe(dataset, source), {"source": source, "targets": cell})
        write(layout.baselines(dataset, "a"), baselines([94.0 - less, 96.0 - less], ridge=91.0))
        write(layout.baselines(dataset, "b"), baselines([80.0 - less, 80.0 - less], ridge=71.5))
    return layout


def write(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


@pytest.fixture
def made(layout: Layout) -> Callable[..., Table]:
    """`made(table1)`: a table of the hand-made cells."""
    return lambda table, pair=PAIR, backbones=("a", "b"): table(Cells(layout), pair, list(backbones))


def csv_rows(table: Table) -> dict[tuple[str, str, str], dict[str, str]]:
    lines = csv.DictReader(io.StringIO(to_csv(table)))
    return {(line["dataset"], line["row"], line["column"]): line for line in lines}


# Numbers


def test_runs_become_mean_and_population_deviation() -> None:
    assert summarize([80.0, 90.0]) == Value(85.0, 5.0)
    draws = summarize([40.0, 50.0, 60.0])
    assert (draws.mean, draws.std) == (50.0, pytest.approx((200 / 3) ** 0.5))
    assert summarize([70.0]) == Value(70.0, None)


def test_the_average_is_of_means_and_of_deviations() -> None:
    assert average([Value(80.0, 4.0), Value(60.0, 1.0)]) == Value(70.0, 2.5)
    assert average([Value(80.0), Value(60.0)]) == Value(70.0, None)
    assert average([Value(80.0, 4.0), Value(60.0)]) == Value(70.0, 4.0)


def test_an_accuracy_is_written_with_one_decimal() -> None:
    assert format_value(Value(84.94, 0.06)) == "84.9 ± 0.1"
    assert format_value(Value(100.0)) == "100.0"


# Table 1


def test_table1_takes_each_backbones_own_sets(made: Callable[..., Table]) -> None:
    pets, cars = made(table1).blocks
    assert (pets.dataset, cars.dataset) == ("pets", "cars")
    assert pets.cells["distilled"] == {
        "a": Value(85.0, 5.0),
        "b": Value(62.0, 1.0),
        "average": Value(73.5, 3.0),
    }
    assert pets.cells["full"]["average"] == Value(87.5, 0.5)
    assert pets.cells["ridge"] == {"a": Value(91.0), "b": Value(71.5), "average": Value(81.25)}
    assert pets.cells["random"]["a"] == summarize([40.0, 50.0, 60.0])
    assert cars.cells["distilled"]["a"] == Value(75.0, 5.0)


def test_table1_has_the_papers_rows_and_the_ceilings(made: Callable[..., Table]) -> None:
    table = made(table1)
    assert table.blocks[0].rows == (
        "distilled", "neighbors", "centroids", "random", "full", "nearest_class_mean", "ridge",
    )  # fmt: skip
    assert table.blocks[0].columns == ("a", "b", "average")
    assert all(set(block.cells) == set(block.rows) for block in table.blocks)


def test_columns_are_the_given_backbones_in_their_order(made: Callable[..., Table]) -> None:
    assert made(table1, backbones=("b", "a")).blocks[0].columns == ("b", "a", "average")
    alone = made(table2, backbones=("b",)).blocks[0]
    assert (alone.columns, alone.rows) == (("b", "average"), ("b", "full"))
    assert alone.cells["b"] == {"b": Value(62.0, 1.0), "average": Value(62.0, 1.0)}


# Table 2


def test_table2_rows_distil_and_columns_evaluate(made: Callable[..., Table]) -> None:
    pets = made(table2).blocks[0]
    assert pets.cells["a"] == {
        "a": Value(85.0, 5.0),
        "b": Value(40.0, 10.0),
        "average": Value(62.5, 7.5),
    }
    assert pets.cells["b"]["a"] == Value(20.0, 0.0)
    assert pets.cells["full"] == {
        "a": Value(95.0, 1.0),
        "b": Value(80.0, 0.0),
        "average": Value(87.5, 0.5),
    }


def test_table2_shares_are_of_the_columns_full_accuracy(made: Callable[..., Table]) -> None:
    shares = made(table2).blocks[0].shares
    assert shares["a"] == pytest.approx({"a": 100 * 85 / 95, "b": 50.0, "average": 100 * 62.5 / 87.5})
    assert set(shares) == {"a", "b"}


# The best of a column


def test_the_best_contender_of_a_column_is_bold(made: Callable[..., Table]) -> None:
    table = made(table1)
    pets = table.blocks[0]
    # Centroids tie with the distilled images at 85.0 in a; the full data set is no contender.
    assert best_rows(pets, "a") == {"distilled", "centroids"}
    assert best_rows(pets, "b") == {"centroids"}
    second = made(table2)
    assert best_rows(second.blocks[0], "a") == {"a"}
    assert best_rows(second.blocks[0], "b") == {"b"}


def test_ties_are_as_printed(layout: Layout) -> None:
    for source, value in (("a", 84.96), ("b", 85.04)):
        cell = {target: sets([value], **REAL) for target in ("a", "b")}
        write(layout.probe("pets", source), {"source": source, "targets": cell})
    table = table2(Cells(layout), PairSpec(left="pets", right="pets"), ["a", "b"])
    assert best_rows(table.blocks[0], "a") == {"a", "b"}
    assert to_markdown(table).count("**85.0**") == 6


# Written forms


def test_csv_has_one_line_per_cell_in_the_tables_order(made: Callable[..., Table]) -> None:
    lines = to_csv(made(table2)).splitlines()
    assert lines[0] == CSV_HEADER
    assert lines[1:4] == [
        "pets,top1,a,a,85,5,89.4737,,",
        "pets,top1,a,b,40,10,50,,",
        "pets,top1,a,average,62.5,7.5,71.4286,,",
    ]
    assert lines[7] == "pets,top1,full,a,95,1,,,"
    assert len(lines) == 1 + 2 * 3 * 3
    assert lines[10].startswith("cars,top1,a,a,75,5,")


def test_csv_leaves_empty_what_there_is_not(made: Callable[..., Table]) -> None:
    cell = csv_rows(made(table1))["pets", "ridge", "a"]
    assert (cell["mean"], cell["std"], cell["share_of_full"]) == ("91", "", "")


def test_markdown_of_table2_by_hand(made: Callable[..., Table]) -> None:
    text = to_markdown(made(table2, pair=PairSpec(left="pets", right="pets")))
    expected = [
        "## pets: top-1 accuracy, %",
        "",
        "| Distilled with | a | b | Average |",
        "|---|---:|---:|---:|",
        "| a | **85.0 ± 5.0** (89 %) | 40.0 ± 10.0 (50 %) | **62.5 ± 7.5** (71 %) |",
        "| b | 20.0 ± 0.0 (21 %) | **62.0 ± 1.0** (78 %) | 41.0 ± 0.5 (47 %) |",
        "| Full dataset | 95.0 ± 1.0 | 80.0 ± 0.0 | 87.5 ± 0.5 |",
    ]
    assert "\n".join(expected) in text
    assert text.startswith("# ")
    assert text.endswith("\n")


def test_markdown_of_table1_titles_its_rows(made: Callable[..., Table]) -> None:
    lines = to_markdown(made(table1)).splitlines()
    assert "| Distilled (ours) | **85.0 ± 5.0** | 62.0 ± 1.0 | 73.5 ± 3.0 |" in lines
    assert "| Centroids | **85.0 ± 0.0** | **85.0 ± 0.0** | **85.0 ± 0.0** |" in lines
    assert "| Ridge (all) | 91.0 | 71.5 | 81.2 |" in lines
    assert "| Nearest class mean (all) | 60.0 | 60.0 | 60.0 |" in lines
    assert [line for line in lines if line.startswith("## ")] == [
        "## pets: top-1 accuracy, %",
        "## cars: top-1 accuracy, %",
    ]


def test_metrics_are_flat_means_and_nothing_else(made: Callable[..., Table]) -> None:
    metrics = to_metrics(made(table2))
    assert metrics["pets"]["top1"]["a"] == {"a": 85.0, "b": 40.0, "average": 62.5}
    assert metrics["cars"]["top1"]["full"]["a"] == 85.0
    assert set(metrics) == {"pets", "cars"}
    assert {"a", "b", "full"} == set(metrics["pets"]["top1"])


@pytest.mark.parametrize("table", [table1, table2])
def test_one_data_set_on_both_sides_is_one_block(made: Callable[..., Table], table: object) -> None:
    single = made(table, pair=PairSpec(left="pets", right="pets"))
    assert [block.dataset for block in single.blocks] == ["pets"]
    assert single.blocks[0] == made(table).blocks[0]
    assert to_markdown(single).count("## pets") == 1


# Reported values


@pytest.fixture
def papers(tmp_path: Path) -> Layout:
    """One backbone of the paper's on one of its data sets."""
    layout = Layout(tmp_path, "paper")
    cell = {"clip": sets([85.9], **REAL)}
    write(layout.probe("imagenet100", "clip"), {"source": "clip", "targets": cell})
    write(layout.baselines("imagenet100", "clip"), baselines([90.0]))
    return layout


PAPERS_PAIR = PairSpec(left="imagenet100", right="imagenet100")


def test_reported_values_stand_beside_measured_ones_with_the_difference(papers: Layout) -> None:
    table = table1(Cells(papers), PAPERS_PAIR, ["clip"])
    text = to_markdown(table)
    assert "**85.9**<br>original: 84.9 (+1.0)<br>writeup: 82.4 (+3.5)" in text
    cell = csv_rows(table)["imagenet100", "distilled", "clip"]
    assert (cell["mean"], cell["reported_original"], cell["reported_writeup"]) == ("85.9", "84.9", "82.4")
    ceiling = csv_rows(table)["imagenet100", "ridge", "clip"]
    assert (ceiling["reported_original"], ceiling["reported_writeup"]) == ("", "")


def test_a_cell_that_one_source_reports_shows_that_one(papers: Layout) -> None:
    cell = csv_rows(table2(Cells(papers), PAPERS_PAIR, ["clip"]))["imagenet100", "full", "clip"]
    values = {value.source: value.mean for value in reported_values("table2", "imagenet100", "full", "clip")}
    assert list(values) == ["writeup"]
    assert (cell["reported_original"], float(cell["reported_writeup"])) == ("", values["writeup"])


def test_an_average_over_other_backbones_is_not_compared_with_the_papers(papers: Layout) -> None:
    table = table1(Cells(papers), PAPERS_PAIR, ["clip"])
    cell = csv_rows(table)["imagenet100", "distilled", "average"]
    assert (cell["reported_original"], cell["reported_writeup"]) == ("", "")


def test_other_names_show_no_reported_values(made: Callable[..., Table]) -> None:
    assert "<br>" not in to_markdown(made(table1)) + to_markdown(made(table2))


# What is missing, and names that could be mistaken


@pytest.mark.parametrize(
    ("kind", "dataset", "backbone"),
    [("probe", "pets", "b"), ("probe", "cars", "a"), ("baselines", "cars", "b")],
)
@pytest.mark.parametrize("table", [table1, table2])
def test_a_missing_cell_names_its_file_and_its_stage(
    layout: Layout, table: Callable[..., Table], kind: str, dataset: str, backbone: str
) -> None:
    path = getattr(layout, kind)(dataset, backbone)
    path.unlink()
    with pytest.raises(InputError, match=f"dvc repro {kind}@{dataset}-{backbone}") as caught:
        table(Cells(layout), PAIR, ["a", "b"])
    assert str(path) in str(caught.value)


def test_a_cell_without_a_wanted_backbone_names_its_stage(layout: Layout) -> None:
    path = layout.probe("cars", "a")
    cell = json.loads(path.read_text(encoding="utf-8"))
    del cell["targets"]["b"]
    write(path, cell)
    with pytest.raises(InputError, match="probe@cars-a"):
        table2(Cells(layout), PAIR, ["a", "b"])


def test_of_a_full_accuracy_of_zero_there_is_no_share(layout: Layout) -> None:
    write(layout.baselines("pets", "a"), baselines([0.0]))
    table = table2(Cells(layout), PAIR, ["a", "b"])
    cells = csv_rows(table)
    assert cells["pets", "a", "a"]["share_of_full"] == ""
    assert cells["pets", "a", "b"]["share_of_full"] == "50"
    assert "| a | **85.0 ± 5.0** | 40.0 ± 10.0 (50 %) |" in to_markdown(table)


@pytest.mark.parametrize("name", ["full", "average"])
def test_a_backbone_cannot_take_the_name_of_a_row_or_column(params: Callable[..., Params], name: str) -> None:
    with pytest.raises(InputError, match=name):
        params(backbones={name: "efficientnet_lite0"})
