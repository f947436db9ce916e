"""How a table is written: every file by hand, and the CSV byte for byte as the plain writer has it."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reporting.hand_made import MODELS, VARIANTS, baselines, csv_rows, write_of

from lgm_core.reporting.blocks import Block
from lgm_core.reporting.published import PAPER_BACKBONES, Reported
from lgm_core.reporting.results import Results, Value, summarize
from lgm_core.reporting.table_formats import (
    best_rows,
    format_value,
    heading_of,
    reported_lines,
    title_of,
    to_csv,
    to_frame,
    to_latex,
    to_markdown,
    to_metrics,
)
from lgm_core.reporting.tables import Table

Assembled = Callable[..., Table]
HEADER = "dataset,measure,row,column,mean,std,share_of_full,reported_original,reported_writeup"
NUMBERS = ["mean", "std", "share_of_full", "reported_original", "reported_writeup"]


@pytest.fixture
def made(two: Results, assembled: Assembled) -> Callable[..., Table]:
    """`made("table1")`: a table of two backbones on pets and cars."""
    return lambda name, right="cars": assembled(name, two, "pets", right, ("a", "b"))


# Words


def test_values_are_written_with_their_digits() -> None:
    assert format_value(Value(84.94, 0.06)) == "84.9 ± 0.1"
    assert format_value(Value(100.0)) == "100.0"
    assert format_value(Value(0.2104, digits=3)) == "0.210"
    assert format_value(None) == "–"


def test_names_are_written_out() -> None:
    assert title_of("no_pyramid") == "− Pyramid"
    assert title_of("clip/dinov2") == "clip → dinov2"
    assert title_of("my_model") == "my_model"
    assert heading_of(Block("pets", "nearest", "", (), (), {})) == "pets: normalised 1-NN accuracy, %"


def test_the_best_are_the_highest_and_what_is_within_two_standard_errors_of_it() -> None:
    cells = {
        "a": {"x": summarize([82.0, 84.0, 86.0])},
        "b": {"x": summarize([85.0, 85.0, 85.0])},
        "c": {"x": Value(90.0)},
        "d": {},
        "e": {"x": summarize([81.0, 82.0, 83.0])},
    }
    block = Block("pets", "top1", "", tuple(cells), ("x", "y"), cells, contenders=("a", "b", "d", "e"))
    assert best_rows(block, "x") == {"a", "b"}
    assert best_rows(block, "y") == set()


def test_a_published_value_is_told_with_the_difference_where_there_is_one() -> None:
    reported = {"a": {"x": (Reported("original", 0.21, None), Reported("writeup", 0.5, 0.1))}}
    cells = {"a": {"x": Value(0.25, digits=3)}}
    block = Block("pets", "alignment", "", ("a",), ("x",), cells, reported=reported)
    assert reported_lines(block, "a", "x") == ["original: 0.210 (+0.040)", "writeup: 0.500 (-0.250)"]
    empty = Block("pets", "alignment", "", ("a",), ("x",), {"a": {}}, reported=reported)
    assert reported_lines(empty, "a", "x") == ["original: 0.2", "writeup: 0.5"]


# CSV


def test_csv_has_one_line_per_cell_in_the_tables_order(made: Callable[..., Table]) -> None:
    lines = to_csv(made("table2")).splitlines()
    assert lines[0] == HEADER
    assert lines[1:4] == [
        "pets,top1,a,a,85,5,89.4737,,",
        "pets,top1,a,b,40,10,50,,",
        "pets,top1,a,average,62.5,7.5,71.4286,,",
    ]
    assert lines[7] == "pets,top1,centroids/a,a,85,0,89.4737,,"
    assert lines[16] == "pets,top1,full,a,95,1,,,"
    assert lines[22] == "pets,carried,over_random,a,-30,5.7735,,,"
    assert len(lines) == 1 + 2 * (7 + 3) * 3
    assert lines[31].startswith("cars,top1,a,a,75,5,")


def test_csv_leaves_empty_what_there_is_not(made: Callable[..., Table], two: Results) -> None:
    cell = csv_rows(made("table1"))["pets", "top1", "ridge", "a"]
    assert (cell["mean"], cell["std"], cell["share_of_full"]) == ("91", "", "")
    write_of(two.layout.cell("pets", "a"), "baselines", baselines([0.0], ridge=0.0))
    cells = csv_rows(made("table2"))
    assert cells["pets", "top1", "a", "a"]["share_of_full"] == ""
    assert cells["pets", "top1", "a", "b"]["share_of_full"] == "50"


def test_csv_of_a_correlation_that_is_not_defined_is_empty(three: Results, assembled: Assembled) -> None:
    found = csv_rows(assembled("table7", three, "pets", "pets", MODELS))
    assert found["pets", "correlation", "a", "r"]["mean"] == ""
    assert found["pets", "correlation", "a", "pairs"]["mean"] == "2"


def plain_csv(table: Table) -> str:
    """The same file by the standard library's writer, number by number."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["dataset", "measure", "row", "column", *NUMBERS])
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
                texts = ["" if number is None else f"{number:.6g}" for number in numbers]
                writer.writerow([block.dataset, block.measure, row, column, *texts])
    return out.getvalue()


