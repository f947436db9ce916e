"""Tables that pages show are the committed metrics, number by number."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lgm_core.reporting.table_formats import title_of

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHOWN = re.compile(r"<!-- metrics: (\S+) (\S+) (\S+) -->\n(.*?)<!-- /metrics -->", re.DOTALL)
NUMBER = re.compile(r"(-?[\d.]+)(?: ± ([\d.]+))?")


@dataclass(frozen=True)
class ShownTable:
    """A table of a page: `<!-- metrics: <suite> <table> <data set> -->`, Markdown, `<!-- /metrics -->`."""

    page: str
    suite: str
    table: str
    dataset: str
    text: str

    def cells(self) -> Iterator[tuple[str, str, str]]:
        """Row, column and text of every cell."""
        header, _, *lines = [line for line in self.text.splitlines() if line.startswith("|")]
        columns = [part.strip() for part in header.strip("|").split("|")][1:]
        for line in lines:
            row, *cells = [part.strip().replace("**", "") for part in line.strip("|").split("|")]
            yield from ((row, column, cell) for column, cell in zip(columns, cells, strict=True))


TABLES = [
    ShownTable(page.name, *found)
    for page in PAGES
    for found in SHOWN.findall(page.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("shown", TABLES, ids=lambda one: f"{one.page}-{one.suite}-{one.table}-{one.dataset}")
def test_a_shown_table_is_the_committed_one(shown: ShownTable) -> None:
    path = ROOT / "metrics" / shown.suite / f"{shown.table}.json"
    found = json.loads(path.read_text(encoding="utf-8"))[shown.dataset]
    measure = "top1" if "top1" in found else "universal"
    means, spreads = found[measure], found.get(f"{measure} ±", {})
    rows = {title_of(row): row for row in means}
    columns = {title_of(column): column for row in means.values() for column in row}
    count = 0
    for row, column, cell in shown.cells():
        key = rows[row], columns[column]
        if cell == "–":
            assert key[1] not in means[key[0]], (row, column)
            continue
        number = NUMBER.match(cell)
        assert number, (row, column, cell)
        digits = len(number[1].partition(".")[2])
        assert digits == 1 or key[1] in {"seconds", "own_share"}, (row, column)
        assert number[1] == f"{means[key[0]][key[1]]:.{digits}f}", (row, column)
        spread = spreads.get(key[0], {}).get(key[1])
        assert number[2] == (None if spread is None else f"{spread:.1f}"), (row, column)
        count += 1
    assert count >= 4


def test_the_pages_show_tables() -> None:
    assert {shown.page for shown in TABLES} >= {"README.md", "findings.md"}
