"""The published values are those of the texts, and a cell nobody reports is empty."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from importlib import resources
from typing import Any

import pytest
from reporting.hand_made import csv_rows

from lgm_core.reporting.published import PAPER_BACKBONES, Reported, reported_values
from lgm_core.reporting.results import Results
from lgm_core.reporting.table_formats import to_markdown
from lgm_core.reporting.tables import Table

Assembled = Callable[..., Table]
REAL_ROWS = {"distilled", "neighbors", "centroids", "random", "full"}
ABLATION_ROWS = {
    f"{where}/{part}"
    for where in ("same", "cross")
    for part in ("full", "no_decorrelate", "no_pyramid", "no_augment")
}
BLOCKS_ROWS_COLUMNS = {
    "table1": ({"imagenet100", "imagenet1k"}, REAL_ROWS, {*PAPER_BACKBONES, "average"}),
    "table2": ({"imagenet100", "imagenet1k"}, {*PAPER_BACKBONES, "full"}, {*PAPER_BACKBONES, "average"}),
    "table3": ({"imagenet100"}, {*ABLATION_ROWS, "full"}, {*PAPER_BACKBONES, "average"}),
    "table4": ({"spawrious", "waterbirds"}, REAL_ROWS, {*PAPER_BACKBONES, "average"}),
    "table5": ({"dogs", "cub"}, REAL_ROWS, {*PAPER_BACKBONES, "average"}),
    "table7": ({"nearest", "alignment"}, set(PAPER_BACKBONES), set(PAPER_BACKBONES)),
    "table8": ({"flowers102", "food101"}, REAL_ROWS, {*PAPER_BACKBONES, "average"}),
    "figure3": ({"imagenet100"}, {"1", "5", "10"}, set(PAPER_BACKBONES)),
}

# Cells copied from the texts by hand: original (mean, std), write-up (mean, std); None where not printed.
HAND_PICKED = {
    ("table1", "imagenet100", "distilled", "clip"): ((84.9, 0.1), (82.4, 0.1)),
    ("table1", "imagenet100", "random", "dinov2"): ((74.8, 2.8), (72.6, 2.8)),
    ("table1", "imagenet100", "full", "average"): ((92.8, None), (90.0, 0.1)),
    ("table1", "imagenet1k", "distilled", "dinov2"): ((75.0, 0.1), (72.8, 0.1)),
    ("table1", "imagenet1k", "neighbors", "mocov3"): ((56.4, 0.0), (54.7, 0.0)),
    ("table1", "imagenet1k", "centroids", "eva02"): ((58.1, 0.1), (56.4, 0.1)),
    ("table2", "imagenet100", "clip", "dinov2"): ((80.8, None), (76.0, 0.4)),
    ("table2", "imagenet100", "dinov2", "clip"): ((77.0, None), (72.5, 0.1)),
    ("table2", "imagenet100", "full", "mocov3"): (None, (84.1, 0.3)),
    ("table2", "imagenet1k", "clip", "mocov3"): ((39.5, None), (37.2, 0.0)),
    ("table2", "imagenet1k", "mocov3", "clip"): ((41.4, None), (39.0, 0.0)),
    ("table2", "imagenet1k", "eva02", "average"): ((60.9, None), (57.3, 0.1)),
    ("table3", "imagenet100", "same/full", "eva02"): ((89.0, None), (86.3, 0.0)),
    ("table3", "imagenet100", "same/no_augment", "clip"): ((58.4, None), (56.6, 0.2)),
    ("table3", "imagenet100", "cross/full", "clip"): ((75.4, None), (73.1, 0.3)),
    ("table3", "imagenet100", "cross/no_decorrelate", "mocov3"): ((79.9, None), (77.5, 0.2)),
    ("table3", "imagenet100", "cross/no_pyramid", "dinov2"): ((74.5, None), (72.3, 0.2)),
    ("table3", "imagenet100", "full", "dinov2"): (None, (92.3, 0.1)),
    ("table4", "spawrious", "distilled", "clip"): ((43.1, 6.4), (41.8, 6.4)),
    ("table4", "spawrious", "distilled", "average"): ((48.3, None), (46.9, 3.7)),
    ("table4", "spawrious", "random", "dinov2"): ((68.1, None), (66.1, 8.1)),
    ("table4", "waterbirds", "neighbors", "mocov3"): ((45.2, None), (43.8, 11.4)),
    ("table4", "waterbirds", "full", "dinov2"): ((95.5, None), (92.6, 0.1)),
    ("table5", "dogs", "distilled", "dinov2"): ((83.0, None), (80.5, 0.1)),
    ("table5", "dogs", "random", "clip"): ((23.3, None), (22.6, 1.5)),
    ("table5", "cub", "distilled", "mocov3"): ((42.5, None), (41.2, 0.2)),
    ("table5", "cub", "full", "average"): ((73.8, None), (71.6, 0.5)),
    ("table7", "nearest", "dinov2", "eva02"): ((95.5, None), (95.5, None)),
    ("table7", "nearest", "eva02", "dinov2"): ((86.1, None), (86.1, None)),
    ("table7", "nearest", "clip", "clip"): ((100.0, None), None),
    ("table7", "alignment", "clip", "mocov3"): ((0.18, None), (0.18, None)),
    ("table7", "alignment", "dinov2", "eva02"): ((0.39, None), (0.39, None)),
    ("table7", "alignment", "mocov3", "mocov3"): ((1.0, None), None),
    ("table8", "flowers102", "distilled", "mocov3"): ((56.4, None), (54.7, 3.1)),
    ("table8", "flowers102", "neighbors", "dinov2"): ((99.4, None), (96.4, 0.2)),
    ("table8", "food101", "centroids", "mocov3"): ((22.7, None), (22.0, 2.0)),
    ("table8", "food101", "full", "average"): ((88.7, None), (86.0, 0.0)),
    ("figure3", "imagenet100", "1", "dinov2"): ((89.5, None), None),
    ("figure3", "imagenet100", "5", "eva02"): ((85.0, None), None),
    ("figure3", "imagenet100", "5", "mocov3"): ((77.8, None), None),
    ("figure3", "imagenet100", "10", "clip"): ((77.0, None), None),
}


def _text() -> str:
    return resources.files("lgm_core").joinpath("reporting", "published.json").read_text(encoding="utf-8")


def _file() -> dict[str, Any]:
    return json.loads(_text())


def _means(table: str, block: str, row: str, column: str) -> dict[str, float]:
    return {value.source: value.mean for value in reported_values(table, block, row, column)}


def test_file_holds_exactly_the_tables_and_names_both_sources() -> None:
    content = _file()
    sources = content.pop("sources")
    assert set(sources) == {"original", "writeup"}
    assert all(set(source) == {"title", "citation"} and all(source.values()) for source in sources.values())
    assert set(content) == set(BLOCKS_ROWS_COLUMNS)
    for table, (blocks, rows, columns) in BLOCKS_ROWS_COLUMNS.items():
        assert set(content[table]) == blocks, table
        for block in blocks:
            assert set(content[table][block]) == rows, (table, block)
            assert all(set(cells) == columns for cells in content[table][block].values()), (table, block)


def test_file_is_sorted_and_indented_by_two() -> None:
    text = _text()
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert len(text.encode()) < 150_000


def test_every_cell_is_a_plausible_number() -> None:
    for table, (blocks, rows, columns) in BLOCKS_ROWS_COLUMNS.items():
        for block in blocks:
            for row in rows:
                for column in columns:
                    values = reported_values(table, block, row, column)
                    assert values, (table, block, row, column)
                    limit = 1.0 if block == "alignment" else 100.0
                    assert all(0.0 < value.mean <= limit for value in values)
                    assert all(value.std is None or 0.0 <= value.std < limit for value in values)


@pytest.mark.parametrize("cell", HAND_PICKED, ids="-".join)
def test_values_are_those_of_the_texts(cell: tuple[str, str, str, str]) -> None:
    printed = zip(("original", "writeup"), HAND_PICKED[cell], strict=True)
    expected = tuple(Reported(source, *value) for source, value in printed if value is not None)
    assert reported_values(*cell) == expected


def test_averages_are_the_mean_of_the_four_columns_up_to_rounding() -> None:
    exceptions = []
    checked = 0
    for table, (blocks, rows, columns) in BLOCKS_ROWS_COLUMNS.items():
        if "average" not in columns:
            continue
        for block in blocks:
            for row in rows:
                parts = [_means(table, block, row, column) for column in PAPER_BACKBONES]
                for source, printed in _means(table, block, row, "average").items():
                    mean = sum(part[source] for part in parts) / len(PAPER_BACKBONES)
                    checked += 1
                    if abs(printed - mean) > 0.15:
                        exceptions.append((table, block, row, source, printed, round(mean, 3)))
    assert checked == 115
    assert exceptions == []


@pytest.mark.parametrize(
    "cell",
    [
        ("table6", "imagenet1k", "dinov2", "eva02"),
        ("table1", "digits", "distilled", "clip"),
        ("table1", "imagenet100", "ridge", "clip"),
        ("table1", "imagenet100", "distilled", "dino"),
        ("table7", "nearest", "clip", "average"),
        ("figure3", "imagenet100", "3", "dinov2"),
        ("sources", "original", "title", "clip"),
        ("", "", "", ""),
    ],
    ids="-".join,
)
def test_unknown_cell_is_empty(cell: tuple[str, str, str, str]) -> None:
    assert reported_values(*cell) == ()


def test_original_comes_first() -> None:
    values = reported_values("table1", "imagenet1k", "full", "mocov3")
    assert [value.source for value in values] == ["original", "writeup"]


def test_reported_is_frozen() -> None:
    value = reported_values("table1", "imagenet100", "distilled", "clip")[0]
    with pytest.raises(FrozenInstanceError):
        value.mean = 0.0  # type: ignore[misc]


def test_the_papers_backbones_are_those_of_the_texts() -> None:
    assert PAPER_BACKBONES == ("clip", "dinov2", "eva02", "mocov3")


# Beside measured values


def test_published_values_stand_beside_measured_ones_with_the_difference(
    papers: Results, assembled: Assembled
) -> None:
    table = assembled("table1", papers, "imagenet100", "imagenet100", ("clip",))
    text = to_markdown(table)
    assert "**85.9**<br>original: 84.9 (+1.0)<br>writeup: 82.4 (+3.5)" in text
    cells = csv_rows(table)
    cell = cells["imagenet100", "top1", "distilled", "clip"]
    assert (cell["mean"], cell["reported_original"], cell["reported_writeup"]) == ("85.9", "84.9", "82.4")
    ceiling = cells["imagenet100", "top1", "ridge", "clip"]
    assert (ceiling["reported_original"], ceiling["reported_writeup"]) == ("", "")


def test_a_cell_that_one_source_reports_shows_that_one(papers: Results, assembled: Assembled) -> None:
    cells = csv_rows(assembled("table2", papers, "imagenet100", "imagenet100", ("clip",)))
    cell = cells["imagenet100", "top1", "full", "clip"]
    values = _means("table2", "imagenet100", "full", "clip")
    assert list(values) == ["writeup"]
    assert (cell["reported_original"], float(cell["reported_writeup"])) == ("", values["writeup"])


def test_averages_are_compared_where_the_columns_are_the_papers(
    papers: Results, assembled: Assembled
) -> None:
    whole = csv_rows(assembled("table5", papers, "cub", "cub", PAPER_BACKBONES))
    assert whole["cub", "top1", "distilled", "average"]["reported_original"] == "66.2"
    turned = csv_rows(assembled("table5", papers, "cub", "cub", PAPER_BACKBONES[::-1]))
    assert turned["cub", "top1", "distilled", "average"]["reported_original"] == "66.2"
    fewer = csv_rows(assembled("table5", papers, "cub", "cub", PAPER_BACKBONES[:3]))
    average = fewer["cub", "top1", "distilled", "average"]
    assert (average["reported_original"], average["reported_writeup"]) == ("", "")
    assert fewer["cub", "top1", "distilled", "clip"]["reported_original"] == "62.2"


def test_table7_is_compared_on_imagenet_1k_only(papers: Results, assembled: Assembled) -> None:
    table = assembled("table7", papers, "imagenet1k", "imagenet1k", PAPER_BACKBONES)
    found = csv_rows(table)
    assert found["imagenet1k", "nearest", "clip", "dinov2"]["reported_original"] == "69.5"
    assert found["imagenet1k", "alignment", "clip", "dinov2"]["reported_original"] == "0.21"
    assert "0.250<br>original: 0.210 (+0.040)" in to_markdown(table)
    assert "original:" not in to_markdown(assembled("table7", papers, "cub", "cub", PAPER_BACKBONES))


def test_other_names_show_no_published_values(two: Results, assembled: Assembled) -> None:
    for name in ("table1", "table2"):
        assert "<br>" not in to_markdown(assembled(name, two, "pets", "cars", ("a", "b")))