@pytest.mark.parametrize("name", ["table1", "table2", "table3", "table5", "table6", "table7", "table8"])
def test_csv_is_byte_for_byte_that_of_the_plain_writer(
    three: Results, papers: Results, assembled: Assembled, name: str
) -> None:
    table = assembled(name, three, "pets", "biased", MODELS, variants=VARIANTS)
    assert to_csv(table) == plain_csv(table)
    table = assembled(name, papers, "imagenet1k", "imagenet100", PAPER_BACKBONES)
    assert to_csv(table) == plain_csv(table)
    assert "original" in to_csv(table)


def test_csv_of_three_measures_and_of_nothing_is_that_of_the_plain_writer(
    three: Results, assembled: Assembled
) -> None:
    table = assembled("table4", three, "biased", "biased", MODELS)
    assert to_csv(table) == plain_csv(table)
    empty = Table("table1", "title", (), ("left out",))
    assert to_csv(empty) == plain_csv(empty) == HEADER + "\n"


NUMBER = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**6), 10**6)
NAMES = st.lists(st.text("abz09_-/,\"' .\n", min_size=1, max_size=5), min_size=1, max_size=3, unique=True)
# What may be known of a cell: mean, perhaps a deviation; a share; sources of published values.
CELL = st.tuples(
    st.none() | st.tuples(NUMBER, st.none() | NUMBER),
    st.none() | NUMBER,
    st.lists(st.sampled_from(["original", "writeup"]), unique=True),
)


def block_of(rows: list[str], columns: list[str], cells: list[tuple[Any, Any, list[str]]]) -> Block:
    """A block whose cells are given row by row, and then from the first again."""
    places = [(row, column) for row in rows for column in columns]
    known = {place: cells[number % len(cells)] for number, place in enumerate(places)}
    values: dict[str, dict[str, Value]] = {row: {} for row in rows}
    shares: dict[str, dict[str, float]] = {}
    reported: dict[str, dict[str, tuple[Reported, ...]]] = {}
    for (row, column), (value, share, sources) in known.items():
        if value is not None:
            values[row][column] = Value(*value)
        if share is not None:
            shares.setdefault(row, {})[column] = share
        reported.setdefault(row, {})[column] = tuple(Reported(source, 12.345678, None) for source in sources)
    return Block(rows[0], "top1", "", (*rows,), (*columns,), values, shares=shares, reported=reported)


@given(st.lists(st.tuples(NAMES, NAMES, st.lists(CELL, min_size=1, max_size=9)), max_size=3))
def test_csv_of_any_table_is_that_of_the_plain_writer(blocks: list[Any]) -> None:
    table = Table("any", "title", tuple(block_of(*block) for block in blocks), ())
    assert to_csv(table) == plain_csv(table)


# Frames


def test_a_frame_has_the_numbers_of_the_table_in_full_precision(
    made: Callable[..., Table],
) -> None:
    table = made("table2")
    frame = to_frame(table)
    assert list(frame.columns) == HEADER.split(",")
    cells = [(block, row, column) for block in table.blocks for row in block.rows for column in block.columns]
    assert len(frame) == len(cells)
    for line, (block, row, column) in zip(frame.itertuples(index=False), cells, strict=True):
        assert (line.dataset, line.measure, line.row, line.column) == (
            block.dataset,
            block.measure,
            row,
            column,
        )
        assert line.mean == block.cells[row][column].mean
        std = block.cells[row][column].std
        assert math.isnan(line.std) if std is None else line.std == std
        share = block.shares.get(row, {}).get(column)
        assert math.isnan(line.share_of_full) if share is None else line.share_of_full == share
    assert all(frame[name].dtype == float for name in NUMBERS)


def test_a_frame_holds_published_values_beside_measured_ones(papers: Results, assembled: Assembled) -> None:
    frame = to_frame(assembled("table1", papers, "imagenet100", "imagenet100", ("clip",)))
    cell = frame.set_index(["row", "column"]).loc["distilled", "clip"]
    assert (cell["mean"], cell["reported_original"], cell["reported_writeup"]) == (85.9, 84.9, 82.4)
    assert pd.isna(frame.set_index(["row", "column"]).loc[("ridge", "clip"), "reported_original"])


def test_a_frame_of_nothing_has_its_columns_all_the_same() -> None:
    frame = to_frame(Table("table1", "title", (), ()))
    assert (len(frame), list(frame.columns)) == (0, HEADER.split(","))
    assert all(frame[name].dtype == float for name in NUMBERS)


def test_a_frame_is_what_reading_the_csv_gives(made: Callable[..., Table], tmp_path: Path) -> None:
    table = made("table2")
    (tmp_path / "table.csv").write_text(to_csv(table), encoding="utf-8")
    read = pd.read_csv(tmp_path / "table.csv").astype(dict.fromkeys(NUMBERS, float))
    pd.testing.assert_frame_equal(read, to_frame(table), rtol=1e-5, check_dtype=False)


# Markdown, LaTeX and metrics


def test_markdown_of_table2_by_hand(made: Callable[..., Table]) -> None:
    text = to_markdown(made("table2", right="pets"))
    expected = [
        "## pets: top-1 accuracy, %",
        "",
        "| Distilled with | a | b | Average |",
        "|---|---:|---:|---:|",
        "| a | **85.0 ± 5.0** (89 %) | 40.0 ± 10.0 (50 %) | **62.5 ± 7.5** (71 %) |",
        "| b | 20.0 ± 0.0 (21 %) | 62.0 ± 1.0 (78 %) | 41.0 ± 0.5 (47 %) |",
        "| Centroids of a | **85.0 ± 0.0** (89 %) | 30.0 ± 0.0 (38 %) | **57.5 ± 0.0** (66 %) |",
        "| Centroids of b | 30.0 ± 0.0 (32 %) | **85.0 ± 0.0** (106 %) | **57.5 ± 0.0** (66 %) |",
        "| Random | 50.0 ± 10.0 (53 %) | 50.0 ± 10.0 (62 %) | **50.0 ± 10.0** (57 %) |",
        "| Full dataset | 95.0 ± 1.0 | 80.0 ± 0.0 | 87.5 ± 0.5 |",
        "| Ridge (all) | 91.0 | 71.5 | 81.2 |",
    ]
    assert "\n".join(expected) in text
    assert text.startswith("# ")
    assert text.endswith("\n")


def test_markdown_of_table1_titles_its_rows(made: Callable[..., Table]) -> None:
    lines = to_markdown(made("table1")).splitlines()
    assert "| Distilled (ours) | **85.0 ± 5.0** | 62.0 ± 1.0 | 73.5 ± 3.0 |" in lines
    assert "| Centroids | **85.0 ± 0.0** | **85.0 ± 0.0** | **85.0 ± 0.0** |" in lines
    assert "| Ridge (all) | 91.0 | 71.5 | 81.2 |" in lines
    assert "| Nearest class mean (all) | 60.0 | 60.0 | 60.0 |" in lines
    assert [line for line in lines if line.startswith("## ")] == [
        "## pets: top-1 accuracy, %",
        "## cars: top-1 accuracy, %",
    ]


def test_markdown_shows_a_dash_where_there_is_no_number(
    three: Results, two: Results, assembled: Assembled
) -> None:
    assert "| a | 2 | – | – | – |" in to_markdown(assembled("table7", three, "pets", "pets", MODELS))
    pairs = to_markdown(assembled("table6", three, "pets", "pets", MODELS))
    assert "| b → a | 0.400 | 60.0 ± 2.0 | 75.0 |" in pairs
    write_of(two.layout.cell("pets", "a"), "baselines", baselines([0.0], ridge=0.0))
    text = to_markdown(assembled("table2", two, "pets", "cars", ("a", "b")))
    assert "| a | **85.0 ± 5.0** | 40.0 ± 10.0 (50 %) |" in text


def test_notes_stand_under_the_table(made: Callable[..., Table]) -> None:
    table = made("table1")
    assert to_markdown(table).endswith("\n\n" + "\n\n".join(table.notes) + "\n")


def test_latex_by_hand(three: Results, assembled: Assembled) -> None:
    text = to_latex(assembled("table7", three, "pets", "pets", MODELS))
    assert r"a & 100.0 & \cellcolor{tint!0}50.0 & \cellcolor{tint!0}50.0 \\" in text
    assert r"b & \cellcolor{tint!55}75.0 & 100.0 & \cellcolor{tint!0}25.0 \\" in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 6
    assert r"R$^2$" in text
    assert r"\caption{Transfer of distilled images" in text
    assert r"\label{tab:table7}" in text
    bold = to_latex(assembled("table3", three, "pets", "pets", MODELS, variants=VARIANTS))
    assert r"Full method & \textbf{80.0 $\pm$ 2.0}" in bold
    assert r"$-$ Pyramid" in bold
    assert " % " not in bold.replace(r"\%", "").split(r"\begin{table}")[1]


def test_metrics_are_means_and_their_spread_beside_them(made: Callable[..., Table]) -> None:
    metrics = to_metrics(made("table2"))
    assert metrics["pets"]["top1"]["a"] == {"a": 85.0, "b": 40.0, "average": 62.5}
    assert metrics["cars"]["top1"]["full"]["a"] == 85.0
    assert set(metrics) == {"pets", "cars"}
    assert set(metrics["pets"]["top1"]) == {
        "a", "b", "centroids/a", "centroids/b", "random", "full", "ridge",
    }  # fmt: skip
    assert metrics["pets"]["top1 ±"]["a"] == {"a": 5.0, "b": 10.0, "average": 7.5}
    assert "ridge" not in metrics["pets"]["top1 ±"]


def test_metrics_are_by_data_set_measure_row_and_column(three: Results, assembled: Assembled) -> None:
    metrics = to_metrics(assembled("table7", three, "pets", "pets", MODELS))["pets"]
    assert set(metrics) == {
        "nearest_raw", "nearest", "probed", "alignment", "correlation", "correlation_probed",
    }  # fmt: skip
    assert metrics["nearest"]["b"]["a"] == 75.0
    assert metrics["correlation"]["a"] == {"pairs": 2}
